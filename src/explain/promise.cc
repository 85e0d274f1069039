#include "explain/promise.h"

#include <map>

namespace lre::explain {

Sharing CountHits(const ExecutionLog& first, const ExecutionLog& second) {
  Sharing sharing;
  LogComparison comparison = CompareLogs(first, second);
  std::map<size_t, const KeyDifference*> differing;
  for (const KeyDifference& difference : comparison.different_keys)
    differing[difference.pair.b] = &difference;
  std::map<size_t, bool> following, known;
  for (const SpawnPair& pair : comparison.following) following[pair.b] = true;
  for (const SpawnPair& pair : comparison.pairs) known[pair.b] = true;
  for (size_t i = 0; i < second.spawns().size(); ++i) {
    const Spawn& spawn = second.spawns()[i];
    if (!spawn.cacheable && !spawn.cache_hit) {
      ++sharing.not_cacheable;
      continue;
    }
    ++sharing.spawns;
    if (spawn.cache_hit) {
      ++sharing.hits;
      continue;
    }
    Miss miss{.spawn = spawn.Name(), .why = {}, .difference = {}};
    if (!known.contains(i)) {
      miss.why = "the first build did not have it";
    } else if (auto it = differing.find(i); it != differing.end()) {
      miss.difference = it->second->differences.front();
      miss.why = fmt::format("another key: {}", CauseName(miss.difference->cause));
    } else if (following.contains(i)) {
      miss.why = "another key: inputs that a miss above made";
    } else if (!spawn.status.empty()) {
      miss.why = fmt::format("it failed: {}", spawn.status);
    } else {
      miss.why = "the same key, but the cache had no result (not stored, or evicted)";
    }
    sharing.misses.push_back(std::move(miss));
  }
  return sharing;
}

std::string HitRate(const Sharing& sharing) {
  if (sharing.hits == sharing.spawns) return "100 %";
  size_t tenths = sharing.hits * 1000 / sharing.spawns;  // rounded down
  return fmt::format("{}.{} %", tenths / 10, tenths % 10);
}

}  // namespace lre::explain
