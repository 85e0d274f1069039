// What the recipe (recipe.h) does for trees with Go or Rust, told by what is in them. Pure
// functions over trees, thread-safe on distinct ones; nothing is run, so any machine makes them for
// any other.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/elf/elf_file.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/launcher.h"

namespace lre::toolchain {

// "usr/lib/go-1.19": the folder with bin/go, when the compiler's tools are there too.
std::optional<std::string> FindGo(const FileTree& tree);

// Gives the tree usr/bin/go, a launcher that says where the rest of Go lies (the program itself
// would look where it was built for), and usr/bin/gofmt. `go` is what FindGo found.
Status FinishGo(FileTree& tree, const std::string& go, const std::string& store_path,
                ElfMachine machine);

// Whether there is a rustc with a standard library.
bool HasRust(const FileTree& tree);

// The launcher of rustc and rustdoc: links with the compiler driver in `gcc`, the store path that
// the tree references (nullptr: with `cc` from PATH); -Clinker= of the caller comes later and wins.
LauncherConfig RustLauncher(const Reference* gcc, std::string_view triplet);

}  // namespace lre::toolchain
