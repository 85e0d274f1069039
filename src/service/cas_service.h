// build.bazel.remote.execution.v2.ContentAddressableStorage: FindMissingBlobs, BatchUpdateBlobs,
// BatchReadBlobs, GetTree. (SplitBlob and SpliceBlob: chunk_methods.h.)
//
// Answers come from the loop when the store answers without blocking, else from the I/O pool. What
// CasParts borrows must outlive every call. Thread-safe.
// Decided here: a malformed digest fails FindMissingBlobs as a whole, and only its own blob in the
// batches; a blob that would make a BatchReadBlobs answer larger than answer_bytes_max gets
// RESOURCE_EXHAUSTED and can be read through ByteStream (counted uncompressed, also where zstd is
// answered to a client that accepts it: blobs of 4 KiB and more that become smaller); GetTree sends
// each distinct directory once, omits what is missing below the root, and its tokens say how many
// directories to skip.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "store/blob_store.h"

namespace lre::service {

struct CasParts {
  store::BlobStore& store;
  ThreadPool& io;
  const Partitions& partitions = Partitions::None();
};
struct CasOptions {
  size_t batch_bytes_max = 64 << 20;        // of one BatchUpdateBlobs or FindMissingBlobs request
  size_t answer_bytes_max = 4 << 20;        // of one BatchReadBlobs answer: clients' message limit
  size_t tree_page_bytes = 1 << 20;         // of one GetTree message, about
  size_t tree_directories_max = 1'000'000;  // distinct, of one GetTree; RESOURCE_EXHAUSTED beyond
  // A batch of more bytes than this is hashed on the I/O pool, to keep the loop free.
  size_t inline_hash_bytes_max = 512 << 10;
};

std::vector<rpc::Method> CasMethods(CasParts parts, CasOptions options = {});

}  // namespace lre::service
