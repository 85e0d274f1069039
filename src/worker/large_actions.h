// LargeActions: which actions wrote more than may be kept in memory, so that the next of their kind
// is given a disk at once. A kind is what clients call it (mnemonic and target), or the program
// where they say nothing. Thread-safe. Beyond `kinds_max` all is forgotten: the price is one run
// that is ended and begun again.
#pragma once

#include <string>
#include <unordered_set>

#include "base/guarded.h"
#include "lre/worker/v1/worker.pb.h"

namespace lre::worker {

class LargeActions {
 public:
  explicit LargeActions(size_t kinds_max = 10000) : kinds_max_(kinds_max) {}

  bool Contains(const v1::Assignment& assignment) const {
    return kinds_.With([&](const auto& kinds) { return kinds.contains(KindOf(assignment)); });
  }
  void Add(const v1::Assignment& assignment) {
    kinds_.With([&](auto& kinds) {
      if (kinds.size() >= kinds_max_) kinds.clear();
      kinds.insert(KindOf(assignment));
    });
  }

 private:
  static std::string KindOf(const v1::Assignment& assignment) {
    const auto& metadata = assignment.request_metadata();
    if (!metadata.action_mnemonic().empty())
      return metadata.action_mnemonic() + "\n" + metadata.target_id();
    return assignment.command().arguments_size() > 0 ? assignment.command().arguments(0) : "";
  }

  const size_t kinds_max_;
  Guarded<std::unordered_set<std::string>> kinds_;
};

}  // namespace lre::worker
