// Many small blobs at once without blocking: lookups announced ahead, one look at the table of
// segments, one buffer for all bytes. What is not a small, verified record in memory is read by
// itself, as TryRead does it.
#include <algorithm>
#include <cstring>

#include "base/mapped_copy.h"
#include "store/log_store_impl.h"

namespace lre::store {

// How many records ahead one is brought into the cache.
static constexpr size_t kAhead = 6;

struct LogStoreImpl::ManyRead {
  std::optional<LogEntry> entry;
  const Segment* segment = nullptr;  // null: to be read by itself

  const char* record() const { return segment->data() + entry->offset(); }
  size_t record_bytes() const { return sizeof(RecordHeader) + entry->size(); }
};

std::vector<SegmentPtr> LogStoreImpl::FindMany(Partition partition, std::span<const Digest> digests,
                                               std::vector<ManyRead>& reads) {
  std::vector<JournalEntry> touches;
  const uint32_t tick = NowTick();
  LogKey keys[kBatch];
  for (size_t start = 0; start < digests.size(); start += kBatch) {
    const size_t count = std::min(kBatch, digests.size() - start);
    AnnounceKeys(partition, digests.subspan(start, count), keys);
    for (size_t i = 0; i < count; ++i) {
      bool moved = false;
      auto& entry = reads[start + i].entry = index_.Touch(keys[i], tick, touch_step_, &moved);
      if (entry && moved) touches.push_back({.type = JournalEntry::kTouch, .entry = *entry});
    }
  }
  JournalTouches(touches);
  std::vector<SegmentPtr> held;
  std::shared_lock lock(segments_mutex_);
  for (ManyRead& read : reads) {
    if (!read.entry || !read.entry->verified() || read.entry->size() > kCopyBytesMax) continue;
    if (held.empty() || held.back()->number() != read.entry->segment()) {
      auto found = segments_.find(read.entry->segment());
      if (found == segments_.end()) continue;
      held.push_back(found->second);
    }
    read.segment = held.back().get();
  }
  return held;
}

std::optional<std::vector<Result<BytesList>>> LogStoreImpl::TryReadMany(
    Partition partition, std::span<const Digest> digests) {
  std::vector<ManyRead> reads(digests.size());
  const std::vector<SegmentPtr> held = FindMany(partition, digests, reads);

  const Instant now = clock_.Now();
  size_t total = 0;
  for (const ManyRead& read : reads)
    if (read.segment != nullptr) total += read.record_bytes();
  auto buffer = std::make_shared_for_overwrite<char[]>(total);
  char* to = buffer.get();

  std::vector<Result<BytesList>> answers;
  answers.reserve(reads.size());
  for (size_t i = 0; i < reads.size(); ++i) {
    const BlobKey key{digests[i], partition};
    const ManyRead& read = reads[i];
    if (!read.entry && !IsEmptyBlob(key.digest)) {
      answers.push_back(Error(Code::kNotFound, "blob {}", key.digest));
      continue;
    }
    if (i + kAhead < reads.size() && reads[i + kAhead].segment != nullptr) {
      const char* record = reads[i + kAhead].record();
      for (int line = 0; line < 4; ++line) __builtin_prefetch(record + 64 * line);
    }
    const size_t size = read.segment != nullptr ? read.record_bytes() : 0;
    if (size > 0 && read.segment->IsWarm(read.entry->offset(), size, now) &&
        MappedCopy(to, read.record(), size)) {
      RecordHeader header;
      std::memcpy(&header, to, sizeof header);
      if (header.kind == RecordKind::kBlob && header.generation == read.segment->generation() &&
          header.IsOf(key)) {
        answers.push_back(BytesList{Bytes(buffer, {to + sizeof header, size - sizeof header})});
        to += size;
        continue;
      }
    }
    auto answer = TryRead(key, {});
    if (!answer) return std::nullopt;
    answers.push_back(*std::move(answer));
  }
  return answers;
}

}  // namespace lre::store
