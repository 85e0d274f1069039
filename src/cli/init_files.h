// The texts that `lre init` writes and the edits it makes, each of which leaves alone what has been
// done already. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace lre::cli {

// lre.toml for C and C++.
std::string_view DefaultSpecText();
// MODULE.bazel that depends on local-remote-execution, found in the folder of that name.
std::string WithModule(std::string text);
// .bazelrc that imports lre.bazelrc.
std::string WithImport(std::string text);
// .bazelignore that names the module's folder.
std::string WithIgnored(std::string text);

}  // namespace lre::cli
