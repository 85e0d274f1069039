// Writes a tree from memory to disk, hashing it and looking for references on the way, so that its
// bytes are touched once. The folder must be empty and private; modes and times are set later, by
// ToolchainStore::Add. Thread-safe on distinct folders.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

struct WrittenTree {
  TreeListing listing;
  std::vector<std::string> references;  // store paths named in files and links, sorted
};

struct WriteTreeOptions {
  std::string prefix;  // of the store
  int threads = 2;
};
Result<WrittenTree> WriteTree(const FileTree& tree, const std::string& directory,
                              const WriteTreeOptions& options);

}  // namespace lre::toolchain
