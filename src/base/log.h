// Structured log: one line of JSON per event on standard error, a fixed event name plus fields.
//
//   Log(kWarning, "worker_lost", {{"worker", id}, {"silent_ms", n}});
//
// Errors are logged once, at the boundary that swallows them. A warning needs an operator. Blob
// content and credentials are never logged. Thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace lre {

enum LogLevel : int { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

class LogField {
 public:
  using Value = std::variant<std::string, int64_t, double, bool>;
  LogField(std::string_view name, std::string_view value) : name(name), value(std::string(value)) {}
  LogField(std::string_view name, const std::string& value) : name(name), value(value) {}
  LogField(std::string_view name, const char* value) : name(name), value(std::string(value)) {}
  LogField(std::string_view name, bool value) : name(name), value(value) {}
  template <typename T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
      LogField(std::string_view name, T value)
      : name(name), value(static_cast<int64_t>(value)) {}
  LogField(std::string_view name, double value) : name(name), value(value) {}

  std::string_view name;
  Value value;
};

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
// Events below `level` are dropped. Default: kInfo.
void SetLogLevel(LogLevel level);
// The text of one line without its time, for tests.
std::string FormatLogLine(LogLevel level, std::string_view event,
                          std::initializer_list<LogField> fields);

}  // namespace lre
