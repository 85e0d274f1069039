// Unpacks the files of a Debian package into memory: data.tar of any compression, without
// maintainer scripts. Ownership, times and set-user-ID bits are dropped. Documentation,
// translations and the like are left out (copyright files stay); bin, lib ... are folded below usr.
// Hostile packages give an error: a path with "..", a device, more bytes than allowed. Thread-safe.
// Source: deb(5).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

struct UnpackOptions {
  uint64_t bytes_max = 4ull << 30;   // of all files together; then kResourceExhausted
  uint64_t entries_max = 1'000'000;  // then kResourceExhausted
};

struct TarOptions {
  std::string into;  // the folder that everything goes below; empty: the root
  int strip = 0;     // leading folders of names that are left out; what has no more is left out
  UnpackOptions limits;
};
// The files of a tar archive of any compression, or of a zip archive; nothing in it is left out.
// Errors as below.
Result<FileTree> UnpackTar(const std::string& path, const TarOptions& options);
// kDataLoss when it is no package or damaged; messages begin with `path`.
Result<FileTree> UnpackDeb(const std::string& path, const UnpackOptions& options = {});

// Whether the rules keep a file of a package: exposed for tests. `path` is folded.
bool IsKept(std::string_view path);

}  // namespace lre::toolchain
