// Writing. Every writer gets a place of its own in a segment (moving the tail is all that happens
// under the head's lock), writes there without any lock, and then publishes: journal entry first,
// index second, both under the journal's lock so that their orders agree.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "digest/hasher.h"
#include "store/crc32c.h"
#include "store/lease_holder.h"
#include "store/log_store_impl.h"

namespace lre::store {

Status LogStoreImpl::CheckWritable() const {
  if (!sync_failed_.load(std::memory_order_relaxed)) [[likely]]
    return {};
  return ErrorStatus(Code::kUnavailable,
                     "store {}: the disk refused to sync, writes are refused until a restart",
                     options_.directory);
}

// Carried records may use the last two segments' worth: what frees space must not need it first.
uint64_t LogStoreImpl::SpaceLimit(Origin origin) const {
  return options_.size_bytes_max - (origin == kFresh ? 2 * options_.segment_bytes : 0);
}

Result<SegmentPtr> LogStoreImpl::CreateSegment(uint64_t capacity, Origin origin) {
  for (int attempt = 0;; ++attempt) {
    DropRetired();
    uint64_t lacking = 0;
    {
      std::lock_guard lock(create_mutex_);
      uint64_t wanted = used_bytes_->load() + capacity;
      if (wanted <= SpaceLimit(origin)) {
        uint32_t number = next_segment_++;
        if (number > LogEntry::kSegmentMax)
          return Error(Code::kInternal, "store {}: segment numbers ran out", options_.directory);
        TRY_ASSIGN(SegmentPtr segment, Segment::Create(files_,
                                                       {.path = PathOf("segments", number),
                                                        .number = number,
                                                        .used_bytes = used_bytes_},
                                                       capacity));
        directory_dirty_ = true;
        ++segment->writers;  // held for the caller, before recycling can see it
        std::unique_lock segments_lock(segments_mutex_);
        segments_[number] = segment;
        used_gauge_.Set(static_cast<int64_t>(used_bytes_->load()));
        return segment;
      }
      lacking = wanted - SpaceLimit(origin);
    }
    if (origin == kCarried || attempt == 3) break;
    TRY(Recycle(lacking));
  }
  return std::unexpected(FullStatus(fmt::format(
      "store {}: its {} bytes are full of leased blobs or held by readers; raise its size "
      "limit or try again later",
      options_.directory, options_.size_bytes_max)));
}

// Makes `segment` the one that records of this origin are appended to, and lets go of it: from now
// on recycling spares it because it is a head.
void LogStoreImpl::Install(Origin origin, SegmentPtr segment) {
  SegmentPtr old;
  uint64_t old_tail = 0;
  heads_[origin].With([&](Head& head) {
    old = std::exchange(head.segment, segment);
    old_tail = std::exchange(head.tail, Segment::kHeaderBytes);
  });
  --segment->writers;
  // What is not given back now is when the segment is recycled.
  if (old != nullptr) (void)old->Seal(old_tail).ok();
}

std::optional<Result<Extent>> LogStoreImpl::Reserve(uint64_t bytes, Origin origin, bool blocking) {
  // A large blob has a segment of its own, so that giving it up moves nothing.
  if (bytes > options_.segment_bytes / 4) {
    if (!blocking) return std::nullopt;
    TRY_ASSIGN(SegmentPtr own, CreateSegment(Segment::kHeaderBytes + bytes, origin));
    Extent extent(own, Segment::kHeaderBytes);
    --own->writers;
    return extent;
  }
  if (origin == kFresh && remnant_bytes_.load(std::memory_order_relaxed) >= bytes) [[unlikely]] {
    if (Extent extent = TakeRemnant(bytes)) return extent;
  }
  for (;;) {
    Extent extent;
    SegmentPtr full;
    heads_[origin].With([&](Head& head) {
      full = head.segment;
      if (head.segment == nullptr || head.tail + bytes > options_.segment_bytes) return;
      extent = Extent(head.segment, head.tail);
      head.tail += bytes;
    });
    if (extent) return extent;

    SegmentPtr next;
    if (origin == kFresh)
      spare_.With([&](SegmentPtr& spare) { next = std::exchange(spare, nullptr); });
    if (next == nullptr) {
      if (!blocking) return std::nullopt;
      TRY_ASSIGN(next, CreateSegment(options_.segment_bytes, origin));
    }
    // Another thread may have put a new one there meanwhile; then ours is the next spare.
    bool stale = heads_[origin].With([&](Head& head) { return head.segment != full; });
    if (stale && origin == kFresh) {
      spare_.With([&](SegmentPtr& spare) {
        if (spare == nullptr) spare = std::exchange(next, nullptr);
      });
    }
    if (next != nullptr) Install(origin, std::move(next));
  }
}

Status LogStoreImpl::Publish(const Extent& extent, LogEntry entry, uint64_t* sequence) {
  entry.set_verified();
  JournalEntry put{.type = JournalEntry::kPut, .entry = entry};
  NoteHolder({&put, 1});
  return journal_.With([&](JournalState& state) -> Status {
    TRY(state.journal->Append({&put, 1}));
    journal_bytes_ += sizeof put;
    *sequence = ++state.appended;
    if (!extent.segment()->dirty.exchange(true)) state.dirty.push_back(extent.segment());
    index_.Put(entry);
    AppendTouches(state);
    return {};
  });
}

Status LogStoreImpl::WaitSynced(uint64_t sequence) {
  if (options_.durability == Durability::kBuffered) return {};
  // Whoever gets the lock first syncs for all that wait behind it.
  while (synced_sequence_ < sequence) {
    std::lock_guard lock(sync_mutex_);
    if (synced_sequence_ >= sequence) break;
    uint64_t covered = 0;
    TRY(SyncLocked(&covered));
  }
  return {};
}

namespace {

// The checksums of a payload's chunks, as they come.
class ChunkSums {
 public:
  void Add(std::string_view bytes) {
    while (!bytes.empty()) {
      size_t n = std::min<uint64_t>(bytes.size(), kChunkBytes - filled_);
      sum_ = Crc32c(bytes.substr(0, n), sum_);
      filled_ += n;
      bytes.remove_prefix(n);
      if (filled_ == kChunkBytes) Close();
    }
  }
  // What follows the payload; `header->chunk_crc` is set.
  std::string Finish(RecordHeader* header) {
    if (filled_ > 0) Close();
    std::string table(reinterpret_cast<const char*>(sums_.data()), sums_.size() * 4);
    if (sums_.size() > 1) {
      header->chunk_crc = Crc32c(table);
      return table;
    }
    header->chunk_crc = sums_.empty() ? 0 : sums_[0];
    return {};
  }

 private:
  void Close() {
    sums_.push_back(sum_);
    sum_ = 0;
    filled_ = 0;
  }
  std::vector<uint32_t> sums_;
  uint32_t sum_ = 0;
  uint64_t filled_ = 0;
};

std::string_view ViewOf(const RecordHeader& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

}  // namespace

std::optional<Status> LogStoreImpl::PutRecord(const LogKey& log_key, RecordHeader header,
                                              std::string_view key, std::string_view payload,
                                              bool blocking) {
  if (!blocking && options_.durability == Durability::kSynced) return std::nullopt;
  TRY(CheckWritable());
  TRY(CheckShare(header.record_bytes()));
  auto extent = Reserve(header.record_bytes(), kFresh, blocking);
  if (!extent) return std::nullopt;
  if (!*extent) return std::move(*extent).error();

  std::string table;
  if (header.chunks() > 1) {
    ChunkSums sums;
    sums.Add(payload);
    table = sums.Finish(&header);
  } else {
    header.chunk_crc = Crc32c(payload);
  }
  header.generation = (*extent)->segment()->generation();
  header.Seal();

  File& file = (*extent)->segment()->file();
  char buffer[4096];
  size_t size = sizeof header + key.size() + payload.size();
  if (size <= sizeof buffer && table.empty()) {
    // Copying a little is cheaper than a list of pieces.
    std::memcpy(buffer, &header, sizeof header);
    // Not memcpy: an empty key or payload has no address.
    std::copy_n(payload.data(), payload.size(),
                std::copy_n(key.data(), key.size(), buffer + sizeof header));
    TRY(file.WriteAt(std::string_view(buffer, size), (*extent)->offset()));
  } else {
    BytesList pieces = {Bytes::Static(ViewOf(header)), Bytes::Static(key), Bytes::Static(payload),
                        Bytes::Static(table)};
    TRY(file.WriteAt(pieces, (*extent)->offset()));
  }
  LogEntry entry =
      LogEntry::Make(log_key, (*extent)->segment()->number(), (*extent)->offset(), header.size);
  if (header.kind == RecordKind::kList) entry.set_list();
  entry.set_tick(NowTick());
  uint64_t sequence = 0;
  TRY(Publish(**extent, entry, &sequence));
  *extent = Extent();  // nobody waits for the sync to recycle
  return WaitSynced(sequence);
}

std::optional<Status> LogStoreImpl::TryPut(const BlobKey& key, const Bytes& bytes, bool verified) {
  if (bytes.size() > options_.small_blob_bytes_max) return std::nullopt;
  TRY(CheckKey(key));
  TRY(CheckBlobSize(key, options_.blob_bytes_max));
  if (static_cast<uint64_t>(key.digest.size_bytes) != bytes.size() || !verified)
    TRY(CheckDigest(key.digest, ComputeDigest(key.digest.function, bytes.view())));
  if (bytes.empty()) return Status();
  LogKey log_key = KeyOfBlob(secret_, key.digest, key.partition);
  if (FindAndTouch(log_key)) return Status();
  RecordHeader header = BlobHeader(key);
  // Compressing more would hold up the event loop.
  if (Compresses(key.partition) && bytes.size() > 16 << 10) return std::nullopt;
  std::string encoded;
  std::string_view payload = Encode(&header, bytes.view(), &encoded);
  return PutRecord(log_key, header, {}, payload, false);
}

Status LogStoreImpl::PutValue(std::string_view key, std::string_view value) {
  TRY(CheckValue(key, value.size()));
  return *PutRecord(KeyOfValue(secret_, key), ValueHeader(key, value), key, value, true);
}

std::optional<Status> LogStoreImpl::TryPutValue(std::string_view key, std::string_view value) {
  if (value.size() > options_.small_blob_bytes_max) return std::nullopt;
  TRY(CheckValue(key, value.size()));
  return PutRecord(KeyOfValue(secret_, key), ValueHeader(key, value), key, value, false);
}

Status LogStoreImpl::RemoveValue(std::string_view key) { return Remove(KeyOfValue(secret_, key)); }

Status LogStoreImpl::Evict(const BlobKey& key) {
  TRY(CheckKey(key));
  if (IsEmptyBlob(key.digest)) return {};
  return Remove(KeyOfBlob(secret_, key.digest, key.partition));
}

Status LogStoreImpl::Remove(const LogKey& log_key) {
  TRY(CheckWritable());
  uint64_t sequence = 0;
  Status status = journal_.With([&](JournalState& state) -> Status {
    auto entry = index_.Find(log_key);
    if (!entry) return {};
    JournalEntry drop{.type = JournalEntry::kDrop, .entry = *entry};
    TRY(state.journal->Append({&drop, 1}));
    journal_bytes_ += sizeof drop;
    sequence = ++state.appended;
    index_.Erase(log_key, entry->location);
    return {};
  });
  TRY(status);
  return WaitSynced(sequence);
}

// Small blobs wait in memory for their Commit, so that a wrong one costs the log nothing; larger
// ones take their place when more than that has come, never on the word of a digest alone.
class LogWriter final : public BlobWriter {
 public:
  LogWriter(LogStoreImpl& store, const BlobKey& key, bool present)
      : store_(store),
        key_(key),
        log_key_(KeyOfBlob(store.secret_, key.digest, key.partition)),
        present_(present),
        header_(BlobHeader(key)),
        hasher_(key.digest.function),
        holder_(store.ledger_ ? LeaseHolder::Current() : std::string_view()) {}

  Status Append(Bytes bytes) override {
    if (bytes.size() > static_cast<uint64_t>(key_.digest.size_bytes) - size_) {
      return ErrorStatus(Code::kInvalidArgument, "blob {}: {} bytes came", key_.digest,
                         size_ + bytes.size());
    }
    hasher_.Update(bytes.view());
    size_ += bytes.size();
    if (present_) return {};
    if (!extent_) {
      if (buffer_.size() + bytes.size() <= store_.options_.small_blob_bytes_max) {
        buffer_.append(bytes.view());
        return {};
      }
      LeaseHolder scope(holder_);
      TRY(TakePlace(buffer_.empty() ? bytes.view() : buffer_));
      TRY(WritePayload(buffer_));
      buffer_ = std::string();
    }
    return WritePayload(bytes.view());
  }

  uint64_t size() const override { return size_; }

  Status Commit() override {
    LeaseHolder scope(holder_);
    TRY(CheckDigest(key_.digest, hasher_.Finish()));
    if (size_ == 0) return {};
    if (store_.FindWhole(key_)) return {};
    if (present_) {
      return ErrorStatus(Code::kAborted,
                         "blob {}: it was there, and became damaged or was given "
                         "up while it was written; write it again",
                         key_.digest);
    }
    if (!extent_) {
      std::string encoded;
      std::string_view payload = store_.Encode(&header_, buffer_, &encoded);
      return *store_.PutRecord(log_key_, header_, {}, payload, true);
    }
    if (frames_) {
      std::string rest;
      frames_->Finish(&rest);
      TRY(WriteStored(rest));
      header_.size = stored_;
    }
    const Segment& segment = *extent_.segment();
    std::string table = sums_.Finish(&header_);
    header_.generation = segment.generation();
    header_.Seal();
    TRY(segment.file().WriteAt(table, extent_.offset() + header_.payload_offset() + header_.size));
    TRY(segment.file().WriteAt(ViewOf(header_), extent_.offset()));
    LogEntry entry = LogEntry::Make(log_key_, segment.number(), extent_.offset(), header_.size);
    entry.set_tick(store_.NowTick());
    uint64_t sequence = 0;
    TRY(store_.Publish(extent_, entry, &sequence));
    Extent place = std::exchange(extent_, Extent());
    if (frames_) store_.GiveBack(std::move(place), header_.record_bytes(), reserved_);
    place = Extent();  // nobody waits for the sync to recycle
    return store_.WaitSynced(sequence);
  }

  ~LogWriter() override {
    // A segment of its own that nobody points to is given back at once; a place in a shared one
    // when that is recycled.
    if (!extent_ || reserved_ <= store_.options_.segment_bytes / 4) return;
    SegmentPtr segment = extent_.segment();
    extent_ = Extent();
    (void)store_.files_.Remove(segment->path()).ok();
    {
      std::unique_lock lock(store_.segments_mutex_);
      store_.segments_.erase(segment->number());
    }
    store_.Retire(std::move(segment));
    // Whoever drops a writer, an event loop perhaps, waits for no blocks to be freed.
    if (!store_.options_.background) store_.DropRetired();
  }

 private:
  // `sample`, the first bytes, says whether compressing is worth it.
  Status TakePlace(std::string_view sample) {
    TRY(store_.CheckWritable());
    TRY(store_.CheckShare(header_.record_bytes()));
    if (store_.Compresses(key_.partition) && Shrinks(sample)) {
      frames_.emplace();
      header_.kind = RecordKind::kZstd;
      header_.content_size = header_.size;
      // How much it will be nobody knows yet; what is too much is given back.
      header_.size = FramedBytesMax(header_.content_size);
    }
    reserved_ = header_.record_bytes();
    TRY_ASSIGN(extent_, *store_.Reserve(reserved_, LogStoreImpl::kFresh, true));
    return {};
  }
  Status WritePayload(std::string_view bytes) {
    if (!frames_) return WriteStored(bytes);
    std::string frames;
    frames_->Add(bytes, &frames);
    return WriteStored(frames);
  }
  Status WriteStored(std::string_view bytes) {
    uint64_t at = extent_.offset() + header_.payload_offset() + stored_;
    sums_.Add(bytes);
    stored_ += bytes.size();
    return extent_.segment()->file().WriteAt(bytes, at);
  }

  LogStoreImpl& store_;
  const BlobKey key_;
  const LogKey log_key_;
  const bool present_;  // when the writer was made, hence leased: the bytes are only hashed
  RecordHeader header_;
  Hasher hasher_;
  const std::string holder_;  // whoever made the writer, whatever thread ends it
  ChunkSums sums_;
  std::string buffer_;
  uint64_t size_ = 0;
  std::optional<FrameEncoder> frames_;
  uint64_t stored_ = 0, reserved_ = 0;
  Extent extent_;
};

Result<std::unique_ptr<BlobWriter>> LogStoreImpl::Write(const BlobKey& key) {
  TRY(CheckKey(key));
  TRY(CheckBlobSize(key, options_.blob_bytes_max));
  TRY(CheckWritable());
  RecordHeader header = BlobHeader(key);
  if (header.size > LogEntry::kSizeMax ||
      header.record_bytes() + Segment::kHeaderBytes > SpaceLimit(kFresh)) {
    return Error(Code::kResourceExhausted,
                 "blob {}: larger than the store's {} bytes; raise its size limit", key.digest,
                 options_.size_bytes_max);
  }
  return std::make_unique<LogWriter>(*this, key, FindWhole(key));
}

}  // namespace lre::store
