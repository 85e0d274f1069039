// What `lre push` does, for the other commands that do it too. Prints; not thread-safe.
#pragma once

#include <string>

#include "base/status.h"
#include "cli/remote_server.h"

namespace lre::cli {

// Sends what the server lacks of the toolchain that `file`, a manifest, describes; with `pin` the
// server keeps it, and knows it by its name.
Status PushManifest(const std::string& file, const ServerFlags& flags, bool pin);

}  // namespace lre::cli
