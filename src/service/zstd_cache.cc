#include "service/zstd_cache.h"

namespace lre::service {

std::optional<BytesList> ZstdCache::Find(const store::BlobKey& key) {
  return state_.With([&](State& state) -> std::optional<BytesList> {
    auto found = state.by_key.find(key);
    if (found == state.by_key.end()) return std::nullopt;
    state.entries.splice(state.entries.begin(), state.entries, found->second);
    return found->second->frames;
  });
}

void ZstdCache::Put(const store::BlobKey& key, BytesList frames) {
  const size_t bytes = TotalSize(frames);
  if (bytes > blob_bytes_max()) return;
  std::list<Entry> dropped;  // freed outside the lock
  state_.With([&](State& state) {
    if (state.by_key.contains(key)) return;
    state.entries.push_front({key, std::move(frames), bytes});
    state.by_key[key] = state.entries.begin();
    state.bytes += bytes;
    while (state.bytes > bytes_max_) {
      auto last = std::prev(state.entries.end());
      state.bytes -= last->bytes;
      state.by_key.erase(last->key);
      dropped.splice(dropped.begin(), state.entries, last);
    }
  });
}

}  // namespace lre::service
