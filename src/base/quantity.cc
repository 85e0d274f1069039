#include "base/quantity.h"

#include <charconv>
#include <utility>

namespace lre {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

template <size_t N>
Result<double> ParseWithUnit(std::string_view text, const Unit (&units)[N], std::string_view kind,
                             std::string_view example) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (error == std::errc() && number >= 0) {
    if (unit.empty() && number == 0) return 0.0;
    for (const Unit& candidate : units)
      if (unit == candidate.name) return number * candidate.factor;
  }
  return Error(Code::kInvalidArgument,
               "'{}' is not a {}; write a number and a unit, for example {}", text, kind, example);
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  static constexpr Unit kUnits[] = {
      {"B", 1},           {"KB", 1e3},           {"MB", 1e6},
      {"GB", 1e9},        {"TB", 1e12},          {"KiB", 1024.0},
      {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
  TRY_ASSIGN(double bytes, ParseWithUnit(text, kUnits, "size", "10GiB"));
  if (bytes >= 9.2e18) return Error(Code::kInvalidArgument, "size '{}' is too large", text);
  return static_cast<uint64_t>(bytes);
}

Result<Duration> ParseDuration(std::string_view text) {
  static constexpr Unit kUnits[] = {{"ns", 1},   {"us", 1e3},   {"ms", 1e6},   {"s", 1e9},
                                    {"m", 60e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}};
  TRY_ASSIGN(double nanos, ParseWithUnit(text, kUnits, "duration", "30s"));
  if (nanos >= 9.2e18) return Error(Code::kInvalidArgument, "duration '{}' is too long", text);
  return Duration(static_cast<int64_t>(nanos));
}

std::string FormatSize(uint64_t bytes) {
  static constexpr std::string_view kNames[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kNames)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string FormatDuration(Duration duration) {
  double seconds = static_cast<double>(duration.count()) / 1e9;
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.2f} s", seconds);
  int64_t minutes = static_cast<int64_t>(seconds / 60);
  if (minutes < 120) return fmt::format("{} min {} s", minutes, static_cast<int64_t>(seconds) % 60);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace lre
