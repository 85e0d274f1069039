// Text of sizes and durations with their units, as options and configuration files write them:
// "64KiB", "10GB", "500ms", "3h". A number without a unit is refused (0 excepted). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace lre {

// B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
Result<uint64_t> ParseSize(std::string_view text);
// ns, us, ms, s, m, h, d.
Result<Duration> ParseDuration(std::string_view text);
// "1.5 GiB", "12 KiB", "17 B"; for people.
std::string FormatSize(uint64_t bytes);
// "1.25 s", "340 ms", "2 h 5 min"; for people.
std::string FormatDuration(Duration duration);

}  // namespace lre
