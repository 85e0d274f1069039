// Why an action was no hit, from one side's record alone: of the actions that a server has seen,
// the one that is most like it, and what differs. Blocking: it reads from the CAS, as much as
// NearestOptions allows; thread-safe. Errors: those of stored_action.h, of the action and of a
// candidate that is compared; but one that the CAS has lost is passed over.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "explain/action_facts.h"
#include "explain/stored_action.h"
#include "store/blob_store.h"

namespace lre::explain {

struct NearestOptions {
  StoredActionOptions stored;
  // Candidates whose Command is looked at, and of those with the same outputs, how many are
  // compared in full: the first ones, which are the newest.
  size_t commands_max = 1000;
  size_t compared_max = 8;
};

struct Nearest {
  Digest action;                        // of the candidate
  std::vector<Difference> differences;  // a is what was asked about, b the candidate
  bool other_configuration = false;     // its outputs are in another folder of bazel-out
};

// Of the candidates that make the same outputs, the one that differs in the fewest facts; if there
// is none, of those that make them for another configuration. What the CAS has lost is left out.
// Nullopt: none is left.
Result<std::optional<Nearest>> FindNearest(store::BlobStore& cas, const Digest& action,
                                           const std::vector<Digest>& candidates,
                                           const NearestOptions& options = {});
// The same for an action that only a log knows. Facts that logs have not are not compared.
Result<std::optional<Nearest>> FindNearest(store::BlobStore& cas, const ActionFacts& logged,
                                           const std::vector<Digest>& candidates,
                                           const NearestOptions& options = {});

}  // namespace lre::explain
