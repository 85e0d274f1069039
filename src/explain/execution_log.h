// Bazel's execution logs: --execution_log_json_file, --execution_log_binary_file and
// --execution_log_compact_file (zstd), told apart by their first bytes. A compact log stays compact
// in memory: the inputs of a spawn are put together when they are asked for. Constant after
// construction, so thread-safe.
//
// Errors: kInvalidArgument when the bytes are none of these formats, kDataLoss with the position
// where a log breaks off, kResourceExhausted for a message beyond 256 MiB.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "explain/action_facts.h"

namespace lre::explain {

struct Spawn {
  std::string target, mnemonic;
  std::string runner;  // "remote", "linux-sandbox", "remote cache hit", ...
  std::string status;  // empty: it went well
  std::string action;  // key "<hex>/<size>"; empty when no cache was configured
  bool cache_hit = false;
  bool remotable = false;
  bool cacheable = false;  // also by a remote cache
  int exit_code = 0;
  std::map<std::string, std::string> outputs;  // that were made: path -> "<hex>/<size>"
  ActionFacts facts;                           // without inputs: see ExecutionLog::Facts

  // "//a:b, CppCompile, bazel-out/.../a.o": which spawn it is, whatever its key.
  std::string Name() const;
};

class ExecutionLog {
 public:
  static Result<ExecutionLog> Parse(std::string_view bytes);
  static Result<ExecutionLog> Read(const std::string& path);
  ~ExecutionLog();
  ExecutionLog(ExecutionLog&&) noexcept;
  ExecutionLog& operator=(ExecutionLog&&) noexcept;

  const std::vector<Spawn>& spawns() const;
  // The facts with the inputs. REQUIRES: index < spawns().size().
  ActionFacts Facts(size_t index) const;

 private:
  struct State;
  explicit ExecutionLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lre::explain
