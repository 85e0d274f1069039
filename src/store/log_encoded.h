// Payloads of the log store that are not the blob's own bytes (docs/formats/log-store.md): lists of
// the chunks that a blob is made of, and blobs compressed with zstd in independent frames, with the
// length of each, so that a range is read by decompressing only the frames it lies in. Pure but for
// one compressor and one decompressor per thread. Errors: kDataLoss for bytes that are not such a
// payload.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/blob_store.h"
#include "store/log_format.h"

namespace lre::store {

// --- Lists ---

// A blob is kept as a list only if it is larger than this and no chunk is: so no chunk is ever a
// list itself.
inline constexpr uint64_t kListedBlobBytesMin = 2 << 20;
// And if its list is that much smaller than the blob, whatever chunks a client thinks up.
inline constexpr uint64_t kListSharePerMille = 16;

struct ChunkList {
  RecordHeader header;
  Chunking chunking;
  std::vector<LogKey> keys;    // of the chunks
  std::vector<uint64_t> ends;  // where in the blob each chunk ends
  uint64_t memory_bytes() const {
    return sizeof *this + keys.size() * (sizeof(Digest) + sizeof(LogKey) + sizeof(uint64_t));
  }
};
using ChunkListPtr = std::shared_ptr<const ChunkList>;

std::string EncodeList(const Chunking& chunking);
Result<ChunkListPtr> ParseList(const LogSecret& secret, const RecordHeader& header,
                               std::string_view payload);

// --- Frames ---

inline constexpr uint64_t kFrameBytes = 1 << 20;  // of the blob; of the last frame at most

inline uint64_t FramesOf(uint64_t blob_bytes) {
  return (blob_bytes + kFrameBytes - 1) / kFrameBytes;
}
// What a blob of that size takes if nothing of it can be compressed.
uint64_t FramedBytesMax(uint64_t blob_bytes);

// Takes a blob in pieces, gives its payload in pieces. Confined to one thread at a time.
class FrameEncoder {
 public:
  // Appends to `out` the frames that are complete.
  void Add(std::string_view plain, std::string* out);
  // Appends the last frame and the table.
  void Finish(std::string* out);

 private:
  void Close(std::string_view plain, std::string* out);
  std::string pending_;
  std::string table_;
};

// Whether keeping these bytes, the first of a blob, compressed saves at least an eighth.
bool Shrinks(std::string_view sample);
// The payload of a whole small blob; empty when that saves less than an eighth.
std::string FrameWhole(std::string_view plain);

// Where each frame begins in the payload, and where the last ends. `table` is the payload's end.
Result<std::vector<uint64_t>> ParseFrameTable(const RecordHeader& header, std::string_view table);
inline uint64_t FrameTableBytes(const RecordHeader& header) {
  return FramesOf(header.content_size) * 4;
}
// `plain_bytes` is what must come out.
Result<std::string> DecodeFrame(std::string_view frame, uint64_t plain_bytes);

}  // namespace lre::store
