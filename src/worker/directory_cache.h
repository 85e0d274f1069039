// DirectoryCache: parsed Directory messages by digest, fetched level by level in batches, the least
// recently used dropped beyond a bound. Thread-safe; GetTree blocks. Errors: FAILED_PRECONDITION
// with MISSING violations for directories that the store lacks, INVALID_ARGUMENT for one that does
// not parse, RESOURCE_EXHAUSTED for a tree with more than `tree_directories_max` directories.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/status.h"
#include "digest/digest.h"
#include "reapi/action.h"
#include "store/blob_store.h"

namespace lre::worker {

struct DirectoryCacheOptions {
  store::Partition partition = 0;
  uint64_t size_bytes_max = 32 << 20;  // of the messages as encoded
  size_t tree_directories_max = 1'000'000;
};

using DirectoryPtr = std::shared_ptr<const reapi::Directory>;
using DirectoryMap = std::unordered_map<Digest, DirectoryPtr>;

class DirectoryCache {
 public:
  // `cas` must outlive the cache.
  DirectoryCache(store::BlobStore& cas, DirectoryCacheOptions options)
      : cas_(cas), options_(options) {}

  // The directory and everything below it.
  Result<DirectoryMap> GetTree(const Digest& root);

 private:
  struct Entry {
    DirectoryPtr directory;
    std::list<Digest>::iterator position;
  };
  DirectoryPtr Find(const Digest& digest);
  void Insert(const Digest& digest, DirectoryPtr directory);

  store::BlobStore& cas_;
  const DirectoryCacheOptions options_;
  std::mutex mutex_;
  std::unordered_map<Digest, Entry> entries_;
  std::list<Digest> lru_;
  uint64_t size_bytes_ = 0;
};

}  // namespace lre::worker
