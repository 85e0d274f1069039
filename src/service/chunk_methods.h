// ContentAddressableStorage.SplitBlob and SpliceBlob. Chunks are blobs of their own: they can be
// read, found and evicted like any other. Both run on the I/O pool with at most one chunk in
// memory. Splitting is always FAST_CDC_2020 with the parameters that the capabilities announce,
// whatever function the client prefers (the answer says so). Thread-safe. Errors: NOT_FOUND when
// the blob or a chunk is absent; INVALID_ARGUMENT when the chunks are not the blob.
#pragma once

#include <vector>

#include "service/cas_service.h"
#include "service/fast_cdc.h"

namespace lre::service {

std::vector<rpc::Method> ChunkMethods(CasParts parts, FastCdcOptions options = {});

}  // namespace lre::service
