// ContentAddressableStorage.SplitBlob and SpliceBlob. Chunks are blobs of their own: they can be
// read and found like any other, and a store that can keeps a blob that was split or spliced as the
// list of its chunks, so that their bytes lie on the disk once. A blob that has such a list is
// answered with it when the client prefers the function that made it, or none; else it is cut anew.
// Both run on the I/O pool with at most two windows of a chunking function in memory (5 MiB).
// Thread-safe. Errors: NOT_FOUND when the blob or a chunk is absent; INVALID_ARGUMENT when the
// chunks are not the blob; RESOURCE_EXHAUSTED for chunks beyond chunks_max.
#pragma once

#include <vector>

#include "service/cas_service.h"
#include "service/fast_cdc.h"
#include "service/rep_max_cdc.h"

namespace lre::service {

// As the capabilities announce.
struct ChunkOptions {
  FastCdcOptions fast_cdc;
  RepMaxCdcOptions rep_max_cdc;
  // Of one blob: more digests would not fit the answer. Beyond it a blob is one chunk, itself.
  size_t chunks_max = 40'000;
};

std::vector<rpc::Method> ChunkMethods(CasParts parts, ChunkOptions options = {});

}  // namespace lre::service
