// ReadThroughStore: a local store in front of an upstream one, usually a server elsewhere. What the
// local store lacks is fetched from upstream once, verified by the local store as it is written,
// and kept. Thread-safe; owns both.
//
// One fetch per blob at a time: others who want the same blob wait for it. When the upstream does
// not answer it is left alone for `down_pause`, and until it is back this store is the local one
// alone: upstream's blobs are absent, nothing fails. A local store that is full does not stop
// reading: bytes then come from upstream unkept, as sound as upstream gives them.
//
// Only partition 0 has an upstream: what a tenant writes must not come back to another one by way
// of a server that knows no tenants.
//
// Try* answer what the local store can answer alone and would block for the rest.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/metrics.h"
#include "store/blob_store.h"

namespace lre::store {

struct ReadThroughOptions {
  // Whether what is written here is written upstream too, after it was acknowledged here. An
  // upstream that refuses is counted and logged; the write has succeeded.
  bool write_through = false;
  // Whether FindMissing asks upstream for what is not here, and promises it if it is there.
  bool find_upstream = true;
  Duration down_pause = std::chrono::seconds(10);
  Duration fetch_max = std::chrono::minutes(10);  // how long others wait for one fetch
  uint64_t blob_bytes_max = UINT64_MAX;           // larger ones are left alone: absent
  uint64_t piece_bytes = 4 << 20;                 // of a fetch, in memory
  Metrics* metrics = nullptr;                     // one of its own when not given
};

// `clock` must outlive the store.
std::unique_ptr<BlobStore> NewReadThroughStore(std::unique_ptr<BlobStore> local,
                                               std::unique_ptr<BlobStore> upstream,
                                               const Clock& clock, ReadThroughOptions options = {});

}  // namespace lre::store
