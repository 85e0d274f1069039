// A tree of files as the REAPI sees it: Directory messages by digest, and the files under them. A
// store path is such a tree, so the worker stages it and `lre push` uploads it with the code that
// handles any input root. The encoder is our own (toolchain/ knows no protobuf) and canonical:
// entries sorted by name, no node properties, so equal trees have equal digests. SHA-256 only.
// Plain values; the functions are thread-safe. Source: build/bazel/remote/execution/v2, Directory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "digest/digest.h"

namespace lre::toolchain {

struct CasFile {
  std::string path;  // below the root, without a leading slash
  Digest digest;
  bool executable = false;
  friend bool operator==(const CasFile&, const CasFile&) = default;
};

struct CasSymlink {
  std::string path;
  std::string target;
  friend bool operator==(const CasSymlink&, const CasSymlink&) = default;
};

// What a tree holds, without the bytes of its files. Empty folders exist in Nix's store paths only.
struct TreeListing {
  std::vector<CasFile> files;        // sorted by path
  std::vector<CasSymlink> symlinks;  // sorted by path
  std::vector<std::string> folders;  // empty ones, sorted
  uint64_t TotalBytes() const;
  friend bool operator==(const TreeListing&, const TreeListing&) = default;
};

struct CasDirectories {
  Digest root;
  std::map<Digest, std::string> blobs;  // every distinct Directory message, the root's included
};

// kInvalidArgument when a path is empty, absolute, has an empty, "." or ".." component, or is at
// once a file and a directory.
Result<CasDirectories> EncodeDirectories(const TreeListing& listing);

struct WalkOptions {
  int threads = 2;
  uint64_t entries_max = 2'000'000;  // then kResourceExhausted
  bool empty_folders = false;        // are listed
};
// Hashes every file below `root`. Follows no symlink; kFailedPrecondition for a device, socket or
// pipe.
Result<TreeListing> WalkTree(const std::string& root, const WalkOptions& options = {});

// One line per entry: "f <hex> <size> <path>", "x ..." when executable, "l <target> <path>", "d
// <path>" of an empty folder, with '%', space, newline and control characters as %XX. It is what
// the store keeps beside a path.
std::string PrintListing(const TreeListing& listing);
Result<TreeListing> ParseListing(std::string_view text);

// "sha256:<hex>/<size>", as manifests write a tree digest.
std::string TreeDigestText(const Digest& digest);
Result<Digest> ParseTreeDigest(std::string_view text);

}  // namespace lre::toolchain
