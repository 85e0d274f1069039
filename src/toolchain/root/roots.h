// Which projects use the store: the manifests that `lre sync` wrote, remembered beside the store as
// links (<prefix>/.lre/roots/<hash> -> file), so that a collection keeps what they name. A project
// that was deleted or moved no longer counts. Free functions, thread-safe, also between processes.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

// `file` absolute. Ok when it is known already.
Status AddRoot(const std::string& prefix, const std::string& file);
// The files that are there, sorted; links to others are removed.
Result<std::vector<std::string>> ListRoots(const std::string& prefix);

}  // namespace lre::toolchain
