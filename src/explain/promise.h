// LRE's promise, as logs of builds show it: what was built on one side is a cache hit on the other.
// Pure functions, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "explain/log_comparison.h"

namespace lre::explain {

// A spawn that should have been a hit and was not.
struct Miss {
  std::string spawn;  // Spawn::Name()
  std::string why;    // one line
  std::optional<Difference> difference;
};

struct Sharing {
  size_t spawns = 0;  // that may be cached, of the second log
  size_t hits = 0;
  size_t not_cacheable = 0;  // their rules say so: not counted above
  std::vector<Miss> misses;
};

// `second` was built after `first`, from nothing, with the same cache.
Sharing CountHits(const ExecutionLog& first, const ExecutionLog& second);

// "100 %", "99.8 %": never rounded up to 100.
std::string HitRate(const Sharing& sharing);

}  // namespace lre::explain
