// Opening and closing, and what looks at the whole store.
#include <sys/file.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/log.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {
namespace {

struct StoreHeader {
  static constexpr uint64_t kMagic = 0x3130524F54534552;
  // 1 had no lists and no frames; a store of that version becomes one of this by saying so.
  static constexpr uint32_t kVersion = 2;
  uint64_t magic = kMagic;
  uint32_t crc = 0;  // of all that follows
  uint32_t version = kVersion;
  LogSecret secret;

  uint32_t Crc() const { return Crc32c({reinterpret_cast<const char*>(this) + 12, 20}); }
};
static_assert(sizeof(StoreHeader) == 32);

std::string KernelBootId() {
  auto text = ReadFile("/proc/sys/kernel/random/boot_id", 64);
  // Without one every start counts as another boot, which is safe.
  return text ? text->substr(0, 36) : std::string();
}

// The number in "<kind>-<hex>" or "<hex>.seg"; nullopt for other names.
std::optional<uint64_t> NumberIn(std::string_view name, std::string_view prefix,
                                 std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number, 16);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

uint64_t SegmentBytes(const LogStoreOptions& options) {
  uint64_t bytes = options.segment_bytes;
  if (bytes == 0) bytes = std::clamp<uint64_t>(options.size_bytes_max / 256, 1 << 20, 512 << 20);
  // Recycling needs room to move.
  uint64_t most = std::min<uint64_t>(options.size_bytes_max / 8, LogEntry::kOffsetMax / 4);
  return std::clamp<uint64_t>(bytes, 64 << 10, std::max<uint64_t>(most, 64 << 10));
}

}  // namespace

LogStoreImpl::LogStoreImpl(const Clock& clock, LogStoreOptions options)
    : clock_(clock),
      options_(std::move(options)),
      files_(options_.files != nullptr ? *options_.files : SystemFiles()),
      damaged_((options_.metrics ? *options_.metrics : own_metrics_)
                   .AddCounter("lre_store_damaged_total",
                               "Records whose bytes were damaged and became absent")),
      carried_bytes_((options_.metrics ? *options_.metrics : own_metrics_)
                         .AddCounter("lre_store_carried_bytes_total",
                                     "Bytes copied out of segments that were recycled")),
      recycled_segments_(
          (options_.metrics ? *options_.metrics : own_metrics_)
              .AddCounter("lre_store_recycled_segments_total", "Segments that were given up")),
      lease_shrunk_((options_.metrics ? *options_.metrics : own_metrics_)
                        .AddCounter("lre_store_lease_shrunk_total",
                                    "Times that recycling shortened the lease")),
      scrubbed_bytes_((options_.metrics ? *options_.metrics : own_metrics_)
                          .AddCounter("lre_store_scrubbed_bytes_total",
                                      "Bytes that the background scrub has checked")),
      share_refused_((options_.metrics ? *options_.metrics : own_metrics_)
                         .AddCounter("lre_store_lease_share_refused_total",
                                     "Writes refused because of an identity's share of leases")),
      used_gauge_((options_.metrics ? *options_.metrics : own_metrics_)
                      .AddGauge("lre_store_used_bytes", "Bytes of segments on disk")),
      lease_gauge_((options_.metrics ? *options_.metrics : own_metrics_)
                       .AddGauge("lre_store_lease_seconds",
                                 "How long what was touched is kept, as recycling last found")),
      ledger_(options_.lease_share_percent < 100
                  ? std::make_unique<LeaseLedger>(options_.size_bytes_max)
                  : nullptr),
      compresses_any_(options_.at_rest == AtRest::kZstd || !options_.at_rest_partitions.empty()),
      lists_(options_.chunk_list_cache_bytes),
      frames_(options_.frame_cache_bytes) {
  options_.size_bytes_max = std::max<uint64_t>(options_.size_bytes_max, 1 << 20);
  options_.segment_bytes = SegmentBytes(options_);
  options_.small_blob_bytes_max =
      std::min(options_.small_blob_bytes_max, options_.segment_bytes / 8);
  if (options_.boot_id.empty()) options_.boot_id = KernelBootId();
  touch_step_ = static_cast<uint32_t>(std::max<int64_t>(1, options_.lease / 12 / LogEntry::kTick));
  NoteLease(LeaseTicks(options_.lease));
}

std::string LogStoreImpl::PathOf(std::string_view kind, uint64_t number) const {
  if (kind == "segments") return fmt::format("{}/segments/{:07x}.seg", options_.directory, number);
  return fmt::format("{}/{}-{:08x}", options_.directory, kind, number);
}

Status LogStoreImpl::LockDirectory() {
  TRY(files_.MakeDirectories(options_.directory + "/segments"));
  TRY_ASSIGN(lock_, files_.Open(options_.directory + "/lock", OpenMode::kCreate));
  if (flock(lock_->fd(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "lock " + options_.directory);
  return ErrorStatus(Code::kFailedPrecondition,
                     "store {}: another process uses it; stop that one or choose another directory",
                     options_.directory);
}

Status LogStoreImpl::LoadSecret() {
  std::string path = options_.directory + "/store";
  StoreHeader header;
  auto file = files_.Open(path, OpenMode::kRead);
  if (file) {
    TRY_ASSIGN(size_t read, (*file)->ReadAt(reinterpret_cast<char*>(&header), sizeof header, 0));
    if (read != sizeof header || header.magic != StoreHeader::kMagic ||
        header.crc != header.Crc()) {
      return ErrorStatus(Code::kDataLoss, "store {}: the file `store` in it is damaged",
                         options_.directory);
    }
    if (header.version == 0 || header.version > StoreHeader::kVersion) {
      return ErrorStatus(Code::kFailedPrecondition,
                         "store {}: format version {} is newer than this lre", options_.directory,
                         header.version);
    }
    secret_ = header.secret;
    if (header.version == StoreHeader::kVersion) return {};
    Log(kInfo, "store_upgraded",
        {{"directory", options_.directory},
         {"from_version", static_cast<int64_t>(header.version)},
         {"to_version", static_cast<int64_t>(StoreHeader::kVersion)}});
  } else if (file.error().code() != Code::kNotFound) {
    return file.error();
  } else {
    CHECK(getrandom(&header.secret, sizeof header.secret, 0) == sizeof header.secret);
  }
  header.version = StoreHeader::kVersion;
  header.crc = header.Crc();
  TRY_ASSIGN(auto fresh, files_.Open(path + ".tmp", OpenMode::kCreate));
  TRY(fresh->WriteAt({reinterpret_cast<const char*>(&header), sizeof header}, 0));
  TRY(fresh->Sync());
  TRY(files_.Rename(path + ".tmp", path));
  TRY(files_.SyncDirectory(options_.directory));
  secret_ = header.secret;
  return {};
}

Status LogStoreImpl::LoadIndex() {
  TRY_ASSIGN(std::vector<std::string> names, files_.List(options_.directory));
  std::set<uint64_t> journals, checkpoints;
  for (const std::string& name : names) {
    if (auto number = NumberIn(name, "journal-", "")) journals.insert(*number);
    if (auto number = NumberIn(name, "checkpoint-", "")) checkpoints.insert(*number);
    if (name.ends_with(".tmp")) (void)files_.Remove(options_.directory + "/" + name).ok();
  }
  uint64_t first = checkpoints.empty() ? 0 : *checkpoints.rbegin();
  if (!checkpoints.empty()) {
    TRY_ASSIGN(LoadResult loaded, LoadCheckpoint(files_, PathOf("checkpoint", first), &index_));
    if (loaded.damaged_pages > 0) {
      open_stats_.damaged += loaded.damaged_pages;
      Log(kWarning, "store_checkpoint_damaged",
          {{"directory", options_.directory},
           {"pages", static_cast<int64_t>(loaded.damaged_pages)}});
    }
  }
  auto apply = [this](const JournalEntry& entry) {
    bool moved = false;
    LogEntry put = entry.entry;
    put.state &= ~(1ull << 24);  // nothing is verified since this start
    switch (entry.type) {
      case JournalEntry::kPut:
        // Numbers are never used again, lest an old entry point into a new segment.
        next_segment_ = std::max(next_segment_.load(), put.segment() + 1);
        index_.Put(put);
        break;
      case JournalEntry::kTouch:
        index_.Touch(put.key, put.tick(), 1, &moved);
        break;
      case JournalEntry::kDrop:
        index_.Erase(put.key, put.location);
        break;
    }
  };
  for (uint64_t number : journals) {
    if (number < first) continue;
    TRY_ASSIGN(ReplayResult replayed,
               ReplayJournal(files_, PathOf("journal", number), options_.boot_id, apply));
    open_stats_.replayed += replayed.applied;
    open_stats_.dropped += replayed.dropped;
  }
  uint64_t next = std::max(journals.empty() ? 0 : *journals.rbegin(), first) + 1;
  journal_first_ = std::min(journals.empty() ? next : *journals.begin(),
                            checkpoints.empty() ? next : *checkpoints.begin());
  TRY_ASSIGN(auto journal, Journal::Create(files_, PathOf("journal", next), options_.boot_id));
  journal_.With([&](JournalState& state) {
    state.journal = std::move(journal);
    state.number = next;
  });
  return {};
}

// Drops entries that point nowhere, gives back segments that nothing points to.
Status LogStoreImpl::OpenSegments() {
  TRY_ASSIGN(std::vector<std::string> names, files_.List(options_.directory + "/segments"));
  for (const std::string& name : names) {
    auto number = NumberIn(name, "", ".seg");
    if (!number || *number > LogEntry::kSegmentMax) continue;
    next_segment_ = std::max(next_segment_.load(), static_cast<uint32_t>(*number) + 1);
    auto segment = Segment::Open(files_, {.path = PathOf("segments", *number),
                                          .number = static_cast<uint32_t>(*number),
                                          .used_bytes = used_bytes_});
    if (segment) {
      segments_[static_cast<uint32_t>(*number)] = *segment;
      continue;
    }
    // A segment whose header never reached the disk holds nothing that was promised. Other errors,
    // too many open files for one, must not look like that.
    if (segment.error().code() != Code::kDataLoss) return segment.error();
    Log(kWarning, "store_segment_damaged", {{"error", segment.error().message()}});
    TRY(files_.Remove(PathOf("segments", *number)));
  }
  std::unordered_map<uint32_t, uint64_t> tails;
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    index_.EraseIf(shard, [&](const LogEntry& entry) {
      next_segment_ = std::max(next_segment_.load(), entry.segment() + 1);
      auto it = segments_.find(entry.segment());
      if (it == segments_.end()) return true;
      uint64_t end = entry.offset() + sizeof(RecordHeader) + entry.size();
      if (end > it->second->capacity()) return true;
      uint64_t& tail = tails[entry.segment()];
      tail = std::max(tail, end);
      return false;
    });
  }
  for (auto it = segments_.begin(); it != segments_.end();) {
    auto tail = tails.find(it->first);
    if (tail == tails.end()) {
      TRY(files_.Remove(it->second->path()));
      it = segments_.erase(it);
      continue;
    }
    // What no entry reaches is room that was reserved. Keys of values and checksum tables are not
    // in the index, hence the generous end.
    uint64_t end = tail->second + ValueStore::kKeyBytesMax + tail->second / kChunkBytes * 4 + 64;
    (void)it->second->Seal(end).ok();
    // It may have been written in this boot and not synced since.
    it->second->dirty = true;
    journal_.With([&](JournalState& state) { state.dirty.push_back(it->second); });
    ++it;
  }
  return {};
}

Status LogStoreImpl::Open() {
  TRY(LockDirectory());
  TRY(LoadSecret());
  TRY(LoadIndex());
  TRY(OpenSegments());
  TRY(OpenPins());
  used_gauge_.Set(static_cast<int64_t>(used_bytes_->load()));
  if (options_.background) StartThreads();
  return {};
}

void LogStoreImpl::StartThreads() {
  threads_.Add("store-touch", [this](std::stop_token stop) { TouchLoop(stop); });
  threads_.Add("store-sync", [this](std::stop_token stop) { SyncLoop(stop); });
  threads_.Add("store-maintain", [this](std::stop_token stop) { MaintainLoop(stop); });
  if (options_.scrub_bytes_per_second > 0)
    threads_.Add("store-scrub", [this](std::stop_token stop) { ScrubLoop(stop); });
}

LogStoreImpl::~LogStoreImpl() {
  threads_.Stop();
  bool opened = journal_.With([](JournalState& state) { return state.journal != nullptr; });
  if (!opened) return;
  Status status = Checkpoint();
  if (!status.ok()) {
    Log(kWarning, "store_close", {{"directory", options_.directory}, {"error", status.message()}});
  }
  for (auto& guarded : heads_)
    guarded.With([](Head& head) {
      if (head.segment != nullptr) (void)head.segment->Seal(head.tail).ok();
    });
}

LogStoreStats LogStoreImpl::Stats() const {
  LogStoreStats stats = open_stats_;
  stats.entries = index_.size();
  stats.used_bytes = used_bytes_->load();
  stats.memory_bytes = index_.memory_bytes();
  stats.damaged += damaged_.value();
  stats.carried_bytes = carried_bytes_.value();
  stats.recycled_segments = recycled_segments_.value();
  stats.scrubbed_bytes = scrubbed_bytes_.value();
  stats.lease = std::chrono::seconds(lease_gauge_.value());
  std::shared_lock lock(segments_mutex_);
  stats.segments = segments_.size();
  return stats;
}

Status LogStoreImpl::List(const std::function<void(const LogRecord&)>& visit) {
  std::vector<LogEntry> entries;
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    entries.clear();
    index_.Copy(shard, &entries);
    for (const LogEntry& entry : entries) {
      SegmentPtr segment = SegmentOf(entry);
      if (segment == nullptr) continue;
      auto header = ReadHeader(*segment, entry);
      if (!header) continue;
      LogRecord record{
          .is_value = header->kind == RecordKind::kValue,
          .size_bytes = header->kind == RecordKind::kValue ? header->size : header->blob_bytes(),
          .touched = WallTime(LogEntry::kTick * entry.tick())};
      record.blob.partition = header->partition;
      record.blob.digest.function = header->function;
      record.blob.digest.size_bytes = static_cast<int64_t>(header->blob_bytes());
      std::memcpy(record.blob.digest.hash.data(), header->hash, sizeof header->hash);
      record.key.resize(header->key_bytes);
      TRY_ASSIGN(size_t read, segment->file().ReadAt(record.key.data(), record.key.size(),
                                                     entry.offset() + sizeof *header));
      if (read == record.key.size()) visit(record);
    }
  }
  return {};
}

Result<std::unique_ptr<LogStore>> OpenLogStore(const Clock& clock, LogStoreOptions options) {
  auto store = std::make_unique<LogStoreImpl>(clock, std::move(options));
  TRY(store->Open());
  return std::unique_ptr<LogStore>(std::move(store));
}

}  // namespace lre::store
