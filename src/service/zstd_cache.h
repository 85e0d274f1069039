// ZstdCache: the zstd frames that were sent last, so that a blob which many clients read compressed
// is compressed once. Thread-safe: one mutex, held for one table operation. Bounds: `bytes_max` of
// frames, of which one blob may take an eighth; the least recently used go first. Whether the blob
// is still in the store is the caller's to ask.
#pragma once

#include <list>
#include <optional>
#include <unordered_map>

#include "base/bytes.h"
#include "base/guarded.h"
#include "store/blob_store.h"

namespace lre::service {

class ZstdCache {
 public:
  explicit ZstdCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  size_t blob_bytes_max() const { return bytes_max_ / 8; }
  // The frames of the whole blob, in order.
  std::optional<BytesList> Find(const store::BlobKey& key);
  void Put(const store::BlobKey& key, BytesList frames);
  size_t bytes() const {
    return state_.With([](const State& state) { return state.bytes; });
  }

 private:
  struct Entry {
    store::BlobKey key;
    BytesList frames;
    size_t bytes = 0;
  };
  struct State {
    std::list<Entry> entries;  // the last used first
    std::unordered_map<store::BlobKey, std::list<Entry>::iterator, store::BlobKeyHash> by_key;
    size_t bytes = 0;
  };

  const size_t bytes_max_;
  mutable Guarded<State> state_;
};

}  // namespace lre::service
