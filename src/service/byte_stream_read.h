// ByteStream.Read; the rules are in byte_stream_service.h.
#pragma once

#include "service/byte_stream_service.h"

namespace lre::service {
rpc::Method ByteStreamReadMethod(ByteStreamParts parts, const ByteStreamOptions& options);
}  // namespace lre::service
