// What a binary cache of Nix says about one store path: a .narinfo file, and the signatures in it.
// Plain values; thread-safe. Source: nix(1), `nix-store --export`'s successor, the binary cache
// format of Nix's manual.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lre::toolchain {

struct NarInfo {
  std::string store_path;   // "/nix/store/<hash>-hello"
  std::string url;          // of the archive, relative to the cache
  std::string compression;  // "xz", "zstd", "bzip2", "gzip", "none"
  std::string file_sha256;  // lower-case hex of what `url` gives; may be empty
  std::string nar_sha256;   // of the archive itself
  uint64_t nar_size = 0;
  std::vector<std::string> references;  // base names, sorted, the path itself left out
  bool references_self = false;
  std::vector<std::string> signatures;  // "<key name>:<base 64>"
};

// kInvalidArgument: a field is missing or malformed.
Result<NarInfo> ParseNarInfo(std::string_view text);

// What is signed: the path, its hash, size and references.
std::string NarFingerprint(const NarInfo& info);
// Ok when one of the signatures was made by one of `keys` ("<name>:<base 64 of 32 bytes>").
// kPermissionDenied: none was; kInvalidArgument: a key that is none.
Status CheckNarSignature(const NarInfo& info, const std::vector<std::string>& keys);
// kInvalidArgument when it is not "<name>:<base 64 of 32 bytes>".
Status CheckNixKey(std::string_view key);

}  // namespace lre::toolchain
