// The lines of a text that a program printed or a file holds. A pure function, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lre {

// Without their newlines; the last may lack one. Empty lines are lines.
std::vector<std::string> Lines(std::string_view text);

}  // namespace lre
