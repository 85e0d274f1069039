#include "store/log_encoded.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace lre::store {
namespace {

// Speed: the store takes what the network gives.
constexpr int kLevel = 1;

struct ListHeader {
  uint8_t version = 1;
  uint8_t function = 0;
  uint16_t reserved = 0;
  uint32_t count = 0;
};
static_assert(sizeof(ListHeader) == 8);

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
// One per thread: making one costs more than a small blob.
ZSTD_CCtx* ThreadCompressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  CHECK(context != nullptr, "memory for zstd");
  return context.get();
}
ZSTD_DCtx* ThreadDecompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  CHECK(context != nullptr, "memory for zstd");
  return context.get();
}

// Appends one frame; returns its length.
size_t Compress(std::string_view plain, std::string* out) {
  size_t before = out->size(), bound = ZSTD_compressBound(plain.size());
  out->resize(before + bound);
  size_t size = ZSTD_compressCCtx(ThreadCompressor(), out->data() + before, bound, plain.data(),
                                  plain.size(), kLevel);
  CHECK(!ZSTD_isError(size), "zstd refuses to compress");
  out->resize(before + size);
  return size;
}

bool SavesAnEighth(size_t plain, size_t stored) { return stored <= plain - plain / 8; }

}  // namespace

std::string EncodeList(const Chunking& chunking) {
  ListHeader header{.function = static_cast<uint8_t>(chunking.function),
                    .count = static_cast<uint32_t>(chunking.chunks.size())};
  std::string payload(reinterpret_cast<const char*>(&header), sizeof header);
  for (const Digest& chunk : chunking.chunks) {
    payload += chunk.hash_view();
    payload.append(reinterpret_cast<const char*>(&chunk.size_bytes), sizeof chunk.size_bytes);
  }
  return payload;
}

Result<ChunkListPtr> ParseList(const LogSecret& secret, const RecordHeader& header,
                               std::string_view payload) {
  auto list = std::make_shared<ChunkList>();
  list->header = header;
  ListHeader start;
  size_t hash_bytes = HashSize(header.function), each = hash_bytes + sizeof(int64_t);
  if (payload.size() >= sizeof start) std::memcpy(&start, payload.data(), sizeof start);
  if (payload.size() < sizeof start || start.version != 1 || hash_bytes == 0 ||
      payload.size() != sizeof start + each * start.count) {
    return Error(Code::kDataLoss, "a list of chunks of {} bytes is damaged", payload.size());
  }
  payload.remove_prefix(sizeof start);
  list->chunking.function = start.function;
  list->chunking.chunks.reserve(start.count);
  list->keys.reserve(start.count);
  list->ends.reserve(start.count);
  uint64_t end = 0;
  for (; !payload.empty(); payload.remove_prefix(each)) {
    Digest chunk{.function = header.function};
    std::memcpy(chunk.hash.data(), payload.data(), hash_bytes);
    std::memcpy(&chunk.size_bytes, payload.data() + hash_bytes, sizeof chunk.size_bytes);
    end += static_cast<uint64_t>(chunk.size_bytes);
    list->chunking.chunks.push_back(chunk);
    list->keys.push_back(KeyOfBlob(secret, chunk, header.partition));
    list->ends.push_back(end);
  }
  if (end != header.content_size)
    return Error(Code::kDataLoss, "a list of chunks of {} bytes is of a blob of {}", end,
                 header.content_size);
  return ChunkListPtr(std::move(list));
}

uint64_t FramedBytesMax(uint64_t blob_bytes) {
  return blob_bytes / kFrameBytes * ZSTD_compressBound(kFrameBytes) +
         ZSTD_compressBound(blob_bytes % kFrameBytes) + FramesOf(blob_bytes) * 4;
}

void FrameEncoder::Close(std::string_view plain, std::string* out) {
  auto size = static_cast<uint32_t>(Compress(plain, out));
  table_.append(reinterpret_cast<const char*>(&size), sizeof size);
}

void FrameEncoder::Add(std::string_view plain, std::string* out) {
  while (!plain.empty()) {
    if (pending_.empty() && plain.size() >= kFrameBytes) {
      Close(plain.substr(0, kFrameBytes), out);
      plain.remove_prefix(kFrameBytes);
      continue;
    }
    std::string_view part = plain.substr(0, kFrameBytes - pending_.size());
    pending_ += part;
    plain.remove_prefix(part.size());
    if (pending_.size() < kFrameBytes) continue;
    Close(pending_, out);
    pending_.clear();
  }
}

void FrameEncoder::Finish(std::string* out) {
  if (!pending_.empty()) Close(pending_, out);
  pending_ = std::string();
  *out += table_;
}

bool Shrinks(std::string_view sample) {
  sample = sample.substr(0, 128 << 10);
  std::string out;
  return SavesAnEighth(sample.size(), Compress(sample, &out));
}

std::string FrameWhole(std::string_view plain) {
  FrameEncoder encoder;
  std::string payload;
  encoder.Add(plain, &payload);
  encoder.Finish(&payload);
  if (!SavesAnEighth(plain.size(), payload.size())) payload.clear();
  return payload;
}

Result<std::vector<uint64_t>> ParseFrameTable(const RecordHeader& header, std::string_view table) {
  std::vector<uint64_t> begins = {0};
  for (; table.size() >= 4; table.remove_prefix(4)) {
    uint32_t size;
    std::memcpy(&size, table.data(), sizeof size);
    begins.push_back(begins.back() + size);
  }
  if (begins.size() != FramesOf(header.content_size) + 1 ||
      begins.back() + FrameTableBytes(header) != header.size) {
    return Error(Code::kDataLoss, "the table of {} frames is damaged", begins.size() - 1);
  }
  return begins;
}

Result<std::string> DecodeFrame(std::string_view frame, uint64_t plain_bytes) {
  std::string plain(plain_bytes, '\0');
  size_t size = ZSTD_decompressDCtx(ThreadDecompressor(), plain.data(), plain.size(), frame.data(),
                                    frame.size());
  if (ZSTD_isError(size)) return Error(Code::kDataLoss, "a frame: {}", ZSTD_getErrorName(size));
  if (size != plain_bytes)
    return Error(Code::kDataLoss, "a frame of {} bytes has {}", plain_bytes, size);
  return plain;
}

}  // namespace lre::store
