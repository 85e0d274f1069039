// ActionFacts: all that makes an action's key, in a form that can be compared field by field, and
// the comparison. It comes from a Bazel execution log or from the Action and Command in a CAS.
// Plain values; the functions are thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lre::explain {

struct ActionFacts {
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> platform;  // values of one name joined by ','
  std::map<std::string, std::string> inputs;    // path -> "<hex>/<size>", "-> target"
  std::vector<std::string> outputs;             // that are asked for
  std::string working_directory;
  std::string salt;
  int64_t timeout_ms = 0;
  bool do_not_cache = false;
};

// In the order in which they are looked at: the first difference is what to mend.
enum class Cause {
  kToolchain,  // an argument or variable names another store path
  kCommandLine,
  kEnvironment,
  kPlatform,
  kInput,     // a file differs
  kInputSet,  // a file is on one side only
  kOutputs,
  kOther,    // working directory, timeout, salt, do_not_cache
  kUnknown,  // nothing that is recorded differs
};
// "command line", "input file", ...
std::string_view CauseName(Cause cause);

struct Difference {
  Cause cause;
  std::string field;  // "argument 3", "variable PATH", "input src/a.h", "property OSFamily"
  std::string a, b;   // both values; "(absent)"
  friend bool operator==(const Difference&, const Difference&) = default;
};

// At most `differences_max`, by cause; empty when nothing differs.
std::vector<Difference> Compare(const ActionFacts& a, const ActionFacts& b,
                                size_t differences_max = 10);

// "argument 3: a | b" on one or more lines, long values cut around where they differ.
std::string Describe(const Difference& difference);

}  // namespace lre::explain
