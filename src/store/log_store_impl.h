// The inside of LogStore, shared by the files that implement it: log_open.cc (opening and closing),
// log_read.cc, log_read_many.cc, log_write.cc, log_batch.cc, log_recycle.cc, log_sync.cc,
// log_pins.cc, log_scrub.cc, log_leases.cc, log_lists.cc, log_frames.cc. Locks are taken in the
// order in which they are declared; none is held while another's wait is longer than one write to
// the page cache, except sync_mutex_ and recycle_mutex_, which only I/O threads take.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/guarded.h"
#include "base/thread_group.h"
#include "store/lease_ledger.h"
#include "store/log_encoded.h"
#include "store/log_index.h"
#include "store/log_journal.h"
#include "store/log_segment.h"
#include "store/log_store.h"
#include "store/lru_cache.h"

namespace lre::store {

using SegmentPtr = std::shared_ptr<Segment>;

// A place in a segment that one writer owns until it has published or given it up.
class Extent {
 public:
  Extent() = default;
  Extent(SegmentPtr segment, uint64_t offset) : segment_(std::move(segment)), offset_(offset) {
    ++segment_->writers;
  }
  Extent(Extent&& other) noexcept : segment_(std::move(other.segment_)), offset_(other.offset_) {}
  Extent& operator=(Extent&& other) noexcept {
    std::swap(segment_, other.segment_);
    std::swap(offset_, other.offset_);
    return *this;
  }
  ~Extent() {
    if (segment_ != nullptr) --segment_->writers;
  }
  explicit operator bool() const { return segment_ != nullptr; }
  const SegmentPtr& segment() const { return segment_; }
  uint64_t offset() const { return offset_; }

 private:
  SegmentPtr segment_;
  uint64_t offset_ = 0;
};

class LogStoreImpl final : public LogStore {
 public:
  LogStoreImpl(const Clock& clock, LogStoreOptions options);
  ~LogStoreImpl() override;
  Status Open();

  Result<std::vector<uint32_t>> FindMissing(Partition partition,
                                            std::span<const Digest> digests) override;
  Result<BytesList> Read(const BlobKey& key, ByteRange range) override;
  Result<std::unique_ptr<BlobWriter>> Write(const BlobKey& key) override;
  std::optional<Result<std::vector<uint32_t>>> TryFindMissing(
      Partition partition, std::span<const Digest> digests) override;
  std::optional<Result<BytesList>> TryRead(const BlobKey& key, ByteRange range) override;
  std::optional<std::vector<Result<BytesList>>> TryReadMany(
      Partition partition, std::span<const Digest> digests) override;
  std::optional<Status> TryPut(const BlobKey& key, const Bytes& bytes, bool verified) override;
  Status Splice(const BlobKey& key, const Chunking& chunking, bool verified) override;
  Result<std::optional<Chunking>> Chunks(const BlobKey& key) override;
  Result<std::optional<ZstdFrame>> ReadZstd(const BlobKey& key, uint64_t offset) override;

  std::vector<Status> PutMany(Partition partition,
                              std::span<const std::pair<Digest, Bytes>> blobs) override;
  std::optional<std::vector<Status>> TryPutMany(Partition partition,
                                                std::span<const std::pair<Digest, Bytes>> blobs,
                                                bool verified) override;

  Result<Bytes> GetValue(std::string_view key) override;
  Status PutValue(std::string_view key, std::string_view value) override;
  Status RemoveValue(std::string_view key) override;
  std::optional<Result<Bytes>> TryGetValue(std::string_view key) override;
  std::optional<Status> TryPutValue(std::string_view key, std::string_view value) override;

  Status Sync() override;
  Status Checkpoint() override;
  Status Recycle(uint64_t bytes) override;
  Status SetPin(Pin pin, Partition partition, std::span<const Digest> digests) override;
  Status RemovePin(const std::string& name) override;
  std::vector<Pin> Pins() const override;
  Status Evict(const BlobKey& key) override;
  LogStoreStats Stats() const override;
  Status List(const std::function<void(const LogRecord&)>& visit) override;
  Result<uint64_t> Verify() override;

 private:
  friend class LogWriter;
  // Up to this much a copy is cheaper than holding on to the mapping.
  static constexpr uint64_t kCopyBytesMax = 32 << 10;
  // Lookups in flight at once: enough to hide a cache miss, few enough for the core to track.
  static constexpr size_t kBatch = 16;
  // Where small records of one kind of origin go. Carried ones are kept apart: they are older.
  struct Head {
    SegmentPtr segment;
    uint64_t tail = 0;
  };
  enum Origin { kFresh = 0, kCarried = 1 };
  struct JournalState {
    std::unique_ptr<Journal> journal;
    uint64_t number = 0;
    uint64_t appended = 0;  // entries ever, what Durability::kSynced waits for
    std::vector<SegmentPtr> dirty;
  };
  struct PinnedKeys {
    Pin pin;
    std::vector<LogKey> keys;
  };
  struct BatchRecord;
  struct Kept;  // of a segment, when recycling is planned

  // --- log_open.cc
  Status LockDirectory();
  Status LoadSecret();
  Status LoadIndex();
  Status OpenSegments();
  void StartThreads();
  std::string PathOf(std::string_view kind, uint64_t number) const;

  // --- log_read.cc
  uint32_t NowTick() const;
  // The entry, touched; the touch is journalled when it is due.
  std::optional<LogEntry> FindAndTouch(const LogKey& key);
  void JournalTouches(std::vector<JournalEntry>& touches);
  // Journals the touches that wait for it.
  void AppendTouches(JournalState& state);
  void TouchLoop(std::stop_token stop);
  // The keys of at most kBatch digests, on their way into the cache.
  void AnnounceKeys(Partition partition, std::span<const Digest> digests, LogKey* keys) const;
  SegmentPtr SegmentOf(const LogEntry& entry) const;
  // The header of a record, if it is sound and of its segment. Blocks.
  Result<RecordHeader> ReadHeader(const Segment& segment, const LogEntry& entry) const;
  // Whether the bytes of [from, to) are as they were written, whole chunks being checked. Blocks.
  Result<bool> CheckPayload(const Segment& segment, const LogEntry& entry,
                            const RecordHeader& header, ByteRange range) const;
  // Makes a damaged record absent.
  void DropDamaged(const LogEntry& entry, std::string_view what);
  template <bool kBlocking>
  std::optional<Result<std::vector<uint32_t>>> Find(Partition partition,
                                                    std::span<const Digest> digests);
  template <bool kBlocking>
  std::optional<Result<BytesList>> ReadBlob(const BlobKey& key, ByteRange range);
  // `key_bytes` views of header, key and payload in one buffer; nullopt: not in memory (never when
  // blocking); an error: the disk's.
  std::optional<Result<Bytes>> ReadRecord(const Segment& segment, const LogEntry& entry,
                                          uint64_t key_bytes, bool blocking) const;
  Result<BytesList> ReadLarge(const SegmentPtr& segment, const LogEntry& entry,
                              const RecordHeader& header, ByteRange range);
  std::optional<Result<BytesList>> TryReadLarge(const SegmentPtr& segment, const LogEntry& entry,
                                                const BlobKey& key, ByteRange range);
  template <bool kBlocking>
  std::optional<Result<Bytes>> GetValueWith(std::string_view key);

  // --- log_read_many.cc
  struct ManyRead;
  // Fills in `reads`, one for each digest; returns what holds their segments.
  std::vector<SegmentPtr> FindMany(Partition partition, std::span<const Digest> digests,
                                   std::vector<ManyRead>& reads);

  // --- log_lists.cc: blobs that are kept as a list of chunks
  // The list at `entry`; nullopt: would block (never when blocking); kNotFound: it was carried
  // elsewhere meanwhile, or is damaged and now absent.
  template <bool kBlocking>
  std::optional<Result<ChunkListPtr>> LoadList(const LogEntry& entry);
  // Renews the chunks' leases; false when one is absent, and then the list is dropped.
  bool TouchChunks(const LogEntry& entry, const ChunkList& list);
  // As FindAndTouch, blocking; a list counts when its chunks are there.
  bool FindWhole(const BlobKey& key);
  // Adds to `missing` those of `lists`, indices of digests, that lack a chunk.
  template <bool kBlocking>
  std::optional<Result<std::vector<uint32_t>>> FindListed(Partition partition,
                                                          std::span<const Digest> digests,
                                                          std::span<const uint32_t> lists,
                                                          std::vector<uint32_t> missing);
  template <bool kBlocking>
  std::optional<Result<BytesList>> ReadList(const BlobKey& key, const LogEntry& entry,
                                            ByteRange range);
  // Whether every chunk is there, without renewing anything.
  bool HasChunks(const ChunkList& list) const;
  void Drop(const LogEntry& entry);
  Status VerifyChunks(const BlobKey& key, const Chunking& chunking);

  // --- log_frames.cc: blobs that are kept compressed
  bool Compresses(Partition partition) const {
    if (!compresses_any_) [[likely]]
      return false;
    auto it = options_.at_rest_partitions.find(partition);
    return (it == options_.at_rest_partitions.end() ? options_.at_rest : it->second) ==
           AtRest::kZstd;
  }
  // What a whole blob's record holds: `bytes`, or `*encoded`, and then the header says so.
  std::string_view Encode(RecordHeader* header, std::string_view bytes, std::string* encoded) const;
  // A blob whose record is not its bytes: a list or frames. The caller has touched it.
  template <bool kBlocking>
  std::optional<Result<BytesList>> ReadEncoded(const BlobKey& key, ByteRange range);
  std::optional<Result<BytesList>> ReadFramesNow(const Segment& segment, const LogEntry& entry,
                                                 const BlobKey& key, ByteRange range);
  Result<BytesList> ReadFrames(const Segment& segment, const LogEntry& entry,
                               const RecordHeader& header, ByteRange range);
  Result<std::vector<uint64_t>> ReadFrameTable(const Segment& segment, const LogEntry& entry,
                                               const RecordHeader& header) const;
  // Room that a writer had to ask for and did not need: the last bytes of its place.
  void GiveBack(Extent extent, uint64_t used, uint64_t reserved);
  Extent TakeRemnant(uint64_t bytes);
  void DropRemnants();

  // --- log_leases.cc
  // Ticks for which what was touched is kept: one for rounding and the steps by which touches are
  // noted belong to the lease.
  uint32_t LeaseTicks(Duration lease) const {
    return static_cast<uint32_t>(lease / LogEntry::kTick) + 1 + touch_step_;
  }
  // The tick since which what was touched is kept: `keep_bytes` of the most recently used, and
  // never less than the leases ask for.
  uint32_t KeepSince(uint64_t keep_bytes);
  void NoteLease(uint32_t ticks);
  // kResourceExhausted with the RetryInfo.
  Status FullStatus(std::string message) const;
  // kResourceExhausted when the caller's identity would hold more than its share.
  Status CheckShare(uint64_t bytes);
  void NoteHolder(std::span<const JournalEntry> touched);

  // --- log_write.cc
  Status CheckWritable() const;
  // A place for `bytes`; nullopt: would block (never when blocking).
  std::optional<Result<Extent>> Reserve(uint64_t bytes, Origin origin, bool blocking);
  // With one writer counted, which keeps recycling away until the caller takes it back.
  Result<SegmentPtr> CreateSegment(uint64_t capacity, Origin origin);
  void Install(Origin origin, SegmentPtr segment);
  uint64_t SpaceLimit(Origin origin) const;
  // Journals the entry and makes it visible. `sequence` is what a sync must cover.
  Status Publish(const Extent& extent, LogEntry entry, uint64_t* sequence);
  std::optional<Status> PutRecord(const LogKey& log_key, RecordHeader header, std::string_view key,
                                  std::string_view payload, bool blocking);
  Status WaitSynced(uint64_t sequence);
  // Journals that the entry is gone, then forgets it; absent is fine.
  Status Remove(const LogKey& key);

  // --- log_batch.cc
  bool PutRecords(std::vector<BatchRecord>& records, bool blocking, std::vector<Status>& answers);
  template <bool kBlocking>
  std::optional<std::vector<Status>> PutBatch(Partition partition,
                                              std::span<const std::pair<Digest, Bytes>> blobs,
                                              bool verified);

  // --- log_recycle.cc
  // REQUIRES: recycle_mutex_ is held.
  Status RecycleLocked(uint64_t bytes);
  // Gives up segments for about `bytes`; returns how many came free.
  Result<uint64_t> FreeUnused(uint64_t bytes, uint32_t keep_since);
  std::vector<Kept> PlanRecycling(uint32_t keep_since) const;
  Status GiveUp(std::vector<SegmentPtr> victims, uint32_t keep_since);
  // For segments that are no longer in the table: DropRetired lets go of those that nobody holds.
  void Retire(SegmentPtr segment);
  void DropRetired();
  Status Carry(const LogEntry& entry, const Segment& from);

  // --- log_pins.cc
  Status OpenPins();
  std::string PathOfPin(const std::string& name) const;
  // kResourceExhausted when `pin` beside all others would pass a bound.
  Status CheckPinFits(const PinnedKeys& pin) const;
  Status WritePin(const PinnedKeys& pin);
  Result<PinnedKeys> ReadPin(const std::string& path) const;
  // Touches what is pinned, so that recycling sees it as used now; forgets pins whose time has
  // come.
  void RenewPins();

  // --- log_scrub.cc
  // Checks every record of a shard; `pace`, called after each with its bytes, says whether to go
  // on.
  void CheckShard(size_t shard, const std::function<bool(uint64_t)>& pace);
  void ScrubLoop(std::stop_token stop);

  // --- log_sync.cc
  Status SyncLocked(uint64_t* covered);
  Status SyncDirtySegments(const std::vector<SegmentPtr>& dirty);
  void SyncLoop(std::stop_token stop);
  void MaintainLoop(std::stop_token stop);
  Status PrepareSpare();
  // Waits up to `duration`; false when asked to stop.
  bool Pause(std::stop_token stop, Duration duration);

  const Clock& clock_;
  LogStoreOptions options_;
  FileSystem& files_;
  Metrics own_metrics_;
  Counter& damaged_;
  Counter& carried_bytes_;
  Counter& recycled_segments_;
  Counter& lease_shrunk_;
  Counter& scrubbed_bytes_;
  Counter& share_refused_;
  Gauge& used_gauge_;
  Gauge& lease_gauge_;
  LogSecret secret_;
  uint32_t touch_step_ = 1;  // ticks
  std::unique_ptr<File> lock_;
  LogStoreStats open_stats_;
  uint64_t journal_first_ = 0;  // the oldest journal on disk; under sync_mutex_

  LogIndex index_;
  const std::shared_ptr<std::atomic<uint64_t>> used_bytes_ =
      std::make_shared<std::atomic<uint64_t>>(0);
  std::atomic<uint32_t> next_segment_{1};
  std::atomic<bool> directory_dirty_{true};
  std::atomic<uint64_t> journal_bytes_{0};  // since the last checkpoint
  std::atomic<uint64_t> synced_sequence_{0};
  std::atomic<bool> sync_failed_{false};
  std::atomic<int64_t> retry_delay_seconds_{1};  // until leases end, as recycling last saw

  const std::unique_ptr<LeaseLedger> ledger_;  // null: nobody has a share
  std::atomic<uint32_t> lease_ticks_{0};       // as KeepSince last found
  const bool compresses_any_;
  LruCache<ChunkListPtr> lists_;
  LruCache<Bytes> frames_;                  // decompressed, by location and number
  std::atomic<uint64_t> remnant_bytes_{0};  // of the largest remnant

  std::mutex recycle_mutex_;
  // Under recycle_mutex_: after recycling found too little, when it is worth looking again.
  bool lease_is_short_ = false;
  Instant recycle_again_at_{};
  uint64_t recycle_lacked_bytes_ = 0;
  std::mutex sync_mutex_;
  std::mutex create_mutex_;
  Guarded<Head> heads_[2];
  struct Remnant {
    Extent place;
    uint64_t bytes = 0;
  };
  Guarded<std::vector<Remnant>> remnants_;
  Guarded<SegmentPtr> spare_;  // still with the writer that CreateSegment counts
  Guarded<JournalState> journal_;
  std::mutex touches_mutex_;
  std::condition_variable_any touches_ready_;
  std::vector<JournalEntry> touches_;      // not journalled yet; under touches_mutex_
  std::atomic<bool> touches_wait_{false};  // there are some
  mutable Guarded<std::map<std::string, PinnedKeys>> pins_;
  mutable std::shared_mutex segments_mutex_;
  std::unordered_map<uint32_t, SegmentPtr> segments_;  // under segments_mutex_
  Guarded<std::vector<SegmentPtr>> retired_;

  std::mutex pause_mutex_;
  std::condition_variable_any pause_;
  ThreadGroup threads_;
};

}  // namespace lre::store
