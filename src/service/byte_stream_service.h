// google.bytestream.ByteStream as the REAPI uses it: Read, Write and QueryWriteStatus of blobs and
// of compressed-blobs/zstd. Thread-safe; what ByteStreamParts borrows must outlive every call.
//
// Read sends slices of the stored bytes and asks the store for more only when the socket has taken
// what it got. Write gives receive window back only when the store has the bytes; a blob that is
// there already ends an upload at once, with committed_size = its size (-1 when compressed). An
// upload whose connection broke, or that ended without finish_write, can be resumed under its name
// at the offset QueryWriteStatus tells, for upload_idle_max; a write at offset 0 starts it anew.
//
// Errors: INVALID_ARGUMENT for names, offsets and bytes that do not fit together, OUT_OF_RANGE for
// a read that starts before 0 or past the end, NOT_FOUND, RESOURCE_EXHAUSTED. Source:
// bytestream.proto and remote_execution.proto as published.
#pragma once

#include <vector>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "rpc/call.h"
#include "service/partitions.h"
#include "store/blob_store.h"

namespace lre::service {

struct ByteStreamParts {
  store::BlobStore& store;
  ThreadPool& io;
  const Clock& clock;
  const Partitions& partitions = Partitions::None();
};
struct ByteStreamOptions {
  size_t read_piece_bytes = 256 << 10;        // of one ReadResponse
  int64_t blob_bytes_max = INT64_MAX;         // of a write; INVALID_ARGUMENT beyond
  size_t write_message_bytes_max = 16 << 20;  // of one WriteRequest
  size_t uploads_parked_max = 1000;           // broken uploads that wait to be resumed
  Duration upload_idle_max = std::chrono::minutes(10);
  // A whole blob up to this size in one message is hashed and stored on the loop.
  size_t inline_write_bytes_max = 128 << 10;
  // Memory for zstd frames that were sent, to be sent again; a blob may take an eighth of it.
  size_t zstd_cache_bytes_max = 64 << 20;
};

std::vector<rpc::Method> ByteStreamMethods(ByteStreamParts parts, ByteStreamOptions options = {});

}  // namespace lre::service
