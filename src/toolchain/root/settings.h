// What a toolchain's settings (spec.h) make of a manifest: flags, environment, tools, constraints,
// and the headers and libraries of further paths. Reads the store. Thread-safe on distinct
// manifests.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/probe.h"
#include "toolchain/spec/spec.h"

namespace lre::toolchain {

// Lets the compiler find what the paths with these roles have in usr/include and usr/lib, by flags,
// after what it is told and before its own. REQUIRES: manifest->cc.
void AddLibraries(const std::vector<std::string>& roles, const ProbeInput& input,
                  Manifest* manifest);

// Flags and environment with "{role}" replaced; tools by absolute path; constraints. kNotFound: a
// tool that no path has in usr/bin. REQUIRES: manifest->paths and, of a compiler, the facts.
Status AddSettings(const ToolchainSettings& settings, Manifest* manifest);

}  // namespace lre::toolchain
