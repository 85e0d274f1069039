// SeenActions: the last actions that clients executed or whose results they uploaded, with the
// target and mnemonic of their RequestMetadata: what `lre explain` compares an action with. Kept in
// memory, so a restart forgets it; the messages themselves are in the CAS for as long as that keeps
// them. Thread-safe. Bounds: `actions_max` records (the oldest goes first), 512 bytes of each text.
// Actions without target and mnemonic are recorded too: they are found by their outputs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "digest/digest.h"
#include "reapi/request_metadata.h"
#include "rpc/call.h"
#include "service/partitions.h"

namespace lre::service {

struct SeenAction {
  Digest action;
  std::string instance_name;
  store::Partition partition = 0;
  std::string target, mnemonic;
  WallTime seen{};
};

class SeenActions {
 public:
  // 0 records nothing.
  explicit SeenActions(size_t actions_max) : actions_max_(actions_max) {}

  void Record(SeenAction action);

  struct Query {
    std::string_view instance_name;
    store::Partition partition = 0;
    std::optional<Digest> action;       // each that is given must match
    std::string_view target, mnemonic;  // labels with and without "@@" are the same
    size_t limit = 1000;
  };
  // The last one first, each action once.
  std::vector<SeenAction> Find(const Query& query) const;

 private:
  const size_t actions_max_;
  struct Ring {
    std::vector<SeenAction> actions;
    size_t next = 0;  // where the next one goes, once it is full
  };
  Guarded<Ring> ring_;
};

// The same methods, of ActionCache and Execution; what they are asked to store or to run is
// recorded. All that is borrowed must outlive every call.
std::vector<rpc::Method> WithSeenActions(std::vector<rpc::Method> methods, SeenActions& seen,
                                         const Partitions& partitions, const Clock& clock);

// The service lre.explain.v1.Explain.
std::vector<rpc::Method> ExplainMethods(const SeenActions& seen, const Partitions& partitions);

}  // namespace lre::service
