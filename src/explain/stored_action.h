// An action as a CAS has it: Action, Command and input tree, as facts that can be compared. Of two
// actions only the folders that differ are read. Blocking; thread-safe. Errors: kNotFound names the
// message that is absent, kInvalidArgument one that does not parse, kResourceExhausted a tree with
// more than `directories_max` different folders.
#pragma once

#include <vector>

#include "base/status.h"
#include "digest/digest.h"
#include "explain/action_facts.h"
#include "store/blob_store.h"

namespace lre::explain {

struct StoredActionOptions {
  store::Partition partition = 0;
  size_t differences_max = 10;
  size_t directories_max = 1'000'000;
};
Result<std::vector<Difference>> CompareStoredActions(store::BlobStore& cas, const Digest& a,
                                                     const Digest& b,
                                                     const StoredActionOptions& options = {});

}  // namespace lre::explain
