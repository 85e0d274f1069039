// An action as a CAS has it: Action, Command and input tree, as facts that can be compared. Of two
// actions only the folders that differ are read. A folder that the CAS lacks (clients upload none
// with what they ran themselves) stands as one input of its name. Blocking; thread-safe. Errors:
// kNotFound names the Action or Command that is absent, kInvalidArgument a message that does not
// parse, kResourceExhausted a tree with more than `directories_max` different folders.
#pragma once

#include <string>
#include <string_view>
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
// How the value of an input ends that is such a folder.
inline constexpr std::string_view kNotInTheCas = " that is not in the CAS";

// All of one action: every input of its tree.
Result<ActionFacts> StoredFacts(store::BlobStore& cas, const Digest& action,
                                const StoredActionOptions& options = {});
// Only what it is asked to make, in order: enough to tell two actions of one target apart.
Result<std::vector<std::string>> StoredOutputs(store::BlobStore& cas, const Digest& action,
                                               const StoredActionOptions& options = {});
Result<std::vector<Difference>> CompareStoredActions(store::BlobStore& cas, const Digest& a,
                                                     const Digest& b,
                                                     const StoredActionOptions& options = {});

}  // namespace lre::explain
