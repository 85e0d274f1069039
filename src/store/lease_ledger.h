// LeaseLedger: how many leased bytes each identity holds. A blob's lease is held by whoever wrote
// or renewed it last. Blobs are sampled by size and key: those of a 65,536th of the store or more
// are all counted, a smaller one with the probability that its size has of that and then for as
// much, so memory stays under 20 MB whatever the store's size, and sums are right to a few parts in
// a thousand of the store. Thread-safe. In memory only: a start begins with nobody holding
// anything.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/guarded.h"
#include "store/log_format.h"

namespace lre::store {

class LeaseLedger {
 public:
  explicit LeaseLedger(uint64_t store_bytes) : unit_(store_bytes / 65'536 + 1) {}

  // Whether Note does anything: asked first, without a lock.
  bool Counts(const LogKey& key, uint64_t bytes) const {
    return bytes >= unit_ || key.low % unit_ < bytes;
  }
  // `identity` wrote the blob or renewed its lease at `tick`.
  void Note(std::string_view identity, const LogKey& key, uint64_t bytes, uint32_t tick);

  struct Holding {
    uint64_t bytes = 0;
    uint32_t oldest_tick = 0;  // of the lease that ends first; 0 when there is none
  };
  // What `identity` holds when leases from before `since` have ended.
  Holding HeldBy(std::string_view identity, uint32_t since);

 private:
  using ByTick = std::map<uint32_t, uint64_t>;  // bytes
  struct Lease {
    std::string identity;
    uint32_t tick = 0;
    uint64_t bytes = 0;
  };
  struct KeyHash {
    size_t operator()(const LogKey& key) const { return key.high; }
  };
  static constexpr size_t kForgottenAtOnce = 1024;
  struct State {
    std::unordered_map<LogKey, Lease, KeyHash> leases;
    std::map<uint32_t, std::vector<LogKey>> noted;  // by tick; some were renewed since
    std::map<std::string, ByTick, std::less<>> holdings;

    void Remove(const Lease& lease);
    // Of the leases from before `since`, which count no more, a bounded number: event loops wait.
    void Forget(uint32_t since);
  };
  const uint64_t unit_;
  Guarded<State> state_;
};

}  // namespace lre::store
