// Runs a helper program (gpgv, a compiler being probed) to its end. Not for actions: those run in
// src/sandbox. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace lre {

struct SubprocessOptions {
  std::vector<std::string> arguments;  // [0] is the program: a path, or a name looked up in PATH
  std::optional<std::vector<std::string>> environment;  // "NAME=value"; unset inherits ours
  std::string directory;                                // empty: ours
  std::string input;                                    // given on standard input
  Duration timeout = std::chrono::seconds(60);          // then SIGKILL and kDeadlineExceeded
  size_t output_bytes_max = 64 << 20;  // of each stream; beyond: kResourceExhausted
};

struct SubprocessResult {
  int exit_code = 0;  // 128 + n when ended by signal n
  std::string output;
  std::string error_output;
};

// An error only when the program could not be run to its end; a non-zero exit is a result.
Result<SubprocessResult> RunSubprocess(const SubprocessOptions& options);

}  // namespace lre
