#include "store/lease_ledger.h"

#include <algorithm>

namespace lre::store {

void LeaseLedger::State::Remove(const Lease& lease) {
  auto holding = holdings.find(lease.identity);
  auto at = holding->second.find(lease.tick);
  at->second -= lease.bytes;
  if (at->second == 0) holding->second.erase(at);
  if (holding->second.empty()) holdings.erase(holding);
}

void LeaseLedger::Note(std::string_view identity, const LogKey& key, uint64_t bytes,
                       uint32_t tick) {
  if (!Counts(key, bytes)) return;
  state_.With([&](State& state) {
    Lease& lease = state.leases[key];
    if (lease.bytes > 0) {
      if (lease.tick == tick && lease.identity == identity) return;
      state.Remove(lease);
    }
    if (lease.bytes == 0 || lease.tick != tick) state.noted[tick].push_back(key);
    lease = {std::string(identity), tick, std::max(bytes, unit_)};
    state.holdings[lease.identity][tick] += lease.bytes;
  });
}

LeaseLedger::Holding LeaseLedger::HeldBy(std::string_view identity, uint32_t since) {
  return state_.With([&](State& state) {
    while (!state.noted.empty() && state.noted.begin()->first < since) {
      for (const LogKey& key : state.noted.begin()->second) {
        auto lease = state.leases.find(key);
        if (lease == state.leases.end() || lease->second.tick >= since) continue;
        state.Remove(lease->second);
        state.leases.erase(lease);
      }
      state.noted.erase(state.noted.begin());
    }
    Holding held;
    auto holding = state.holdings.find(identity);
    if (holding == state.holdings.end()) return held;
    held.oldest_tick = holding->second.begin()->first;
    for (const auto& [tick, bytes] : holding->second) held.bytes += bytes;
    return held;
  });
}

}  // namespace lre::store
