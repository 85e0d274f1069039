// DirectoryCache: parsed Directory messages by tenant and digest, fetched level by level in
// batches, the least recently used dropped beyond a bound: what one tenant has is not there for
// another. Thread-safe; GetTree blocks. Errors: FAILED_PRECONDITION with MISSING violations for
// directories that the store lacks, INVALID_ARGUMENT for one that does not parse,
// RESOURCE_EXHAUSTED for a tree with more than `tree_directories_max` directories.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "digest/digest.h"
#include "reapi/action.h"
#include "store/blob_store.h"

namespace lre::worker {

struct DirectoryCacheOptions {
  uint64_t size_bytes_max = 32 << 20;  // of the messages as encoded
  size_t tree_directories_max = 1'000'000;
};

struct InputDirectory : reapi::Directory {
  // Names of the files that the client marked as part of the tool by the node property
  // bazel_tool_input; sorted.
  std::vector<std::string> tools;
};
using DirectoryPtr = std::shared_ptr<const InputDirectory>;
using DirectoryMap = std::unordered_map<Digest, DirectoryPtr>;

class DirectoryCache {
 public:
  // `cas` must outlive the cache.
  DirectoryCache(store::BlobStore& cas, DirectoryCacheOptions options)
      : cas_(cas), options_(options) {}

  // The directory and everything below it.
  Result<DirectoryMap> GetTree(const store::BlobKey& root);

 private:
  struct Entry {
    DirectoryPtr directory;
    std::list<store::BlobKey>::iterator position;
  };
  DirectoryPtr Find(const store::BlobKey& key);
  void Insert(const store::BlobKey& key, DirectoryPtr directory);

  store::BlobStore& cas_;
  const DirectoryCacheOptions options_;
  std::mutex mutex_;
  std::unordered_map<store::BlobKey, Entry, store::BlobKeyHash> entries_;
  std::list<store::BlobKey> lru_;
  uint64_t size_bytes_ = 0;
};

}  // namespace lre::worker
