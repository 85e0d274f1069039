// NAR, the archive format of Nix: one file, symlink or folder, with names in order and nothing else
// that differs between machines. Blocking; thread-safe on distinct files. Nothing is read into
// memory whole. Source: "Nix Archive (NAR) format" in Nix's manual.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lre::toolchain {

struct NarLimits {
  uint64_t bytes_max = 16ull << 30;  // of the archive: kResourceExhausted beyond
  uint64_t entries_max = 2'000'000;
  int depth_max = 128;
};

// Puts what the archive `nar` holds into `directory`, which is there and empty. Files have mode
// 0644 or 0755. kDataLoss: not an archive, out of order, a name with '/' or the like, bytes after
// its end; kUnimplemented: it holds a single file or symlink and no folder.
Status UnpackNar(const std::string& nar, const std::string& directory,
                 const NarLimits& limits = {});

// kUnimplemented, as above and with what to do instead, when the store path `path` is no folder.
Status CheckNixFolder(const std::string& path);

// Writes the archive of `path` piece by piece. Follows no symlink; kFailedPrecondition for devices,
// sockets and pipes.
Status DumpNar(const std::string& path, const std::function<Status(std::string_view)>& write,
               const NarLimits& limits = {});

struct NarHash {
  std::string sha256;  // lower-case hex
  uint64_t size_bytes = 0;
};
Result<NarHash> HashNar(const std::string& path);

}  // namespace lre::toolchain
