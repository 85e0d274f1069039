// The ActionCache that LRE serves: results in a ValueStore (memory or the log on disk), what they
// name in a BlobStore. Completeness: the digests an entry needs are flattened once, when it is
// written, and stored with it; a hit looks them all up, and so touches them, in one FindMissing. An
// entry with a missing blob answers kNotFound and stays: when the blob comes back it is served
// again. Thread-safe. Format of the values: docs/formats/action-result.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "action_cache/action_cache.h"
#include "store/value_store.h"

namespace lre::action_cache {

struct StoredActionCacheOptions {
  // Of one serialised ActionResult: kInvalidArgument beyond.
  uint64_t result_bytes_max = 16 << 20;
  // Of one Tree or Directory that is read to flatten it: kInvalidArgument beyond.
  uint64_t tree_bytes_max = 64 << 20;
  // Distinct blobs that one result may name: kInvalidArgument beyond.
  uint64_t digests_max = 200'000;
};

// `values` and `blobs` must outlive the cache.
std::unique_ptr<ActionCache> NewStoredActionCache(store::ValueStore& values,
                                                  store::BlobStore& blobs,
                                                  StoredActionCacheOptions options = {});
// The same with a ValueStore in memory of its own.
std::unique_ptr<ActionCache> NewMemoryActionCache(store::BlobStore& blobs,
                                                  StoredActionCacheOptions options = {});

// For tools that look into a ValueStore: what a key and a value of this cache say.
struct StoredResultKey {
  Digest action;
  std::string instance_name;
  store::Partition partition = 0;
};
struct StoredResult {
  std::vector<Digest> needed;
  Bytes result;  // the serialised ActionResult
};
// Nullopt for what is none.
std::optional<StoredResultKey> ParseStoredResultKey(std::string_view key);
std::optional<StoredResult> ParseStoredResult(const Bytes& value);

}  // namespace lre::action_cache
