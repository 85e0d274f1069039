// zstd of blobs on the wire, on libzstd. Streams are confined to one thread at a time; memory is
// bounded by the window that is allowed (8 MiB), whatever the frame asks for, and output by the
// size the digest says: a bomb is refused at the first byte too many.
// Errors: kInvalidArgument for bytes that are no zstd or of another length than said; kUnavailable
// when the disk could not give bytes to compress.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/guarded.h"
#include "base/status.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace lre::service {

inline constexpr int kZstdLevel = 1;          // speed: the wire is rarely the bottleneck
inline constexpr int kZstdWindowLogMax = 23;  // 8 MiB

// Contexts that were used before and are used again: making one costs as much as a small blob, and
// each holds a window. Thread-safe; keeps at most `idle_max` of each kind. Held by shared_ptr
// because streams end on any thread.
class ZstdContexts {
 public:
  explicit ZstdContexts(size_t idle_max = 16) : idle_max_(idle_max) {}
  ~ZstdContexts();
  ZSTD_CCtx_s* TakeCompressor();
  void Give(ZSTD_CCtx_s* context);
  ZSTD_DCtx_s* TakeDecompressor();
  void Give(ZSTD_DCtx_s* context);

 private:
  struct Idle {
    std::vector<ZSTD_CCtx_s*> compressors;
    std::vector<ZSTD_DCtx_s*> decompressors;
  };
  const size_t idle_max_;
  Guarded<Idle> idle_;
};

// The whole blob, of exactly `size_bytes`.
Result<std::string> DecompressBlob(ZstdContexts& contexts, std::string_view compressed,
                                   int64_t size_bytes);

// `plain` as one frame. Frames one after another are a stream of what they hold together, so the
// pieces of a blob may be compressed each for itself, by any thread. The bytes may be of a mapping.
Result<std::string> CompressFrame(ZstdContexts& contexts, const BytesList& plain);

// Takes a blob's compressed bytes in order, gives its plain bytes.
class Decompressor {
 public:
  explicit Decompressor(ZstdContexts& contexts);  // which must outlive it
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
  // Calls `take` with plain bytes, in pieces, until the input is used up or `take` fails.
  Status Feed(std::string_view compressed, const std::function<Status(Bytes)>& take);
  // Whether the input so far ends at the end of a frame.
  bool complete() const { return complete_; }

 private:
  ZstdContexts& contexts_;
  ZSTD_DCtx_s* const zstd_;
  bool complete_ = false;
};

}  // namespace lre::service
