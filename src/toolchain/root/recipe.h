// Recipes: what becomes of the merged packages of one store path, by its role. Every tree is
// relocated and its links made to hold; on top of that
//   sysroot   gets links to the run-time libraries of the libc path, for the link editor;
//   gcc       gets its own prefixes disarmed, links to what of lib/gcc lies in the sysroot, a
//   folder of
//             binutils, a specs file that names the sysroot, and launchers that clear the
//             environment;
//   clang     gets configuration files and launchers (clang_recipe.h);
//   jdk       gets its cacerts (java_recipe.h);
//   python    gets compiled modules and a launcher (python_recipe.h);
//   go, rust  get launchers (go_recipe.h);
//   base      gets the names that maintainer scripts would make (awk, sh), and launchers.
// Any change here that changes bytes must raise kRecipeVersion (sync.h). Thread-safe. GCC's driver
// (for -dumpspecs) and Python (for its modules) are run once, so paths with these can only be made
// where programs of their system run (emulation.h); all others anywhere.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {

struct RecipeInput {
  std::string role;
  RelocateTreeOptions relocation;  // where the tree will stand, and its transitive references
  std::string scratch;  // an existing folder for a program that has to run; left as it was
};

Result<FileTree> ApplyRecipe(FileTree tree, const RecipeInput& input);

// The full specs `dumped` (gcc -dumpspecs) with `sysroot` as the default of every compilation and
// link. kFailedPrecondition when it has no *self_spec or *link.
Result<std::string> AddSysrootToSpecs(std::string dumped, std::string_view sysroot);

// Variables that change what GCC and its tools do without a trace in the command line.
const std::vector<std::string>& CompilerEnvironmentLeaks();

}  // namespace lre::toolchain
