// Reading. Small blobs are copied out: of the mapping once they were verified and as long as their
// pages are known to be in memory, else with one preadv2 that says at once when they are not. Large
// ones are slices of the mapping, handed out once the kernel says that their pages are there.
// Checksums are computed over what pread gives, never over the mapping.
#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/mapped_copy.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {
namespace {

// How often a read looks again when the record moved under it.
constexpr int kAttempts = 10;
// Touches that may wait for the journal before readers wait with them.
constexpr size_t kTouchesMax = 65'536;

}  // namespace

uint32_t LogStoreImpl::NowTick() const {
  return static_cast<uint32_t>(clock_.WallNow().time_since_epoch() / LogEntry::kTick);
}

void LogStoreImpl::JournalTouches(std::vector<JournalEntry>& touches) {
  if (touches.empty()) return;
  NoteHolder(touches);
  bool wake = false, wait = !options_.background;
  {
    std::lock_guard lock(touches_mutex_);
    wake = touches_.empty();
    wait = wait || touches_.size() > kTouchesMax;
    touches_.insert(touches_.end(), touches.begin(), touches.end());
    touches_wait_ = true;
  }
  touches.clear();
  // Readers wait for no disk: a thread of its own, or the next writer, takes them at once.
  if (wake) touches_ready_.notify_one();
  if (wait) journal_.With([this](JournalState& state) { AppendTouches(state); });
}

std::optional<LogEntry> LogStoreImpl::FindAndTouch(const LogKey& key) {
  bool moved = false;
  auto entry = index_.Touch(key, NowTick(), touch_step_, &moved);
  if (entry && moved) {
    std::vector<JournalEntry> touches = {{.type = JournalEntry::kTouch, .entry = *entry}};
    JournalTouches(touches);
  }
  return entry;
}

void LogStoreImpl::AnnounceKeys(Partition partition, std::span<const Digest> digests,
                                LogKey* keys) const {
  for (size_t i = 0; i < digests.size(); ++i) {
    keys[i] = KeyOfBlob(secret_, digests[i], partition);
    index_.Prefetch(keys[i]);
  }
}

Result<std::vector<uint32_t>> LogStoreImpl::FindMissing(Partition partition,
                                                        std::span<const Digest> digests) {
  return *Find<true>(partition, digests);
}
std::optional<Result<std::vector<uint32_t>>> LogStoreImpl::TryFindMissing(
    Partition partition, std::span<const Digest> digests) {
  return Find<false>(partition, digests);
}

template <bool kBlocking>
std::optional<Result<std::vector<uint32_t>>> LogStoreImpl::Find(Partition partition,
                                                                std::span<const Digest> digests) {
  std::vector<uint32_t> missing, lists;
  std::vector<JournalEntry> touches;
  uint32_t now = NowTick();
  LogKey keys[kBatch];
  for (size_t start = 0; start < digests.size(); start += kBatch) {
    size_t count = std::min(kBatch, digests.size() - start);
    AnnounceKeys(partition, digests.subspan(start, count), keys);
    for (size_t i = 0; i < count; ++i) {
      bool moved = false;
      auto entry = index_.Touch(keys[i], now, touch_step_, &moved);
      if (!entry && !IsEmptyBlob(digests[start + i]))
        missing.push_back(static_cast<uint32_t>(start + i));
      if (entry && moved) touches.push_back({.type = JournalEntry::kTouch, .entry = *entry});
      if (entry && entry->is_list()) [[unlikely]]
        lists.push_back(static_cast<uint32_t>(start + i));
    }
    if (touches.size() >= 1024) JournalTouches(touches);
  }
  JournalTouches(touches);
  if (!lists.empty()) [[unlikely]]
    return FindListed<kBlocking>(partition, digests, lists, std::move(missing));
  return missing;
}

SegmentPtr LogStoreImpl::SegmentOf(const LogEntry& entry) const {
  std::shared_lock lock(segments_mutex_);
  auto it = segments_.find(entry.segment());
  return it == segments_.end() ? nullptr : it->second;
}

void LogStoreImpl::DropDamaged(const LogEntry& entry, std::string_view what) {
  bool dropped = journal_.With([&](JournalState& state) {
    JournalEntry drop{.type = JournalEntry::kDrop, .entry = entry};
    // If even this cannot be written, the next start finds the damage again.
    (void)state.journal->Append({&drop, 1}).ok();
    return index_.Erase(entry.key, entry.location);
  });
  if (!dropped) return;
  damaged_.Add();
  Log(kWarning, "store_record_damaged",
      {{"what", what},
       {"segment", entry.segment()},
       {"offset", static_cast<int64_t>(entry.offset())},
       {"size_bytes", static_cast<int64_t>(entry.size())}});
}

Result<RecordHeader> LogStoreImpl::ReadHeader(const Segment& segment, const LogEntry& entry) const {
  RecordHeader header;
  TRY_ASSIGN(size_t read, segment.file().ReadAt(reinterpret_cast<char*>(&header), sizeof header,
                                                entry.offset()));
  if (read != sizeof header || !header.IsSound() || header.generation != segment.generation() ||
      header.size != entry.size() || entry.offset() + header.record_bytes() > segment.capacity()) {
    return Error(Code::kDataLoss, "segment {} at {}: the record's header is damaged",
                 segment.path(), entry.offset());
  }
  return header;
}

Result<bool> LogStoreImpl::CheckPayload(const Segment& segment, const LogEntry& entry,
                                        const RecordHeader& header, ByteRange range) const {
  uint64_t payload = entry.offset() + header.payload_offset();
  std::vector<uint32_t> table;
  if (header.chunks() > 1) {
    table.resize(header.chunks());
    TRY_ASSIGN(size_t read, segment.file().ReadAt(reinterpret_cast<char*>(table.data()),
                                                  header.table_bytes(), payload + header.size));
    std::string_view bytes(reinterpret_cast<const char*>(table.data()), header.table_bytes());
    if (read != bytes.size() || Crc32c(bytes) != header.chunk_crc) return false;
  } else {
    table.push_back(header.chunk_crc);
  }
  std::string chunk(std::min(kChunkBytes, header.size), '\0');
  for (uint64_t i = range.offset / kChunkBytes; i * kChunkBytes < range.end; ++i) {
    uint64_t size = std::min(kChunkBytes, header.size - i * kChunkBytes);
    TRY_ASSIGN(size_t read, segment.file().ReadAt(chunk.data(), size, payload + i * kChunkBytes));
    if (read != size || Crc32c({chunk.data(), size}) != table[i]) return false;
  }
  return true;
}

std::optional<Result<Bytes>> LogStoreImpl::ReadRecord(const Segment& segment, const LogEntry& entry,
                                                      uint64_t key_bytes, bool blocking) const {
  size_t size = sizeof(RecordHeader) + key_bytes + entry.size();
  auto buffer = std::make_shared_for_overwrite<char[]>(size);
  if (blocking) {
    TRY_ASSIGN(size_t read, segment.file().ReadAt(buffer.get(), size, entry.offset()));
    if (read != size) return Error(Code::kDataLoss, "segment {}: it is cut off", segment.path());
  } else if (entry.verified() && segment.IsWarm(entry.offset(), size, clock_.Now())) {
    if (!MappedCopy(buffer.get(), segment.data() + entry.offset(), size)) return std::nullopt;
  } else {
    iovec vector{buffer.get(), size};
    ssize_t read =
        preadv2(segment.file().fd(), &vector, 1, static_cast<off_t>(entry.offset()), RWF_NOWAIT);
    if (read != static_cast<ssize_t>(size)) return std::nullopt;
  }
  std::string_view view(buffer.get(), size);
  return Bytes(std::move(buffer), view);
}

Result<BytesList> LogStoreImpl::ReadLarge(const SegmentPtr& segment, const LogEntry& entry,
                                          const RecordHeader& header, ByteRange range) {
  if (!entry.verified()) {
    TRY_ASSIGN(bool sound, CheckPayload(*segment, entry, header, range));
    if (!sound) return Error(Code::kDataLoss, "checksum");
    if (range.offset == 0 && range.end == header.size)
      index_.SetVerified(entry.key, entry.location);
  }
  uint64_t at = entry.offset() + header.payload_offset() + range.offset;
  uint64_t size = range.end - range.offset;
  if (size == 0) return BytesList();
  // All of it, however large: a page that is not here yet may be one that the disk cannot give, and
  // whoever touches that is killed. Callers who care how long this takes ask for pieces.
  if (!segment->Populate(at, size))
    return Error(Code::kDataLoss, "segment {}: the disk gave an error", segment->path());
  return BytesList{Bytes(segment, {segment->data() + at, size})};
}

std::optional<Result<BytesList>> LogStoreImpl::TryReadLarge(const SegmentPtr& segment,
                                                            const LogEntry& entry,
                                                            const BlobKey& key, ByteRange range) {
  if (!entry.verified()) return std::nullopt;
  auto clamped = ClampRange(key, entry.size(), range);
  if (!clamped) return std::unexpected(std::move(clamped).error());
  const Instant now = clock_.Now();
  RecordHeader header;
  if (!segment->IsWarm(entry.offset(), sizeof header, now) ||
      !MappedCopy(&header, segment->data() + entry.offset(), sizeof header)) {
    return std::nullopt;
  }
  if (!header.IsOf(key) || header.generation != segment->generation()) return std::nullopt;
  uint64_t at = entry.offset() + header.payload_offset() + clamped->offset;
  uint64_t size = clamped->end - clamped->offset;
  if (size == 0) return BytesList();
  if (size > 64 << 20 || !segment->IsWarm(at, size, now)) return std::nullopt;
  return BytesList{Bytes(segment, {segment->data() + at, size})};
}

template <bool kBlocking>
std::optional<Result<BytesList>> LogStoreImpl::ReadBlob(const BlobKey& key, ByteRange range) {
  if (IsEmptyBlob(key.digest)) {
    auto clamped = ClampRange(key, 0, range);
    if (!clamped) return std::unexpected(std::move(clamped).error());
    return BytesList();
  }
  LogKey log_key = KeyOfBlob(secret_, key.digest, key.partition);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto entry = FindAndTouch(log_key);
    if (!entry) return Error(Code::kNotFound, "blob {}", key.digest);
    if (entry->size() != static_cast<uint64_t>(key.digest.size_bytes)) [[unlikely]]
      return ReadEncoded<kBlocking>(key, range);
    SegmentPtr segment = SegmentOf(*entry);
    if (segment == nullptr) continue;  // carried elsewhere since the lookup
    auto clamped = ClampRange(key, entry->size(), range);
    if (!clamped) return std::unexpected(std::move(clamped).error());

    if (entry->size() <= kCopyBytesMax) {
      auto record = ReadRecord(*segment, *entry, 0, kBlocking);
      if (!record) return std::nullopt;
      RecordHeader header;
      bool sound = record->has_value();
      if (sound) {
        std::memcpy(&header, (*record)->data(), sizeof header);
        sound = header.generation == segment->generation() && header.size == entry->size() &&
                (entry->verified() ||
                 (header.IsSound() &&
                  Crc32c((*record)->Slice(sizeof header).view()) == header.chunk_crc));
      }
      if (sound && !header.IsOf(key)) return Error(Code::kNotFound, "blob {}", key.digest);
      if (sound) {
        if (!entry->verified()) index_.SetVerified(log_key, entry->location);
        if (clamped->offset == clamped->end) return BytesList();
        return BytesList{
            (*record)->Slice(sizeof header + clamped->offset, clamped->end - clamped->offset)};
      }
      DropDamaged(*entry, record->has_value() ? "checksum" : record->error().message());
      continue;  // absent, or written again meanwhile
    }

    if constexpr (!kBlocking) {
      return TryReadLarge(segment, *entry, key, range);
    } else {
      auto header = ReadHeader(*segment, *entry);
      if (header && !header->IsOf(key)) return Error(Code::kNotFound, "blob {}", key.digest);
      Result<BytesList> pieces = header ? ReadLarge(segment, *entry, *header, *clamped)
                                        : Result<BytesList>(std::unexpected(header.error()));
      if (pieces) return pieces;
      DropDamaged(*entry, pieces.error().message());
    }
  }
  return Error(Code::kUnavailable, "blob {}: it kept moving; try again", key.digest);
}

Result<BytesList> LogStoreImpl::Read(const BlobKey& key, ByteRange range) {
  return *ReadBlob<true>(key, range);
}
std::optional<Result<BytesList>> LogStoreImpl::TryRead(const BlobKey& key, ByteRange range) {
  return ReadBlob<false>(key, range);
}

template <bool kBlocking>
std::optional<Result<Bytes>> LogStoreImpl::GetValueWith(std::string_view key) {
  Status status = CheckValue(key, 0);
  if (!status.ok()) return std::unexpected(std::move(status));
  LogKey log_key = KeyOfValue(secret_, key);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto entry = FindAndTouch(log_key);
    if (!entry) return Error(Code::kNotFound, "no value under this key");
    SegmentPtr segment = SegmentOf(*entry);
    if (segment == nullptr) continue;
    if (!kBlocking && !entry->verified() && entry->size() > kChunkBytes) return std::nullopt;
    auto record = ReadRecord(*segment, *entry, key.size(), kBlocking);
    if (!record) return std::nullopt;
    RecordHeader header;
    bool sound = record->has_value();
    if (sound) {
      std::memcpy(&header, (*record)->data(), sizeof header);
      sound = header.IsSound() && header.generation == segment->generation() &&
              header.size == entry->size();
    }
    if (sound && ((*record)->view().substr(sizeof header, key.size()) != key ||
                  header.key_bytes != key.size() || header.kind != RecordKind::kValue)) {
      return Error(Code::kNotFound, "no value under this key");
    }
    if (sound && !entry->verified()) {
      auto checked = CheckPayload(*segment, *entry, header, {0, header.size});
      sound = checked && *checked;
      if (sound) index_.SetVerified(log_key, entry->location);
    }
    if (sound) return (*record)->Slice(sizeof header + key.size());
    DropDamaged(*entry, "value");
  }
  return Error(Code::kUnavailable, "value: it kept moving; try again");
}

Result<Bytes> LogStoreImpl::GetValue(std::string_view key) { return *GetValueWith<true>(key); }
std::optional<Result<Bytes>> LogStoreImpl::TryGetValue(std::string_view key) {
  return GetValueWith<false>(key);
}

}  // namespace lre::store
