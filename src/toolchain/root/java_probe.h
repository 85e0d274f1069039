// Probes a JDK and Bazel's Java tools that have just been made, as probe.h does compilers.
// Blocking. Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/probe.h"

namespace lre::toolchain {

// nullopt when no path of the closure has a JDK. kFailedPrecondition: it does not run.
Result<std::optional<JavaFacts>> ProbeJava(const ProbeInput& input);

// Compiles a program with javac, takes its interface with ijar and with turbine, packs it with
// singlejar and runs it, which also reads cacerts, in an empty environment. kFailedPrecondition
// says what failed. `scratch` is an existing folder; what is put there stays.
Status SelfTestJava(const JavaFacts& facts, const std::string& scratch);

}  // namespace lre::toolchain
