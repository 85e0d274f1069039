// What a server announces in its capabilities, as the words that a scenario's `requires:` names:
// "execution", "update" (of the action cache by clients), "zstd", "zstd-batch", "split", "splice",
// "fast-cdc", "blob-limit" (the largest blob has at most 12 MiB), the digest functions ("blake3",
// "sha1", ...), and by asking them: "operations", "health", "asset" (Fetch), "asset-push" (Push
// too). Plain functions; they make blocking calls.
#pragma once

#include <set>
#include <string>

#include "base/status.h"
#include "rpc/client.h"
#include "scenario.h"

namespace lre::scenario {

// An error: the server has no capabilities to tell, so nothing can be run against it.
Result<std::set<std::string>> AskFeatures(rpc::Channel& channel, const std::string& instance_name);
// The first feature that the scenario requires and the server lacks; empty: it can run.
std::string Lacking(const Scenario& scenario, const std::set<std::string>& features);

}  // namespace lre::scenario
