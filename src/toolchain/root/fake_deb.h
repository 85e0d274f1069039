// Small Debian packages made in tests: exactly the entries that are given, sensible or hostile.
// Test support, not part of the library.
#pragma once

#include <string>
#include <vector>

#include "toolchain/root/file_tree.h"

namespace lre::toolchain {

struct FakeEntry {
  std::string path;     // "./usr/bin/tool"
  std::string content;  // of a file; target of a link
  char type = 'f';      // f file, d folder, l symlink, h hard link, c character device, p pipe
  unsigned mode = 0644;
};

// Writes the package to `file`. `compression`: "xz", "gz", "zst" or "" (plain data.tar).
void WriteFakeDeb(const std::string& file, const std::vector<FakeEntry>& entries,
                  const std::string& compression = "xz");

// The paths of what was unpacked.
std::vector<std::string> Paths(const FileTree& tree);

}  // namespace lre::toolchain
