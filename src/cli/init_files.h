// The texts that `lre init` writes and the edits it makes, each of which leaves alone what has been
// done already. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "cli/imported_module.h"

namespace lre::cli {

// lre.toml for C and C++.
std::string_view DefaultSpecText();
// MODULE.bazel that depends on local-remote-execution, found in the folder of that name.
std::string WithModule(std::string text);
// What a MODULE.bazel says of the module.
struct ModuleUse {
  bool depends = false;                  // by bazel_dep
  std::optional<StarlarkCall> override;  // where it comes from
  // Another one than the folder that `lre generate` writes.
  bool IsOfOthers() const;
};
ModuleUse FindModuleUse(std::string_view module_bazel);
// .bazelrc that imports lre.bazelrc.
std::string WithImport(std::string text);
// Whether a line does so; one that is a comment does not.
bool ImportsBazelrc(std::string_view bazelrc);
// .bazelignore that names the module's folder.
std::string WithIgnored(std::string text);

}  // namespace lre::cli
