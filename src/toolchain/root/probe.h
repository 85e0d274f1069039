// Probes a compiler that has just been made: asks it what it is, where its tools and headers are,
// in an empty environment, so that the answers hold everywhere; and tries it. Blocking.
// Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/relocate_tree.h"

namespace lre::toolchain {

struct ProbeInput {
  std::vector<StorePath> paths;  // the closure, in the store
  SystemFacts system;
  SystemFacts target;  // what its programs run on; another one only with a clang
};
// nullopt when no path of the closure has a GCC or clang; with both, it is the clang that is meant.
// A clang that builds for another system gets the flags that say so, and LLVM's tools instead of
// binutils. kFailedPrecondition: it does not run or says something unexpected, e.g. a header
// directory outside the store.
Result<std::optional<CcFacts>> ProbeCc(const ProbeInput& input, const std::string& prefix);

// Compiles, links and runs programs that throw and catch, dynamically (with the store's loader) and
// statically, with clang also by thin LTO and with its own C++ library, in an empty environment;
// looks at what the link editor took. What is for a system whose programs cannot be run here is
// only linked. A second or two.
// kFailedPrecondition says which program did not do what, or which file came from outside the
// store. `scratch` is an existing folder; what is put there stays.
Status SelfTestCc(const CcFacts& facts, const std::string& prefix, const std::string& scratch,
                  std::string_view target);

// The directories in the output of `gcc -E -v`, normalised and without duplicates.
Result<std::vector<std::string>> ParseIncludeSearch(std::string_view verbose);

// What `lre env` prints: PATH over all tools, CC, CXX, AR ...
std::map<std::string, std::string> ToolEnvironment(const Manifest& manifest);

}  // namespace lre::toolchain
