// What tests of the generator share: what it writes, by path, and the manifests of this repository,
// so that what is checked is what is used. Test support, not part of the library.
#pragma once

#include <map>
#include <string>

#include "toolchain/generate/generate.h"

namespace lre::toolchain {

// The text of every file, by its path; empty, and the test fails, when nothing is generated.
std::map<std::string, std::string> GenerateMap(const Manifest& manifest,
                                               const GenerateOptions& options = {});

// local-remote-execution/<name>.json, and what is generated from "toolchain".
Manifest Committed(const std::string& name);
std::map<std::string, std::string> CommittedModule(const GenerateOptions& options);

}  // namespace lre::toolchain
