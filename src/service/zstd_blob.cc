#include "service/zstd_blob.h"

#include <zstd.h>

#include <algorithm>

#include "base/check.h"

namespace lre::service {
namespace {
constexpr size_t kPieceBytes = 128 << 10;
}

struct Decompressor::Context {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  ~Context() { ZSTD_freeDCtx(zstd); }
};
struct Compressor::Context {
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  ~Context() { ZSTD_freeCCtx(zstd); }
};

Decompressor::Decompressor() : context_(std::make_unique<Context>()) {
  CHECK(context_->zstd, "out of memory");
  ZSTD_DCtx_setParameter(context_->zstd, ZSTD_d_windowLogMax, kZstdWindowLogMax);
}
Decompressor::~Decompressor() = default;

Status Decompressor::Feed(std::string_view compressed,
                          const std::function<Status(std::string)>& take) {
  ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
  for (bool more = in.size > 0; more;) {
    std::string piece(kPieceBytes, '\0');
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    const size_t left = ZSTD_decompressStream(context_->zstd, &out, &in);
    if (ZSTD_isError(left)) {
      return ErrorStatus(Code::kInvalidArgument, "zstd: {}", ZSTD_getErrorName(left));
    }
    complete_ = left == 0;
    // A full piece may hide more output.
    more = in.pos < in.size || (out.pos == out.size && left != 0);
    if (out.pos == 0) continue;
    piece.resize(out.pos);
    TRY(take(std::move(piece)));
  }
  return Status();
}

Result<std::string> DecompressBlob(std::string_view compressed, int64_t size_bytes) {
  std::string plain;
  Decompressor decompressor;
  TRY(decompressor.Feed(compressed, [&](std::string piece) {
    if (plain.size() + piece.size() > static_cast<uint64_t>(size_bytes)) {
      return ErrorStatus(Code::kInvalidArgument, "zstd: more than {} bytes come out", size_bytes);
    }
    plain += piece;
    return Status();
  }));
  if (!decompressor.complete() && !compressed.empty()) {
    return Error(Code::kInvalidArgument, "zstd: the frame is cut short");
  }
  return plain;
}

Compressor::Compressor() : context_(std::make_unique<Context>()) {
  CHECK(context_->zstd, "out of memory");
  ZSTD_CCtx_setParameter(context_->zstd, ZSTD_c_compressionLevel, kZstdLevel);
}
Compressor::~Compressor() = default;

Status Compressor::Feed(std::string_view plain, bool last, std::string* result) {
  ZSTD_inBuffer in{plain.data(), plain.size(), 0};
  for (;;) {
    const size_t before = result->size();
    result->resize(before + ZSTD_CStreamOutSize());
    ZSTD_outBuffer out{result->data() + before, result->size() - before, 0};
    const size_t left =
        ZSTD_compressStream2(context_->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    result->resize(before + out.pos);
    if (ZSTD_isError(left)) {
      return ErrorStatus(Code::kInternal, "zstd: {}", ZSTD_getErrorName(left));
    }
    if (last ? left == 0 : in.pos == in.size) return Status();
  }
}

std::string CompressBlob(const BytesList& plain) {
  std::string compressed;
  Compressor compressor;
  for (const Bytes& piece : plain) {
    Status status = compressor.Feed(piece.view(), false, &compressed);
    CHECK(status.ok(), "zstd refuses to compress");
  }
  CHECK(compressor.Feed({}, true, &compressed).ok(), "zstd refuses to compress");
  return compressed;
}

}  // namespace lre::service
