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
    state.Forget(since);
    Holding held;
    auto holding = state.holdings.find(identity);
    if (holding == state.holdings.end()) return held;
    for (auto at = holding->second.lower_bound(since); at != holding->second.end(); ++at) {
      if (held.bytes == 0) held.oldest_tick = at->first;
      held.bytes += at->second;
    }
    return held;
  });
}

void LeaseLedger::State::Forget(uint32_t since) {
  for (size_t left = kForgottenAtOnce; left > 0 && !noted.empty(); --left) {
    auto& [tick, keys] = *noted.begin();
    if (tick >= since) return;
    if (!keys.empty()) {
      auto lease = leases.find(keys.back());
      if (lease != leases.end() && lease->second.tick < since) {
        Remove(lease->second);
        leases.erase(lease);
      }
      keys.pop_back();
    }
    if (keys.empty()) noted.erase(noted.begin());
  }
}

}  // namespace lre::store
