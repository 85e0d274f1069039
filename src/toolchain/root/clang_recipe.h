// What the recipe (recipe.h) does for trees with a clang or with LLVM's tools, told by what is in
// them.
//   clang       its driver stands behind launchers that clear the environment, in a folder of its
//               own with configuration files that name the sysroot, the GCC installation in it and
//               lld, and with links to the link editors and assembler it may run; what it would
//               read of a machine's distribution is disarmed;
//   LLVM tools  all but the few that builds use are left out: one of them has 94 MB.
// Pure functions over trees, thread-safe on distinct ones.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/root/recipe.h"

namespace lre::toolchain {

// "usr/lib/llvm-16": the folder whose bin has a clang that is a program.
std::optional<std::string> FindClang(const FileTree& tree);

// Before relocation. kFailedPrecondition: a string that every known version has is not there.
Status PrepareClang(FileTree& tree, const std::string& llvm);
// After it. kFailedPrecondition: no sysroot among the references, or no GCC in that.
Status FinishClang(FileTree& tree, const RecipeInput& input, const std::string& llvm);

// Before relocation, so that what is left out need not find its libraries.
void TrimLlvmTools(FileTree& tree);

// The options of every command, one a line, as they stand in the configuration files.
std::string ClangConfig(const std::string& sysroot, const std::string& gcc,
                        const std::string& programs);

}  // namespace lre::toolchain
