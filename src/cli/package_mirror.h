// Locked packages, images and archives in a server's CAS, so that a lock stays usable when an
// archive drops a version: `lre push --packages` puts them there, `lre sync --server` takes them
// into the package cache, where they are found before any mirror is asked. By SHA-256, which is
// checked on both ways. Prints nothing; blocks; not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/remote_server.h"
#include "cli/store_upload.h"
#include "toolchain/lock/lock.h"
#include "toolchain/root/sync.h"

namespace lre::cli {

// All that the paths of `toolchain` are made from, but for files of the project itself.
Result<toolchain::NeededFiles> AllFiles(const toolchain::Lock& lock, const std::string& toolchain);

// Sends what the server lacks of `files` (SHA-256 -> file), and an entry of the index for each.
Result<UploadReport> UploadFiles(const UploadParts& parts,
                                 const std::map<std::string, std::string>& files);

// Puts into `cache_directory` what the server has of `needed` and is not there; returns how many
// files that were. What the server lacks is no error.
Result<size_t> FetchFromServer(RemoteServer& server, const toolchain::Lock& lock,
                               const toolchain::NeededFiles& needed,
                               const std::string& cache_directory);

}  // namespace lre::cli
