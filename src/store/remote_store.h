// RemoteStore: a BlobStore behind a REAPI server: FindMissingBlobs, BatchReadBlobs,
// BatchUpdateBlobs, ByteStream Read and Write, on a channel. Thread-safe; every call blocks (Try*
// say "would block"). Whole reads are verified: bytes that do not hash are kNotFound, as damaged
// blobs are everywhere. Nothing is retried and nothing is cached; a partition other than 0 is the
// instance name with "partition-<n>" added.
//
// Errors are the server's, and kUnavailable or kDeadlineExceeded of the channel.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "rpc/client.h"
#include "store/blob_store.h"

namespace lre::store {

struct RemoteStoreOptions {
  std::string instance_name;
  uint64_t batch_bytes_max = 3 << 20;  // of the blobs of one batch; messages are at most 4 MiB
  size_t batch_blobs_max = 2000;
  size_t find_digests_max = 20000;     // of one FindMissingBlobs
  size_t write_piece_bytes = 1 << 20;  // of one WriteRequest
  Duration call_timeout = std::chrono::minutes(5);
};

std::unique_ptr<BlobStore> NewRemoteStore(std::shared_ptr<rpc::Channel> channel,
                                          RemoteStoreOptions options = {});

}  // namespace lre::store
