// ByteStream.Write and QueryWriteStatus; the rules are in byte_stream_service.h. Thread-safe.
#pragma once

#include <memory>

#include "service/byte_stream_read.h"
#include "service/byte_stream_service.h"
#include "service/upload_table.h"

namespace lre::service {
rpc::Method ByteStreamWriteMethod(ByteStreamParts parts, const ByteStreamOptions& options,
                                  std::shared_ptr<UploadTable> uploads,
                                  std::shared_ptr<ByteStreamZstd> zstd);
rpc::Method QueryWriteStatusMethod(ByteStreamParts parts, std::shared_ptr<UploadTable> uploads);
}  // namespace lre::service
