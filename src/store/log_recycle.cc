// Recycling frees whole segments. One pass over the index finds how many bytes of which age there
// are, and from that the tick since which blobs are kept: as many of the most recently used as fit
// three quarters of the store, and never less than the leases ask for. A second pass counts what
// each segment would keep; those that keep least are given up. Their kept records are copied to the
// carried head, the copies and their journal entries are put on the disk, and only then the files
// are unlinked. Readers that hold slices of them keep the mapping; the store keeps it longer still,
// so that no reader is the one who unmaps a segment and frees its blocks.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <unordered_map>

#include "base/log.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {

struct LogStoreImpl::Kept {
  SegmentPtr segment;
  uint64_t bytes = 0;
};

Status LogStoreImpl::Recycle(uint64_t bytes) {
  std::lock_guard lock(recycle_mutex_);
  return RecycleLocked(bytes);
}

std::vector<LogStoreImpl::Kept> LogStoreImpl::PlanRecycling(uint32_t keep_since) const {
  std::unordered_map<uint32_t, Kept> kept;
  {
    std::shared_lock lock(segments_mutex_);
    // Those with writers are left out now, not only below: a fresh segment has one until it is a
    // head, and what is a head now is one below or has been sealed, and takes no new writers.
    for (const auto& [number, segment] : segments_)
      if (segment->writers == 0) kept[number] = {segment, 0};
  }
  for (const auto& guarded : heads_)
    guarded.With([&](const Head& head) {
      if (head.segment != nullptr) kept.erase(head.segment->number());
    });
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    index_.ForEach(shard, [&](const LogEntry& entry) {
      if (entry.tick() < keep_since) return;
      auto it = kept.find(entry.segment());
      if (it != kept.end()) it->second.bytes += DiskBytes(entry);
    });
  }
  std::vector<Kept> plan;
  for (auto& [number, segment] : kept) {
    // Less than a tenth freed is not worth copying the rest.
    if (segment.segment->writers == 0 && segment.bytes < segment.segment->capacity() / 10 * 9)
      plan.push_back(std::move(segment));
  }
  std::sort(plan.begin(), plan.end(), [](const Kept& a, const Kept& b) {
    auto share = [](const Kept& k) {
      return static_cast<double>(k.bytes) / static_cast<double>(k.segment->capacity() + 1);
    };
    // Of equals the oldest.
    return std::pair(share(a), a.segment->number()) < std::pair(share(b), b.segment->number());
  });
  return plan;
}

Result<uint64_t> LogStoreImpl::FreeUnused(uint64_t bytes, uint32_t keep_since) {
  std::vector<Kept> plan = PlanRecycling(keep_since);
  uint64_t freed = 0;
  for (size_t next = 0; next < plan.size() && freed < bytes;) {
    // As many at once as keep one segment's worth together: one sync serves them all.
    std::vector<SegmentPtr> victims;
    uint64_t kept = 0;
    while (next < plan.size() && freed < bytes &&
           (victims.empty() || kept + plan[next].bytes <= options_.segment_bytes)) {
      kept += plan[next].bytes;
      freed += plan[next].segment->capacity() - plan[next].bytes;
      victims.push_back(std::move(plan[next++].segment));
    }
    TRY(GiveUp(std::move(victims), keep_since));
  }
  return freed;
}

Status LogStoreImpl::RecycleLocked(uint64_t bytes) {
  TRY(CheckWritable());
  auto full = [&](uint64_t lacking) {
    return FullStatus(fmt::format(
        "store {}: {} more bytes are wanted, but its {} bytes are full of leased blobs; "
        "raise its size limit or try again later",
        options_.directory, lacking, options_.size_bytes_max));
  };
  // Each look costs two passes over the index: writers who do not wait as they are told must not
  // make the store busy with nothing else.
  if (clock_.Now() < recycle_again_at_ && bytes >= recycle_lacked_bytes_) return full(bytes);
  DropRemnants();
  RenewPins();
  uint64_t freed = 0;
  uint32_t keep_since = 0;
  // Where what is used lately lies so scattered that too little comes free, less of it is kept, at
  // last only what is leased.
  for (uint64_t percent : {75, 50, 0}) {
    if (keep_since > 0 && lease_is_short_) break;  // all but leases has gone
    uint32_t since = KeepSince(SpaceLimit(kFresh) / 100 * percent);
    if (since <= keep_since) continue;
    keep_since = since;
    TRY_ASSIGN(uint64_t more, FreeUnused(bytes - freed, keep_since));
    freed += more;
    if (freed >= bytes) return {};
  }
  recycle_again_at_ = clock_.Now() + std::chrono::seconds(1);
  recycle_lacked_bytes_ = bytes - freed;
  return full(bytes - freed);
}

Status LogStoreImpl::GiveUp(std::vector<SegmentPtr> victims, uint32_t keep_since) {
  std::unordered_map<uint32_t, SegmentPtr> by_number;
  for (const SegmentPtr& segment : victims) by_number[segment->number()] = segment;
  // An entry is either touched in time, and then carried, or gone.
  std::vector<LogEntry> carried;
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    index_.ForEach(shard, [&](const LogEntry& entry) {
      if (by_number.count(entry.segment()) == 0) return;
      if (!index_.EraseUntouched(entry.key, entry.location, keep_since)) carried.push_back(entry);
    });
  }
  std::sort(carried.begin(), carried.end(),
            [](const LogEntry& a, const LogEntry& b) { return a.location < b.location; });
  for (const LogEntry& entry : carried) TRY(Carry(entry, *by_number[entry.segment()]));
  TRY(Sync());
  for (const SegmentPtr& segment : victims) {
    TRY(files_.Remove(segment->path()));
    recycled_segments_.Add();
    std::unique_lock lock(segments_mutex_);
    segments_.erase(segment->number());
  }
  by_number.clear();
  for (SegmentPtr& segment : victims) Retire(std::move(segment));
  DropRetired();
  return {};
}

void LogStoreImpl::Retire(SegmentPtr segment) {
  retired_.With([&](auto& retired) { retired.push_back(std::move(segment)); });
}

void LogStoreImpl::DropRetired() {
  std::vector<SegmentPtr> dropped;  // outside the lock: unmapping and freeing takes time
  retired_.With([&](auto& retired) {
    // Nobody finds them any more: what only this list holds stays so.
    auto unheld = std::partition(retired.begin(), retired.end(),
                                 [](const SegmentPtr& segment) { return segment.use_count() > 1; });
    dropped.assign(std::make_move_iterator(unheld), std::make_move_iterator(retired.end()));
    retired.erase(unheld, retired.end());
  });
  if (dropped.empty()) return;
  dropped.clear();
  used_gauge_.Set(static_cast<int64_t>(used_bytes_->load()));
}

Status LogStoreImpl::Carry(const LogEntry& entry, const Segment& from) {
  auto header = ReadHeader(from, entry);
  if (!header) {
    DropDamaged(entry, header.error().message());
    return {};
  }
  RecordHeader copy = *header;
  auto extent = Reserve(copy.record_bytes(), kCarried, true);
  if (!*extent) return std::move(*extent).error();
  const Segment& to = *(*extent)->segment();
  copy.generation = to.generation();
  copy.Seal();
  TRY(to.file().WriteAt({reinterpret_cast<const char*>(&copy), sizeof copy}, (*extent)->offset()));
  // Checksums travel with their bytes, so damage is found by whoever reads, as before.
  uint64_t end = copy.payload_offset() + copy.size + copy.table_bytes();
  std::string buffer(std::min<uint64_t>(end, 1 << 20), '\0');
  for (uint64_t at = sizeof copy; at < end; at += buffer.size()) {
    size_t size = std::min<uint64_t>(buffer.size(), end - at);
    TRY_ASSIGN(size_t read, from.file().ReadAt(buffer.data(), size, entry.offset() + at));
    if (read != size) {
      DropDamaged(entry, "cut off");
      return {};
    }
    TRY(to.file().WriteAt(std::string_view(buffer.data(), size), (*extent)->offset() + at));
  }
  carried_bytes_.Add(copy.record_bytes());
  return journal_.With([&](JournalState& state) -> Status {
    // Touched, replaced or dropped meanwhile: what counts is the entry of now.
    auto now = index_.Find(entry.key);
    if (!now || now->location != entry.location) return {};
    LogEntry moved = LogEntry::Make(entry.key, to.number(), (*extent)->offset(), entry.size());
    if (entry.is_list()) moved.set_list();
    moved.set_tick(now->tick());
    JournalEntry put{.type = JournalEntry::kPut, .entry = moved};
    TRY(state.journal->Append({&put, 1}));
    journal_bytes_ += sizeof put;
    ++state.appended;
    if (!(*extent)->segment()->dirty.exchange(true)) state.dirty.push_back((*extent)->segment());
    index_.Move(entry.key, entry.location, moved.location);
    return {};
  });
}

}  // namespace lre::store
