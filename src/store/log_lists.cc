// Blobs that are kept as a list of chunks, which are blobs of their own. The list follows them when
// it is looked at: finding it renews every chunk's lease, so that recycling, which knows nothing of
// lists, gives up no chunk before the list's own lease has ended; and a list that lacks a chunk is
// dropped, which makes the blob absent. A chunk is journalled before any list that names it, so
// that no power loss leaves a list whose chunks never came.
#include <algorithm>
#include <cstring>

#include "digest/hasher.h"
#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {

template <bool kBlocking>
std::optional<Result<ChunkListPtr>> LogStoreImpl::LoadList(const LogEntry& entry) {
  if (auto list = lists_.Find({entry.location, 0})) return *list;
  SegmentPtr segment = SegmentOf(entry);
  if (segment == nullptr) return Error(Code::kNotFound, "a list of chunks has moved");
  if (!kBlocking && entry.size() > kChunkBytes) return std::nullopt;
  auto record = ReadRecord(*segment, entry, 0, kBlocking);
  if (!record) return std::nullopt;
  RecordHeader header;
  Result<ChunkListPtr> list = Error(Code::kDataLoss, "a list of chunks is damaged");
  if (record->has_value()) {
    std::memcpy(&header, (*record)->data(), sizeof header);
    std::string_view payload = (*record)->view().substr(sizeof header);
    bool sound = header.IsSound() && header.generation == segment->generation() &&
                 header.size == entry.size() && header.kind == RecordKind::kList;
    if (sound && header.chunks() > 1) {
      auto checked = CheckPayload(*segment, entry, header, {0, header.size});
      sound = checked && *checked;
    } else if (sound) {
      sound = Crc32c(payload) == header.chunk_crc;
    }
    if (sound) list = ParseList(secret_, header, payload);
  }
  if (!list) {
    DropDamaged(entry, list.error().message());
    return Error(Code::kNotFound, "a list of chunks is damaged");
  }
  lists_.Put({entry.location, 0}, *list, (*list)->memory_bytes());
  return list;
}

void LogStoreImpl::Drop(const LogEntry& entry) {
  journal_.With([&](JournalState& state) {
    JournalEntry drop{.type = JournalEntry::kDrop, .entry = entry};
    // If it cannot be written, the next start finds the same.
    (void)state.journal->Append({&drop, 1}).ok();
    index_.Erase(entry.key, entry.location);
  });
}

bool LogStoreImpl::TouchChunks(const LogEntry& entry, const ChunkList& list) {
  std::vector<JournalEntry> touches;
  uint32_t now = NowTick();
  bool whole = true;
  for (const LogKey& key : list.keys) {
    bool moved = false;
    auto chunk = index_.Touch(key, now, touch_step_, &moved);
    whole = whole && chunk;
    if (chunk && moved) touches.push_back({.type = JournalEntry::kTouch, .entry = *chunk});
  }
  JournalTouches(touches);
  if (!whole) Drop(entry);
  return whole;
}

bool LogStoreImpl::HasChunks(const ChunkList& list) const {
  return std::all_of(list.keys.begin(), list.keys.end(),
                     [&](const LogKey& key) { return index_.Find(key).has_value(); });
}

bool LogStoreImpl::FindWhole(const BlobKey& key) {
  auto missing = Find<true>(key.partition, {&key.digest, 1});
  return *missing && (*missing)->empty();
}

template <bool kBlocking>
std::optional<Result<std::vector<uint32_t>>> LogStoreImpl::FindListed(
    Partition partition, std::span<const Digest> digests, std::span<const uint32_t> lists,
    std::vector<uint32_t> missing) {
  size_t found_missing = missing.size();
  for (uint32_t i : lists) {
    LogKey key = KeyOfBlob(secret_, digests[i], partition);
    // Carried or written again meanwhile: look again, seldom more than once.
    for (int attempt = 0; attempt < 10; ++attempt) {
      auto entry = index_.Find(key);
      if (entry && !entry->is_list()) break;
      std::optional<Result<ChunkListPtr>> list;
      if (entry) list = LoadList<kBlocking>(*entry);
      if (entry && !list) return std::nullopt;
      if (entry && *list && TouchChunks(*entry, ***list)) break;
      auto again = index_.Find(key);
      if (again && (!entry || again->location != entry->location)) continue;
      missing.push_back(i);
      break;
    }
  }
  std::inplace_merge(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(found_missing),
                     missing.end());
  return missing;
}

template <bool kBlocking>
std::optional<Result<BytesList>> LogStoreImpl::ReadList(const BlobKey& key, const LogEntry& entry,
                                                        ByteRange range) {
  auto loaded = LoadList<kBlocking>(entry);
  if (!loaded) return std::nullopt;
  if (!*loaded) return std::unexpected(loaded->error());
  const ChunkList& list = ***loaded;
  if (!list.header.IsOf(key)) return Error(Code::kNotFound, "blob {}", key.digest);
  // Once per reader and not once per piece.
  if (range.offset == 0 && !TouchChunks(entry, list))
    return Error(Code::kNotFound, "blob {}: a chunk of it is gone", key.digest);
  BytesList pieces;
  auto at = std::upper_bound(list.ends.begin(), list.ends.end(), range.offset);
  for (auto i = static_cast<size_t>(at - list.ends.begin()); i < list.ends.size(); ++i) {
    const Digest& chunk = list.chunking.chunks[i];
    uint64_t begin = list.ends[i] - static_cast<uint64_t>(chunk.size_bytes);
    if (begin >= range.end) break;
    ByteRange part{std::max(range.offset, begin) - begin,
                   std::min(range.end, list.ends[i]) - begin};
    auto read = kBlocking ? std::optional(Read({chunk, key.partition}, part))
                          : TryRead({chunk, key.partition}, part);
    if (!read) return std::nullopt;
    if (!*read) {
      if (read->error().code() != Code::kNotFound) return read;
      Drop(entry);
      return Error(Code::kNotFound, "blob {}: a chunk of it is gone", key.digest);
    }
    for (Bytes& piece : **read) pieces.push_back(std::move(piece));
  }
  return pieces;
}

Result<std::optional<Chunking>> LogStoreImpl::Chunks(const BlobKey& key) {
  TRY(CheckKey(key));
  if (IsEmptyBlob(key.digest)) return std::nullopt;
  if (!FindWhole(key)) return Error(Code::kNotFound, "blob {}", key.digest);
  auto entry = index_.Find(KeyOfBlob(secret_, key.digest, key.partition));
  if (!entry || !entry->is_list()) return std::nullopt;
  TRY_ASSIGN(ChunkListPtr list, *LoadList<true>(*entry));
  if (!list->header.IsOf(key)) return Error(Code::kNotFound, "blob {}", key.digest);
  return list->chunking;
}

Status LogStoreImpl::VerifyChunks(const BlobKey& key, const Chunking& chunking) {
  Hasher hasher(key.digest.function);
  for (const Digest& chunk : chunking.chunks) {
    TRY_ASSIGN(BytesList pieces, Read({chunk, key.partition}, {}));
    for (const Bytes& piece : pieces) hasher.Update(piece.view());
  }
  return CheckDigest(key.digest, hasher.Finish());
}

Status LogStoreImpl::Splice(const BlobKey& key, const Chunking& given, bool verified) {
  TRY(CheckKey(key));
  TRY(CheckBlobSize(key, options_.blob_bytes_max));
  TRY(CheckWritable());
  uint64_t total = 0, largest = 0;
  // The empty blob is in no record.
  Chunking chunking = given;
  std::erase_if(chunking.chunks, [](const Digest& chunk) { return IsEmptyBlob(chunk); });
  for (const Digest& chunk : chunking.chunks) {
    TRY(CheckKey({chunk, key.partition}));
    if (chunk.function != key.digest.function) {
      return ErrorStatus(Code::kInvalidArgument, "chunk {}: not of the digest function of blob {}",
                         chunk, key.digest);
    }
    total += static_cast<uint64_t>(chunk.size_bytes);
    largest = std::max(largest, static_cast<uint64_t>(chunk.size_bytes));
  }
  if (total != static_cast<uint64_t>(key.digest.size_bytes)) {
    return ErrorStatus(Code::kInvalidArgument, "blob {}: its {} chunks have {} bytes", key.digest,
                       chunking.chunks.size(), total);
  }
  TRY_ASSIGN(std::vector<uint32_t> missing, FindMissing(key.partition, chunking.chunks));
  if (!missing.empty())
    return ErrorStatus(Code::kNotFound, "chunk {}", chunking.chunks[missing[0]]);
  if (!verified && FindWhole(key)) return {};

  std::string payload = EncodeList(chunking);
  if (total <= kListedBlobBytesMin || largest > kListedBlobBytesMin ||
      chunking.chunks.size() > options_.chunks_per_blob_max ||
      payload.size() > total / 1000 * kListSharePerMille) {
    // As long as it is there it stays as it is.
    return BlobStore::Splice(key, chunking, verified);
  }
  if (!verified) TRY(VerifyChunks(key, chunking));
  RecordHeader header = BlobHeader(key);
  header.kind = RecordKind::kList;
  header.content_size = header.size;
  header.size = payload.size();
  return *PutRecord(KeyOfBlob(secret_, key.digest, key.partition), header, {}, payload, true);
}

template std::optional<Result<ChunkListPtr>> LogStoreImpl::LoadList<true>(const LogEntry&);
template std::optional<Result<std::vector<uint32_t>>> LogStoreImpl::FindListed<true>(
    Partition, std::span<const Digest>, std::span<const uint32_t>, std::vector<uint32_t>);
template std::optional<Result<std::vector<uint32_t>>> LogStoreImpl::FindListed<false>(
    Partition, std::span<const Digest>, std::span<const uint32_t>, std::vector<uint32_t>);
template std::optional<Result<BytesList>> LogStoreImpl::ReadList<true>(const BlobKey&,
                                                                       const LogEntry&, ByteRange);
template std::optional<Result<BytesList>> LogStoreImpl::ReadList<false>(const BlobKey&,
                                                                        const LogEntry&, ByteRange);

}  // namespace lre::store
