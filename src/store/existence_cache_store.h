// ExistenceCacheStore: remembers which blobs another store said are there, so that asking again
// costs neither its disk nor a round trip. Thread-safe; owns the base; Try* block no more than the
// base's do.
//
// What FindMissing promises stays true: the base keeps a blob for `lease` after it said that the
// blob is there, and this store says so again only while at least `promise` of that remains. Only
// presence is remembered. A read that finds nothing, because the base lost the blob after all,
// forgets it. Bounded by `entries_max`; those asked for least recently go first.
#pragma once

#include <memory>

#include "base/clock.h"
#include "store/blob_store.h"

namespace lre::store {

struct ExistenceCacheOptions {
  Duration lease = std::chrono::hours(3);        // that the base grants with each answer
  Duration promise = std::chrono::minutes(150);  // what callers get; at or above `lease`: no cache
  size_t entries_max = 1'000'000;                // about 130 bytes each
};

// `clock` must outlive the store.
std::unique_ptr<BlobStore> NewExistenceCacheStore(std::unique_ptr<BlobStore> base,
                                                  const Clock& clock,
                                                  ExistenceCacheOptions options = {});

}  // namespace lre::store
