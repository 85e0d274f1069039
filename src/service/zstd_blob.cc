#include "service/zstd_blob.h"

#include <zstd.h>

#include <algorithm>

#include "base/check.h"
#include "base/mapped_copy.h"

namespace lre::service {
namespace {

constexpr size_t kPieceBytes = 128 << 10;

template <typename Context>
Context* TakeLast(std::vector<Context*>& idle) {
  if (idle.empty()) return nullptr;
  Context* context = idle.back();
  idle.pop_back();
  return context;
}

}  // namespace

ZstdContexts::~ZstdContexts() {
  idle_.With([](Idle& idle) {
    for (ZSTD_CCtx* context : idle.compressors) ZSTD_freeCCtx(context);
    for (ZSTD_DCtx* context : idle.decompressors) ZSTD_freeDCtx(context);
  });
}

ZSTD_CCtx* ZstdContexts::TakeCompressor() {
  ZSTD_CCtx* context = idle_.With([](Idle& idle) { return TakeLast(idle.compressors); });
  if (context != nullptr) return context;
  context = ZSTD_createCCtx();
  CHECK(context != nullptr, "out of memory");
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, kZstdLevel);
  return context;
}

void ZstdContexts::Give(ZSTD_CCtx* context) {
  const bool kept = idle_.With([&](Idle& idle) {
    if (idle.compressors.size() >= idle_max_) return false;
    idle.compressors.push_back(context);
    return true;
  });
  if (!kept) ZSTD_freeCCtx(context);
}

ZSTD_DCtx* ZstdContexts::TakeDecompressor() {
  ZSTD_DCtx* context = idle_.With([](Idle& idle) { return TakeLast(idle.decompressors); });
  if (context != nullptr) {
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    return context;
  }
  context = ZSTD_createDCtx();
  CHECK(context != nullptr, "out of memory");
  ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  return context;
}

void ZstdContexts::Give(ZSTD_DCtx* context) {
  const bool kept = idle_.With([&](Idle& idle) {
    if (idle.decompressors.size() >= idle_max_) return false;
    idle.decompressors.push_back(context);
    return true;
  });
  if (!kept) ZSTD_freeDCtx(context);
}

Decompressor::Decompressor(ZstdContexts& contexts)
    : contexts_(contexts), zstd_(contexts.TakeDecompressor()) {}
Decompressor::~Decompressor() { contexts_.Give(zstd_); }

Status Decompressor::Feed(std::string_view compressed, const std::function<Status(Bytes)>& take) {
  ZSTD_inBuffer in{compressed.data(), compressed.size(), 0};
  for (bool more = in.size > 0; more;) {
    auto piece = std::make_shared_for_overwrite<char[]>(kPieceBytes);
    char* const to = piece.get();
    ZSTD_outBuffer out{to, kPieceBytes, 0};
    const size_t left = ZSTD_decompressStream(zstd_, &out, &in);
    if (ZSTD_isError(left)) {
      return ErrorStatus(Code::kInvalidArgument, "zstd: {}", ZSTD_getErrorName(left));
    }
    complete_ = left == 0;
    // A full piece may hide more output.
    more = in.pos < in.size || (out.pos == out.size && left != 0);
    if (out.pos == 0) continue;
    TRY(take(Bytes(std::move(piece), {to, out.pos})));
  }
  return Status();
}

Result<std::string> DecompressBlob(ZstdContexts& contexts, std::string_view compressed,
                                   int64_t size_bytes) {
  std::string plain;
  Decompressor decompressor(contexts);
  TRY(decompressor.Feed(compressed, [&](const Bytes& piece) {
    if (plain.size() + piece.size() > static_cast<uint64_t>(size_bytes)) {
      return ErrorStatus(Code::kInvalidArgument, "zstd: more than {} bytes come out", size_bytes);
    }
    plain += piece.view();
    return Status();
  }));
  if (!decompressor.complete() && !compressed.empty()) {
    return Error(Code::kInvalidArgument, "zstd: the frame is cut short");
  }
  return plain;
}

Result<std::string> CompressFrame(ZstdContexts& contexts, const BytesList& plain) {
  const size_t size = TotalSize(plain);
  auto gathered = std::make_unique_for_overwrite<char[]>(size);
  size_t at = 0;
  for (const Bytes& piece : plain) {
    if (!MappedCopy(gathered.get() + at, piece.data(), piece.size())) {
      return Error(Code::kUnavailable, "the disk did not give the bytes to compress");
    }
    at += piece.size();
  }
  std::string frame(ZSTD_compressBound(size), '\0');
  ZSTD_CCtx* context = contexts.TakeCompressor();
  const size_t written = ZSTD_compress2(context, frame.data(), frame.size(), gathered.get(), size);
  contexts.Give(context);
  if (ZSTD_isError(written)) {
    return Error(Code::kInternal, "zstd: {}", ZSTD_getErrorName(written));
  }
  frame.resize(written);
  frame.shrink_to_fit();  // it may wait in a cache
  return frame;
}

}  // namespace lre::service
