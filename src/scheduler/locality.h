// Locality: which worker ran last what shares something with an action (its input root, target or
// toolchain, as hashes the caller chose). A table of fixed size in which newer entries displace
// older ones: it only prefers, so it may forget. Confined to one thread. Bounds: entries_max, two
// numbers each, allocated with the first use; 0: nothing is remembered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lre::scheduler {

class Locality {
 public:
  explicit Locality(size_t entries_max) : entries_max_(entries_max) {}

  void Ran(const std::vector<uint64_t>& affinities, uint64_t worker_number);
  // The number of the worker that ran it last; 0: not known.
  uint64_t WorkerOf(uint64_t affinity) const;

 private:
  struct Entry {
    uint64_t affinity = 0, worker = 0;
  };
  const size_t entries_max_;
  std::vector<Entry> entries_;
};

}  // namespace lre::scheduler
