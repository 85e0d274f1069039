// CHECK: a condition that only a bug in LRE can break. It stays on in Release and ends the process
// with the place and a message. Never used for what a client, a file or a peer can cause.
#pragma once

#include <string_view>

namespace lre {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view detail = {});
}  // namespace lre

// CHECK(condition) or CHECK(condition, "what was expected").
#define CHECK(condition, ...)                                                        \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::lre::CheckFailed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
