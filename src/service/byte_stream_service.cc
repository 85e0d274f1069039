#include "service/byte_stream_service.h"

#include "service/byte_stream_read.h"
#include "service/byte_stream_write.h"

namespace lre::service {

std::vector<rpc::Method> ByteStreamMethods(ByteStreamParts parts, ByteStreamOptions options) {
  auto uploads = std::make_shared<UploadTable>(parts.clock, options.uploads_parked_max,
                                               options.upload_idle_max);
  std::vector<rpc::Method> methods;
  auto zstd = std::make_shared<ByteStreamZstd>(options.zstd_cache_bytes_max);
  methods.push_back(ByteStreamReadMethod(parts, options, zstd));
  methods.push_back(ByteStreamWriteMethod(parts, options, uploads, zstd));
  methods.push_back(QueryWriteStatusMethod(parts, uploads));
  return methods;
}

}  // namespace lre::service
