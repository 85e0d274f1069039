// zstd of blobs on the wire, on libzstd. Streams are confined to one thread at a time; memory is
// bounded by the window that is allowed (8 MiB), whatever the frame asks for, and output by the
// size the digest says: a bomb is refused at the first byte too many.
// Errors: kInvalidArgument for bytes that are no zstd or of another length than said.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace lre::service {

inline constexpr int kZstdLevel = 1;          // speed: the wire is rarely the bottleneck
inline constexpr int kZstdWindowLogMax = 23;  // 8 MiB

// The whole blob, of exactly `size_bytes`.
Result<std::string> DecompressBlob(std::string_view compressed, int64_t size_bytes);

// The whole blob as one frame.
std::string CompressBlob(const BytesList& plain);

// Takes a blob's compressed bytes in order, gives its plain bytes.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  // Calls `take` with plain bytes, in pieces, until the input is used up or `take` fails.
  Status Feed(std::string_view compressed, const std::function<Status(std::string)>& take);
  // Whether the input so far ends at the end of a frame.
  bool complete() const { return complete_; }

 private:
  struct Context;
  std::unique_ptr<Context> context_;
  bool complete_ = false;
};

// Takes a blob's plain bytes in order, gives its compressed bytes.
class Compressor {
 public:
  Compressor();
  ~Compressor();
  // The compressed bytes that are ready; with `last`, all that remain. Adds to `out`.
  Status Feed(std::string_view plain, bool last, std::string* out);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace lre::service
