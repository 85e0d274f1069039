#include "scheduler/locality.h"

namespace lre::scheduler {

void Locality::Ran(const std::vector<uint64_t>& affinities, uint64_t worker_number) {
  if (affinities.empty() || entries_max_ == 0) return;
  if (entries_.empty()) entries_.resize(entries_max_);
  for (uint64_t affinity : affinities) {
    entries_[affinity % entries_.size()] = {affinity, worker_number};
  }
}

uint64_t Locality::WorkerOf(uint64_t affinity) const {
  if (entries_.empty()) return 0;
  const Entry& entry = entries_[affinity % entries_.size()];
  return entry.affinity == affinity ? entry.worker : 0;
}

}  // namespace lre::scheduler
