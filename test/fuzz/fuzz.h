// A fuzz target: one input in, a CHECK fails or a sanitizer speaks when something is wrong. Linked
// with libFuzzer (CMake option LRE_FUZZ) or with driver.cc, which mutates the seeds for a moment in
// ctest. Targets are deterministic: the input alone decides what happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lre::fuzz {

// Inputs to begin with: what honest peers send.
std::vector<std::string> Seeds();

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Calls `feed` with `text` in parts whose sizes `pattern` decides (0: all at once), until it
// returns false.
template <typename F>
void InParts(std::string_view text, uint8_t pattern, F&& feed) {
  for (size_t turn = 0; !text.empty(); ++turn) {
    size_t part = pattern == 0 ? text.size() : 1 + (pattern * (turn + 1)) % 23;
    if (!feed(text.substr(0, part))) return;
    text.remove_prefix(part < text.size() ? part : text.size());
  }
}

}  // namespace lre::fuzz
