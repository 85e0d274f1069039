// Blobs that are kept compressed. A reader decompresses the frames its range lies in; those that it
// leaves in the middle stay in a small cache, where its next piece finds them. Who wants zstd gets
// the frames as they lie in the segment.
#include <algorithm>
#include <cstring>

#include "store/crc32c.h"
#include "store/log_store_impl.h"

namespace lre::store {
namespace {

// Event loops decompress blobs up to this size; larger ones go to I/O threads.
constexpr uint64_t kInlineBytesMax = 64 << 10;
// Smaller blobs are not worth the time.
constexpr uint64_t kPlainBytesMin = 256;
// Places that were asked for and not used, to be given to small blobs.
constexpr size_t kRemnantsMax = 64;
constexpr uint64_t kRemnantBytesMin = 1024;

}  // namespace

std::string_view LogStoreImpl::Encode(RecordHeader* header, std::string_view bytes,
                                      std::string* encoded) const {
  if (!Compresses(header->partition)) [[likely]]
    return bytes;
  if (bytes.size() < kPlainBytesMin) return bytes;
  *encoded = FrameWhole(bytes);
  if (encoded->empty()) return bytes;
  header->kind = RecordKind::kZstd;
  header->content_size = header->size;
  header->size = encoded->size();
  return *encoded;
}

template <bool kBlocking>
std::optional<Result<BytesList>> LogStoreImpl::ReadEncoded(const BlobKey& key, ByteRange range) {
  auto clamped = ClampRange(key, static_cast<uint64_t>(key.digest.size_bytes), range);
  if (!clamped) return std::unexpected(std::move(clamped).error());
  LogKey log_key = KeyOfBlob(secret_, key.digest, key.partition);
  for (int attempt = 0; attempt < 10; ++attempt) {
    auto entry = index_.Find(log_key);
    if (!entry) return Error(Code::kNotFound, "blob {}", key.digest);
    if (entry->is_list()) {
      auto read = ReadList<kBlocking>(key, *entry, *clamped);
      if (!read || *read || read->error().code() != Code::kNotFound) return read;
      auto again = index_.Find(log_key);
      if (again && again->location != entry->location) continue;  // it was only carried
      return read;
    }
    // Written anew, whole, since the caller looked.
    if (entry->size() == static_cast<uint64_t>(key.digest.size_bytes))
      return kBlocking ? std::optional(Read(key, range)) : TryRead(key, range);
    SegmentPtr segment = SegmentOf(*entry);
    if (segment == nullptr) continue;
    if constexpr (!kBlocking) {
      return ReadFramesNow(*segment, *entry, key, *clamped);
    } else {
      auto header = ReadHeader(*segment, *entry);
      if (header && !header->IsOf(key)) return Error(Code::kNotFound, "blob {}", key.digest);
      Result<BytesList> pieces = header ? ReadFrames(*segment, *entry, *header, *clamped)
                                        : Result<BytesList>(std::unexpected(header.error()));
      if (pieces) return pieces;
      DropDamaged(*entry, pieces.error().message());
    }
  }
  return Error(Code::kUnavailable, "blob {}: it kept moving; try again", key.digest);
}

// Small blobs and frames in the cache; else nullopt, as for damage, which the blocking read finds.
std::optional<Result<BytesList>> LogStoreImpl::ReadFramesNow(const Segment& segment,
                                                             const LogEntry& entry,
                                                             const BlobKey& key, ByteRange range) {
  if (range.offset == range.end) return BytesList();
  auto blob_bytes = static_cast<uint64_t>(key.digest.size_bytes);
  if (blob_bytes <= kInlineBytesMax && entry.size() < blob_bytes) {
    auto record = ReadRecord(segment, entry, 0, false);
    if (!record || !*record) return std::nullopt;
    RecordHeader header;
    std::memcpy(&header, (*record)->data(), sizeof header);
    std::string_view payload = (*record)->view().substr(sizeof header);
    if (!header.IsSound() || header.generation != segment.generation() || !header.IsOf(key) ||
        header.kind != RecordKind::kZstd || header.size != entry.size() || header.size < 4 ||
        (!entry.verified() && Crc32c(payload) != header.chunk_crc)) {
      return std::nullopt;
    }
    auto plain = DecodeFrame(payload.substr(0, payload.size() - 4), blob_bytes);
    if (!plain) return std::nullopt;
    return BytesList{Bytes(*std::move(plain)).Slice(range.offset, range.end - range.offset)};
  }
  BytesList pieces;
  for (uint64_t at = range.offset; at < range.end;) {
    uint64_t frame = at / kFrameBytes, end = std::min(range.end, (frame + 1) * kFrameBytes);
    auto plain = frames_.Find({entry.location, frame});
    if (!plain) return std::nullopt;
    pieces.push_back(plain->Slice(at % kFrameBytes, end - at));
    at = end;
  }
  return pieces;
}

Result<std::vector<uint64_t>> LogStoreImpl::ReadFrameTable(const Segment& segment,
                                                           const LogEntry& entry,
                                                           const RecordHeader& header) const {
  std::string table(FrameTableBytes(header), '\0');
  if (header.kind != RecordKind::kZstd || table.size() >= header.size)
    return Error(Code::kDataLoss, "a record without frames");
  uint64_t begin = header.size - table.size();
  if (!entry.verified()) {
    TRY_ASSIGN(bool sound, CheckPayload(segment, entry, header, {begin, header.size}));
    if (!sound) return Error(Code::kDataLoss, "checksum");
  }
  TRY_ASSIGN(size_t read, segment.file().ReadAt(table.data(), table.size(),
                                                entry.offset() + header.payload_offset() + begin));
  if (read != table.size()) return Error(Code::kDataLoss, "cut off");
  return ParseFrameTable(header, table);
}

Result<BytesList> LogStoreImpl::ReadFrames(const Segment& segment, const LogEntry& entry,
                                           const RecordHeader& header, ByteRange range) {
  TRY_ASSIGN(std::vector<uint64_t> begins, ReadFrameTable(segment, entry, header));
  BytesList pieces;
  if (range.offset == range.end) return pieces;
  uint64_t first = range.offset / kFrameBytes, last = (range.end - 1) / kFrameBytes;
  if (!entry.verified()) {
    TRY_ASSIGN(bool sound, CheckPayload(segment, entry, header, {begins[first], begins[last + 1]}));
    if (!sound) return Error(Code::kDataLoss, "checksum");
    if (first == 0 && last + 2 == begins.size()) index_.SetVerified(entry.key, entry.location);
  }
  std::string buffer;
  for (uint64_t frame = first; frame <= last; ++frame) {
    uint64_t from = frame * kFrameBytes, to = std::min(from + kFrameBytes, header.content_size);
    ByteRange part{std::max(range.offset, from) - from, std::min(range.end, to) - from};
    auto cached = frames_.Find({entry.location, frame});
    if (!cached) {
      buffer.resize(begins[frame + 1] - begins[frame]);
      TRY_ASSIGN(size_t read,
                 segment.file().ReadAt(buffer.data(), buffer.size(),
                                       entry.offset() + header.payload_offset() + begins[frame]));
      if (read != buffer.size()) return Error(Code::kDataLoss, "cut off");
      TRY_ASSIGN(std::string plain, DecodeFrame(buffer, to - from));
      cached = Bytes(std::move(plain));
      // Whoever stops in the middle comes back for the rest.
      if (part.end < to - from) frames_.Put({entry.location, frame}, *cached, cached->size());
    }
    pieces.push_back(cached->Slice(part.offset, part.end - part.offset));
  }
  return pieces;
}

Result<std::optional<ZstdFrame>> LogStoreImpl::ReadZstd(const BlobKey& key, uint64_t offset) {
  auto blob_bytes = static_cast<uint64_t>(key.digest.size_bytes);
  LogKey log_key = KeyOfBlob(secret_, key.digest, key.partition);
  auto entry = index_.Find(log_key);
  if (!entry || entry->size() == blob_bytes || offset >= blob_bytes) return std::nullopt;
  FindAndTouch(log_key);
  if (entry->is_list()) {
    auto list = *LoadList<true>(*entry);
    if (!list || !(*list)->header.IsOf(key)) return std::nullopt;
    const auto& ends = (*list)->ends;
    auto i = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), offset) - ends.begin());
    const Digest& chunk = (*list)->chunking.chunks[i];
    return ReadZstd({chunk, key.partition},
                    offset - (ends[i] - static_cast<uint64_t>(chunk.size_bytes)));
  }
  SegmentPtr segment = SegmentOf(*entry);
  if (segment == nullptr || offset % kFrameBytes != 0) return std::nullopt;
  // What is damaged the plain read finds and drops.
  auto header = ReadHeader(*segment, *entry);
  if (!header || !header->IsOf(key)) return std::nullopt;
  auto begins = ReadFrameTable(*segment, *entry, *header);
  if (!begins) return std::nullopt;
  uint64_t frame = offset / kFrameBytes;
  auto pieces = ReadLarge(segment, *entry, *header, {(*begins)[frame], (*begins)[frame + 1]});
  if (!pieces) return std::nullopt;
  return ZstdFrame{*std::move(pieces), std::min(kFrameBytes, blob_bytes - offset)};
}

void LogStoreImpl::GiveBack(Extent extent, uint64_t used, uint64_t reserved) {
  uint64_t begin = extent.offset() + used, end = extent.offset() + reserved;
  if (reserved > options_.segment_bytes / 4) {
    // What cannot be given back now is when the segment is recycled.
    (void)extent.segment()->Seal(begin).ok();
    return;
  }
  bool was_last = heads_[kFresh].With([&](Head& head) {
    bool last = head.segment == extent.segment() && head.tail == end;
    if (last) head.tail = begin;
    return last;
  });
  if (was_last || end - begin < kRemnantBytesMin) return;
  remnants_.With([&](std::vector<Remnant>& remnants) {
    remnants.push_back({Extent(extent.segment(), begin), end - begin});
    auto smaller = [](const Remnant& a, const Remnant& b) { return a.bytes < b.bytes; };
    if (remnants.size() > kRemnantsMax) {
      auto least = std::min_element(remnants.begin(), remnants.end(), smaller);
      std::swap(*least, remnants.back());
      remnants.pop_back();
    }
    remnant_bytes_ = std::max_element(remnants.begin(), remnants.end(), smaller)->bytes;
  });
}

Extent LogStoreImpl::TakeRemnant(uint64_t bytes) {
  return remnants_.With([&](std::vector<Remnant>& remnants) {
    Extent place;
    uint64_t largest = 0;
    for (size_t i = 0; i < remnants.size(); ++i) {
      Remnant& remnant = remnants[i];
      if (!place && remnant.bytes >= bytes) {
        uint64_t offset = remnant.place.offset();
        place = Extent(remnant.place.segment(), offset);
        remnant.bytes -= bytes;
        remnant.place = Extent(place.segment(), offset + bytes);
        if (remnant.bytes < kRemnantBytesMin) {
          std::swap(remnant, remnants.back());
          remnants.pop_back();
          --i;
          continue;
        }
      }
      largest = std::max(largest, remnant.bytes);
    }
    remnant_bytes_ = largest;
    return place;
  });
}

// Recycling could not have their segments otherwise.
void LogStoreImpl::DropRemnants() {
  remnants_.With([&](std::vector<Remnant>& remnants) {
    remnants.clear();
    remnant_bytes_ = 0;
  });
}

template std::optional<Result<BytesList>> LogStoreImpl::ReadEncoded<true>(const BlobKey&,
                                                                          ByteRange);
template std::optional<Result<BytesList>> LogStoreImpl::ReadEncoded<false>(const BlobKey&,
                                                                           ByteRange);

}  // namespace lre::store
