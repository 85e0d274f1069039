// Checking what lies on the disk: all at once for whoever asks, and in the background shard by
// shard, spread over scrub_interval. A start begins at a shard that depends on the time, so that a
// server which is often restarted still gets to all of them. What the page cache holds is checked
// there: the disk below it is checked when the page has gone.
#include <algorithm>

#include "store/log_store_impl.h"

namespace lre::store {
namespace {
// So much is read in one go before the scrub waits for its share to come round.
constexpr uint64_t kBurstBytes = 1 << 20;
}  // namespace

void LogStoreImpl::CheckShard(size_t shard, const std::function<bool(uint64_t)>& pace) {
  std::vector<LogEntry> entries;
  index_.Copy(shard, &entries);
  std::sort(entries.begin(), entries.end(),
            [](const LogEntry& a, const LogEntry& b) { return a.location < b.location; });
  for (const LogEntry& entry : entries) {
    SegmentPtr segment = SegmentOf(entry);
    if (segment == nullptr) continue;  // carried meanwhile
    auto header = ReadHeader(*segment, entry);
    auto sound = header ? CheckPayload(*segment, entry, *header, {0, header->size})
                        : Result<bool>(std::unexpected(header.error()));
    if (!sound || !*sound) {
      DropDamaged(entry, sound ? "checksum" : sound.error().message());
    } else if (entry.is_list()) {
      // A chunk was given up or damaged: not this record's fault, but nobody can read the blob.
      auto list = *LoadList<true>(entry);
      if (list && !HasChunks(**list)) Drop(entry);
    }
    if (!pace(sizeof(RecordHeader) + entry.size())) return;
  }
}

Result<uint64_t> LogStoreImpl::Verify() {
  uint64_t before = damaged_.value();
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard)
    CheckShard(shard, [](uint64_t) { return true; });
  return damaged_.value() - before;
}

void LogStoreImpl::ScrubLoop(std::stop_token stop) {
  size_t shard = secret_.words[0] % LogIndex::kShards;
  shard = (shard + NowTick()) % LogIndex::kShards;
  while (Pause(stop, options_.scrub_interval / LogIndex::kShards)) {
    uint64_t burst = 0;
    CheckShard(shard, [&](uint64_t bytes) {
      scrubbed_bytes_.Add(bytes);
      burst += bytes;
      if (burst < kBurstBytes) return !stop.stop_requested();
      auto share = std::chrono::duration<double>(
          static_cast<double>(burst) / static_cast<double>(options_.scrub_bytes_per_second));
      burst = 0;
      return Pause(stop, std::chrono::duration_cast<Duration>(share));
    });
    shard = (shard + 1) % LogIndex::kShards;
  }
}

}  // namespace lre::store
