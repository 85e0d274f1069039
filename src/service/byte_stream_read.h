// ByteStream.Read; the rules are in byte_stream_service.h. Thread-safe.
#pragma once

#include <memory>

#include "service/byte_stream_service.h"
#include "service/zstd_blob.h"
#include "service/zstd_cache.h"

namespace lre::service {

// What reads and writes of compressed-blobs share.
struct ByteStreamZstd {
  explicit ByteStreamZstd(size_t cache_bytes_max) : cache(cache_bytes_max) {}
  ZstdContexts contexts;
  ZstdCache cache;
};

rpc::Method ByteStreamReadMethod(ByteStreamParts parts, const ByteStreamOptions& options,
                                 std::shared_ptr<ByteStreamZstd> zstd);

}  // namespace lre::service
