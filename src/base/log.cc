#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "base/clock.h"
#include "base/json_text.h"

namespace lre {
namespace {
std::atomic<int> log_level{kInfo};
constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};

void AppendFields(std::string& line, std::string_view event,
                  std::initializer_list<LogField> fields) {
  line += fmt::format("\"event\":{}", JsonQuote(event));
  for (const LogField& field : fields) {
    line += fmt::format(",{}:", JsonQuote(field.name));
    if (const auto* text = std::get_if<std::string>(&field.value)) line += JsonQuote(*text);
    if (const auto* number = std::get_if<int64_t>(&field.value)) line += std::to_string(*number);
    if (const auto* real = std::get_if<double>(&field.value)) line += fmt::format("{:.6g}", *real);
    if (const auto* flag = std::get_if<bool>(&field.value)) line += *flag ? "true" : "false";
  }
}
}  // namespace

void SetLogLevel(LogLevel level) { log_level = level; }

std::string FormatLogLine(LogLevel level, std::string_view event,
                          std::initializer_list<LogField> fields) {
  std::string line = fmt::format("{{\"level\":\"{}\",", kLevelNames[level]);
  AppendFields(line, event, fields);
  line += "}\n";
  return line;
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < log_level.load(std::memory_order_relaxed)) return;
  auto now = SystemClock().WallNow();
  auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::string line = fmt::format("{{\"time\":\"{:%Y-%m-%dT%H:%M:%S}.{:03}Z\",",
                                 fmt::gmtime(static_cast<std::time_t>(millis.count() / 1000)),
                                 millis.count() % 1000);
  line += FormatLogLine(level, event, fields).substr(1);
  // One write per line, so that lines of several threads do not mix.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace lre
