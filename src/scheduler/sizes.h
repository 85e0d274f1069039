// Sizes: how much memory and how many cores actions of a kind (the caller's hash of mnemonic and
// target) took before. The estimate is generous, follows a larger run at once and a smaller one
// slowly, and comes in powers of two, so that few different sizes are asked for. A table of fixed
// size in which newer kinds displace older ones. Confined to one thread. Bounds: entries_max of 32
// bytes, allocated with the first use; 0: nothing is learned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/scheduler.h"

namespace lre::scheduler {

struct Size {
  int64_t memory_bytes = 0;  // 0: small, or not known
  int64_t cores = 0;         // 0: one or less, or not known
  friend bool operator==(const Size&, const Size&) = default;
};

class Sizes {
 public:
  explicit Sizes(size_t entries_max) : entries_max_(entries_max) {}

  void Learn(uint64_t kind, const Usage& usage);
  // A run was killed for want of memory: from now on at least `memory_bytes` are asked for.
  void LearnMemory(uint64_t kind, int64_t memory_bytes);
  Size Of(uint64_t kind) const;

 private:
  struct Entry {
    uint64_t kind = 0;
    double memory_bytes = 0, cores = 0;
  };
  Entry* Ensure(uint64_t kind);

  const size_t entries_max_;
  std::vector<Entry> entries_;
};

}  // namespace lre::scheduler
