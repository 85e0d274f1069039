// Probes a Python that has just been made, as probe.h does compilers. Blocking. Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/probe.h"

namespace lre::toolchain {

// nullopt when no path of the closure has a Python. kFailedPrecondition: it does not run in an
// empty environment, lacks a module of its standard library, or looks for modules outside the
// store.
Result<std::optional<PythonFacts>> ProbePython(const ProbeInput& input, const std::string& prefix);

}  // namespace lre::toolchain
