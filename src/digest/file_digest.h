// The SHA-256 of files, read piece by piece. Blocking; thread-safe; a file that is written
// meanwhile has the digest of what was read. Errors: those of opening and reading, with the path.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "digest/digest.h"

namespace lre {

Result<Digest> DigestOfFile(const std::string& path);

// Whether the file is there, can be read and has this hash (lower-case hex): for files of a cache
// that were verified when they came, because disks forget.
bool HasSha256(const std::string& path, std::string_view hex);

}  // namespace lre
