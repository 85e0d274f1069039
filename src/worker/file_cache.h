// FileCache: input files on the worker's disk, one per (digest, executable bit, tenant), to be
// hard-linked into input trees; who knows a digest has not got the blob yet. Every file is verified
// while it is written and scanned once for the store paths it names. A blob is fetched once however
// many actions want it at the same time; small blobs come in batches, large ones as streams,
// several at a time.
//
// Thread-safe; Get blocks. Files belong to `owner`, have mode 0644 or 0755 and a fixed time, so
// that an action cannot see when they were fetched. The least recently used files go when the bytes
// exceed the bound; files in use never go, so one action larger than the bound still runs. The
// folder is the cache's own: what is in it at the start is removed.
//
// Errors: FAILED_PRECONDITION with the MISSING violations of every blob that the store lacks;
// RESOURCE_EXHAUSTED when the disk is full; other errors are the store's.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "digest/digest.h"
#include "store/blob_store.h"

namespace lre::worker {

struct FileCacheOptions {
  std::string directory;
  uint64_t size_bytes_max = uint64_t{10} << 30;
  uint32_t owner = 0;  // uid and gid of the files, set only when the program is root
  int fetches_at_once = 4;
  uint64_t batch_bytes_max = 3 << 20;  // of the blobs read together; larger ones are streamed
  size_t batch_blobs_max = 1000;
  std::string store_prefix = "/lre/store";  // the references that are looked for
};

struct FileKey {
  Digest digest;
  bool executable = false;
  store::Partition partition = 0;
  friend bool operator==(const FileKey&, const FileKey&) = default;
};
struct FileKeyHash {
  size_t operator()(const FileKey& key) const {
    return store::BlobKeyHash()({key.digest, key.partition}) * 2 + key.executable;
  }
};

// A file in the cache; it stays while someone holds it.
struct CachedFile {
  FileKey key;
  std::string path;
  std::vector<std::string> store_paths;  // toolchain store paths named in its bytes, sorted
};

class FileCache {
 public:
  // `cas` must outlive the cache.
  static Result<std::unique_ptr<FileCache>> Open(store::BlobStore& cas, FileCacheOptions options);
  ~FileCache();

  // The files, in the order of `keys`, which are of one tenant.
  Result<std::vector<std::shared_ptr<const CachedFile>>> Get(std::span<const FileKey> keys);
  // Takes a finished file that is known to have this digest (an output) into the cache by a hard
  // link, or by a copy from another file system. The caller must not write to it any more. Nothing
  // happens when it is there already or neither can be made.
  void Adopt(const std::string& path, const FileKey& key, std::vector<std::string> store_paths);

  uint64_t size_bytes() const;
  uint64_t fetched_blobs() const;

 private:
  struct Entry {
    enum class State { kFetching, kReady } state = State::kFetching;
    std::shared_ptr<const CachedFile> file;
    std::list<FileKey>::iterator position;  // in lru_, when ready
  };
  struct Fetch;

  FileCache(store::BlobStore& cas, FileCacheOptions options);
  std::string PathOf(const FileKey& key) const;
  void FetchAll(std::span<const FileKey> keys, Fetch& fetch);
  void FetchBatch(std::span<const FileKey> keys, Fetch& fetch);
  void FetchStream(const FileKey& key, Fetch& fetch);
  Result<std::vector<std::string>> WriteFile(const FileKey& key, const BytesList& pieces);
  Result<std::vector<std::string>> StreamFile(const FileKey& key);
  bool AdoptFile(const std::string& path, const FileKey& key);
  Result<std::vector<std::string>> CopyFile(const std::string& path, const FileKey& key);
  std::string TemporaryPath();
  void Finish(const FileKey& key, Result<std::vector<std::string>> store_paths, Fetch& fetch);
  void EvictLocked();

  store::BlobStore& cas_;
  const FileCacheOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<FileKey, Entry, FileKeyHash> entries_;
  std::list<FileKey> lru_;  // least recently used first
  uint64_t size_bytes_ = 0;
  uint64_t fetched_blobs_ = 0;
  uint64_t names_ = 0;  // of temporary files
  ThreadPool pool_;     // last: its threads use the rest
};

}  // namespace lre::worker
