// What the recipe (recipe.h) does for a tree with a Python, told by what is in it. Blocking: runs
// that Python once, so only for this machine's own system. Thread-safe on distinct trees.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/launcher.h"

namespace lre::toolchain {

// "python3.11": the program in usr/bin, when its standard library is there too.
std::optional<std::string> FindPython(const FileTree& tree);

// Before relocation: one pyconfig.h instead of one that leads to another folder, and the names
// python3 and python.
Status PreparePython(FileTree& tree, const std::string& python, std::string_view triplet);

struct CompilePythonOptions {
  std::string store_path;  // what compiled modules say where they come from
  std::string scratch;     // an existing folder; left as it was
  std::string libraries;   // folder in the tree with the libraries of the interpreter
  int threads = 2;
};
// After relocation: compiles the standard library, as a maintainer script would have. The compiled
// modules carry a hash of their source that nobody checks, so no time of a file is in them, and no
// interpreter on a read-only store compiles at every start.
Status CompilePython(FileTree& tree, const std::string& python,
                     const CompilePythonOptions& options);

// The launcher of the interpreter: it writes no __pycache__ beside sources, which would be a
// difference between who built first and who later, and takes no module path but PYTHONPATH, which
// is how Bazel's stub passes one.
LauncherConfig PythonLauncher(const std::string& store_path, const std::string& python);

}  // namespace lre::toolchain
