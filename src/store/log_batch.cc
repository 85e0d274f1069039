// Many small blobs at once: their records lie one after another and go to the kernel in one write,
// their journal entries in another, which is most of what a small write costs.
#include <algorithm>
#include <cstring>
#include <list>

#include "digest/hasher.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {
namespace {
constexpr uint64_t kBatchBytesMax = 256 << 10;

// Whether a digest may be there twice. Cheaper than a table, and the answer is nearly always no.
bool MayRepeat(std::span<const std::pair<Digest, Bytes>> blobs) {
  std::vector<uint64_t> starts(blobs.size());
  for (size_t i = 0; i < blobs.size(); ++i)
    std::memcpy(&starts[i], blobs[i].first.hash.data(), sizeof starts[i]);
  std::sort(starts.begin(), starts.end());
  return std::adjacent_find(starts.begin(), starts.end()) != starts.end();
}
}  // namespace

struct LogStoreImpl::BatchRecord {
  size_t index;  // of its answer
  LogKey key;
  RecordHeader header;
  std::string_view payload;
};

// Writes and publishes the records; false: would block.
bool LogStoreImpl::PutRecords(std::vector<BatchRecord>& records, bool blocking,
                              std::vector<Status>& answers) {
  if (records.empty()) return true;
  uint64_t total = 0, sequence = 0;
  for (const BatchRecord& record : records) total += record.header.record_bytes();
  Status share = CheckShare(total);
  if (!share.ok()) {
    for (const BatchRecord& record : records) answers[record.index] = share;
    records.clear();
    return true;
  }
  auto extent = Reserve(total, kFresh, blocking);
  if (!extent) return false;
  auto write = [&]() -> Status {
    if (!*extent) return extent->error();
    const SegmentPtr& segment = (*extent)->segment();
    std::string buffer(total, '\0');
    std::vector<JournalEntry> puts;
    puts.reserve(records.size());
    uint64_t at = 0;
    for (BatchRecord& record : records) {
      record.header.generation = segment->generation();
      record.header.Seal();
      std::memcpy(buffer.data() + at, &record.header, sizeof record.header);
      std::memcpy(buffer.data() + at + sizeof record.header, record.payload.data(),
                  record.payload.size());
      LogEntry entry = LogEntry::Make(record.key, segment->number(), (*extent)->offset() + at,
                                      record.header.size);
      entry.set_tick(NowTick());
      entry.set_verified();
      puts.push_back({.type = JournalEntry::kPut, .entry = entry});
      at += record.header.record_bytes();
    }
    TRY(segment->file().WriteAt(buffer, (*extent)->offset()));
    NoteHolder(puts);
    return journal_.With([&](JournalState& state) -> Status {
      TRY(state.journal->Append(puts));
      journal_bytes_ += puts.size() * sizeof(JournalEntry);
      sequence = state.appended += puts.size();
      if (!segment->dirty.exchange(true)) state.dirty.push_back(segment);
      for (const JournalEntry& put : puts) index_.Put(put.entry);
      AppendTouches(state);
      return {};
    });
  };
  Status status = write();
  if (*extent) **extent = Extent();  // nobody waits for the sync to recycle
  if (status.ok()) status = WaitSynced(sequence);
  for (const BatchRecord& record : records) answers[record.index] = status;
  records.clear();
  return true;
}

template <bool kBlocking>
std::optional<std::vector<Status>> LogStoreImpl::PutBatch(
    Partition partition, std::span<const std::pair<Digest, Bytes>> blobs, bool verified) {
  if (!kBlocking && options_.durability == Durability::kSynced) return std::nullopt;
  std::vector<Status> answers(blobs.size(), CheckWritable());
  if (sync_failed_) return answers;
  uint64_t batch_max = std::min(kBatchBytesMax, options_.segment_bytes / 4), pending = 0;
  std::vector<BatchRecord> records;
  std::list<std::string> encoded;  // payloads that are not the blobs' own bytes
  const bool may_repeat = MayRepeat(blobs);
  for (size_t i = 0; i < blobs.size(); ++i) {
    const auto& [digest, bytes] = blobs[i];
    BlobKey key{digest, partition};
    answers[i] = CheckKey(key);
    if (answers[i].ok()) answers[i] = CheckBlobSize(key, options_.blob_bytes_max);
    if (answers[i].ok() &&
        (!verified || bytes.size() != static_cast<uint64_t>(digest.size_bytes))) {
      answers[i] = CheckDigest(digest, ComputeDigest(digest.function, bytes.view()));
    }
    if (!answers[i].ok() || bytes.empty()) continue;
    LogKey log_key = KeyOfBlob(secret_, digest, partition);
    auto entry = FindAndTouch(log_key);
    if (entry && !entry->is_list()) continue;
    if (may_repeat && std::any_of(records.begin(), records.end(),
                                  [&](const BatchRecord& r) { return r.key == log_key; })) {
      // The same bytes, and how writing them ends is not known yet: found, once they are written.
      if (!PutRecords(records, kBlocking, answers)) return std::nullopt;
      pending = 0;
      if (FindAndTouch(log_key)) continue;
    }
    RecordHeader header = BlobHeader(key);
    std::string_view payload = bytes.view();
    if (Compresses(partition)) {
      if constexpr (!kBlocking) return std::nullopt;
      if (header.chunks() == 1) payload = Encode(&header, payload, &encoded.emplace_back());
    }
    if (entry || header.chunks() > 1 || header.record_bytes() > batch_max) {
      if constexpr (!kBlocking) return std::nullopt;
      answers[i] = Put(*this, key, bytes);
      continue;
    }
    header.chunk_crc = Crc32c(payload);
    if (pending + header.record_bytes() > batch_max) {
      if (!PutRecords(records, kBlocking, answers)) return std::nullopt;
      pending = 0;
    }
    pending += header.record_bytes();
    records.push_back({i, log_key, header, payload});
  }
  if (!PutRecords(records, kBlocking, answers)) return std::nullopt;
  return answers;
}

std::vector<Status> LogStoreImpl::PutMany(Partition partition,
                                          std::span<const std::pair<Digest, Bytes>> blobs) {
  return *PutBatch<true>(partition, blobs, false);
}

std::optional<std::vector<Status>> LogStoreImpl::TryPutMany(
    Partition partition, std::span<const std::pair<Digest, Bytes>> blobs, bool verified) {
  return PutBatch<false>(partition, blobs, verified);
}

}  // namespace lre::store
