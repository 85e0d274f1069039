// Probes a Go and a Rust that have just been made, as probe.h does compilers. Blocking.
// Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/probe.h"

namespace lre::toolchain {

// nullopt when no path of the closure has a Go. kFailedPrecondition: it does not run in an empty
// environment, or takes its library from outside the store.
Result<std::optional<GoFacts>> ProbeGo(const ProbeInput& input, const std::string& prefix);
// nullopt when no path of the closure has a rustc. kFailedPrecondition as above.
Result<std::optional<RustFacts>> ProbeRust(const ProbeInput& input, const std::string& prefix);

// Compile, link and run a program that recovers from a panic; in an empty environment, and on the
// store's libc where `cc` says where that is. Less than a second each. kFailedPrecondition says
// what was not done. `scratch` is an existing folder; what is put there stays.
Status SelfTestGo(const GoFacts& facts, const std::string& scratch);
Status SelfTestRust(const RustFacts& facts, const CcFacts* cc, const std::string& scratch);

}  // namespace lre::toolchain
