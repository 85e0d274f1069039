// MemoryStore: a BlobStore in memory, bounded by bytes; the least recently used blobs go first.
// Thread-safe; one mutex, held for one table operation. Nothing ever blocks, so Try* always answer.
// For tests, for workers' small caches and for `lre up` without a disk.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "store/blob_store.h"

namespace lre::store {

struct MemoryStoreOptions {
  // Of blobs; each also costs about 200 bytes of bookkeeping that are not counted.
  uint64_t size_bytes_max = 1ull << 30;
  uint64_t blob_bytes_max = UINT64_MAX;  // of one blob: kInvalidArgument beyond
  // Blobs found, read or written so recently are not evicted: rather kResourceExhausted.
  Duration lease{0};
};

// `clock` must outlive the store.
std::unique_ptr<BlobStore> NewMemoryStore(const Clock& clock, MemoryStoreOptions options = {});

}  // namespace lre::store
