#include "worker/file_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "base/file.h"
#include "digest/hasher.h"
#include "reapi/error_details.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::worker {
namespace {

constexpr time_t kFileTime = 946684800;  // 2000-01-01 00:00:00 UTC
constexpr uint64_t kStreamPieceBytes = 4 << 20;
constexpr size_t kCopyPieceBytes = 256 << 10;

// A file being written under a temporary name; hashes and scans what goes through.
class NewFile {
 public:
  NewFile(std::string path, DigestFunction function, const std::string& store_prefix)
      : path_(std::move(path)),
        fd_(open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)),
        hasher_(function),
        scanner_(store_prefix) {}
  ~NewFile() {
    if (!renamed_) unlink(path_.c_str());
  }

  Status Append(std::string_view bytes) {
    if (!fd_) return ErrnoStatus(errno, path_);
    hasher_.Update(bytes);
    scanner_.Update(bytes);
    while (!bytes.empty()) {
      ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, path_);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return {};
  }
  Result<std::vector<std::string>> Commit(const FileKey& key, const std::string& path,
                                          uint32_t owner) {
    if (!fd_) return ErrnoError(errno, path_);
    Digest digest = hasher_.Finish();
    if (digest != key.digest)
      return Error(Code::kDataLoss, "blob {} read back as {}", key.digest, digest);
    timespec times[2] = {{kFileTime, 0}, {kFileTime, 0}};
    if (fchmod(fd_.get(), key.executable ? 0755 : 0644) != 0 || futimens(fd_.get(), times) != 0 ||
        (geteuid() == 0 && fchown(fd_.get(), owner, owner) != 0))
      return ErrnoError(errno, path_);
    fd_.Reset();  // no writable descriptor may be left when the file gets its name
    if (rename(path_.c_str(), path.c_str()) != 0) return ErrnoError(errno, path);
    renamed_ = true;
    return scanner_.Finish();
  }

 private:
  const std::string path_;
  UniqueFd fd_;
  Hasher hasher_;
  toolchain::StoreReferenceScanner scanner_;
  bool renamed_ = false;
};

}  // namespace

// One Get: what is still under way, and what went wrong.
struct FileCache::Fetch {
  std::mutex mutex;
  std::condition_variable done;
  size_t tasks = 0;
  std::vector<Digest> missing;
  Status error;
  std::vector<std::shared_ptr<const CachedFile>> held;  // else they might be evicted before use
};

Result<std::unique_ptr<FileCache>> FileCache::Open(store::BlobStore& cas,
                                                   FileCacheOptions options) {
  TRY(RemoveTree(options.directory));
  // One folder: ext4 and xfs hash large ones, and a fan-out of folders takes time to make.
  TRY(SystemFiles().MakeDirectories(options.directory));
  return std::unique_ptr<FileCache>(new FileCache(cas, std::move(options)));
}

FileCache::FileCache(store::BlobStore& cas, FileCacheOptions options)
    : cas_(cas),
      options_(std::move(options)),
      pool_({.name = "fetch", .threads = options_.fetches_at_once}) {}

FileCache::~FileCache() { pool_.Stop(); }

uint64_t FileCache::size_bytes() const {
  std::lock_guard lock(mutex_);
  return size_bytes_;
}
uint64_t FileCache::fetched_blobs() const {
  std::lock_guard lock(mutex_);
  return fetched_blobs_;
}

std::string FileCache::PathOf(const FileKey& key) const {
  return fmt::format("{}/{}-{}-{}-{}{}", options_.directory, key.digest.Hex(),
                     key.digest.size_bytes, static_cast<int>(key.digest.function), key.partition,
                     key.executable ? "-x" : "");
}

Result<std::vector<std::shared_ptr<const CachedFile>>> FileCache::Get(
    std::span<const FileKey> keys) {
  std::vector<std::shared_ptr<const CachedFile>> files(keys.size());
  Fetch fetch;
  for (;;) {
    std::vector<FileKey> ours;
    bool waiting = false;
    {
      std::unique_lock lock(mutex_);
      for (size_t i = 0; i < keys.size(); ++i) {
        if (files[i]) continue;
        auto [it, is_new] = entries_.try_emplace(keys[i]);
        Entry& entry = it->second;
        if (is_new) {
          ours.push_back(keys[i]);
        } else if (entry.state == Entry::State::kReady) {
          files[i] = entry.file;
          lru_.splice(lru_.end(), lru_, entry.position);
        } else {
          waiting = true;
        }
      }
      if (ours.empty() && !waiting) return files;
      // Someone else's fetch: when it fails the entry is gone and we try ourselves.
      if (ours.empty()) {
        changed_.wait(lock);
        continue;
      }
    }
    FetchAll(ours, fetch);
    TRY(fetch.error);
    if (!fetch.missing.empty()) return std::unexpected(reapi::MissingBlobsStatus(fetch.missing));
  }
}

void FileCache::FetchAll(std::span<const FileKey> keys, Fetch& fetch) {
  std::vector<std::function<void()>> tasks;
  size_t begin = 0;
  std::vector<FileKey> small;
  for (const FileKey& key : keys) {
    if (static_cast<uint64_t>(key.digest.size_bytes) > options_.batch_bytes_max) {
      tasks.push_back([this, key, &fetch] { FetchStream(key, fetch); });
    } else {
      small.push_back(key);
    }
  }
  while (begin < small.size()) {
    uint64_t bytes = 0;
    size_t end = begin;
    for (; end < small.size() && end - begin < options_.batch_blobs_max; ++end) {
      bytes += static_cast<uint64_t>(small[end].digest.size_bytes);
      if (end > begin && bytes > options_.batch_bytes_max) break;
    }
    std::span<const FileKey> batch(small.data() + begin, end - begin);
    tasks.push_back([this, batch, &fetch] { FetchBatch(batch, fetch); });
    begin = end;
  }
  // The last one here: a single batch, the usual case, needs no other thread.
  for (size_t i = 0; i + 1 < tasks.size(); ++i) {
    {
      std::lock_guard lock(fetch.mutex);
      ++fetch.tasks;
    }
    auto run = [&fetch, &task = tasks[i]] {
      task();
      std::lock_guard lock(fetch.mutex);
      --fetch.tasks;
      fetch.done.notify_all();
    };
    if (!pool_.TryRun(run)) run();
  }
  if (!tasks.empty()) tasks.back()();
  std::unique_lock lock(fetch.mutex);
  fetch.done.wait(lock, [&] { return fetch.tasks == 0; });
}

void FileCache::FetchBatch(std::span<const FileKey> keys, Fetch& fetch) {
  std::vector<Digest> digests;
  for (const FileKey& key : keys) digests.push_back(key.digest);
  std::vector<Result<BytesList>> blobs = cas_.ReadMany(keys[0].partition, digests);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!blobs[i]) {
      Finish(keys[i], std::unexpected(blobs[i].error()), fetch);
    } else {
      Finish(keys[i], WriteFile(keys[i], *blobs[i]), fetch);
    }
  }
}

void FileCache::FetchStream(const FileKey& key, Fetch& fetch) {
  Finish(key, StreamFile(key), fetch);
}

std::string FileCache::TemporaryPath() {
  std::lock_guard lock(mutex_);
  return fmt::format("{}/new-{}", options_.directory, names_++);
}

Result<std::vector<std::string>> FileCache::WriteFile(const FileKey& key, const BytesList& pieces) {
  NewFile file(TemporaryPath(), key.digest.function, options_.store_prefix);
  for (const Bytes& piece : pieces) TRY(file.Append(piece.view()));
  return file.Commit(key, PathOf(key), options_.owner);
}

Result<std::vector<std::string>> FileCache::StreamFile(const FileKey& key) {
  NewFile file(TemporaryPath(), key.digest.function, options_.store_prefix);
  auto size = static_cast<uint64_t>(key.digest.size_bytes);
  for (uint64_t offset = 0; offset < size; offset += kStreamPieceBytes) {
    TRY_ASSIGN(BytesList pieces, cas_.Read({key.digest, key.partition},
                                           {offset, std::min(size, offset + kStreamPieceBytes)}));
    for (const Bytes& piece : pieces) TRY(file.Append(piece.view()));
  }
  return file.Commit(key, PathOf(key), options_.owner);
}

void FileCache::Finish(const FileKey& key, Result<std::vector<std::string>> store_paths,
                       Fetch& fetch) {
  if (!store_paths) {
    std::lock_guard lock(fetch.mutex);
    if (store_paths.error().code() == Code::kNotFound) {
      fetch.missing.push_back(key.digest);
    } else if (fetch.error.ok()) {
      fetch.error = store_paths.error();
    }
  }
  std::shared_ptr<const CachedFile> file;
  {
    std::lock_guard lock(mutex_);
    if (!store_paths) {
      entries_.erase(key);
    } else {
      Entry& entry = entries_[key];
      entry.state = Entry::State::kReady;
      file = std::make_shared<CachedFile>(CachedFile{key, PathOf(key), std::move(*store_paths)});
      entry.file = file;
      entry.position = lru_.insert(lru_.end(), key);
      size_bytes_ += static_cast<uint64_t>(key.digest.size_bytes);
      ++fetched_blobs_;
      EvictLocked();
    }
  }
  changed_.notify_all();
  std::lock_guard lock(fetch.mutex);
  fetch.held.push_back(std::move(file));
}

// Takes the oldest files that nobody holds out of the table and off the disk. Unlinking happens
// under the lock, so that the same file fetched again cannot lose its name.
void FileCache::EvictLocked() {
  auto it = lru_.begin();
  while (size_bytes_ > options_.size_bytes_max && it != lru_.end() && std::next(it) != lru_.end()) {
    auto entry = entries_.find(*it);
    if (entry->second.file.use_count() > 1) {
      ++it;
      continue;
    }
    unlink(entry->second.file->path.c_str());
    size_bytes_ -= static_cast<uint64_t>(it->digest.size_bytes);
    entries_.erase(entry);
    it = lru_.erase(it);
  }
}

void FileCache::Adopt(const std::string& path, const FileKey& key,
                      std::vector<std::string> store_paths) {
  {
    std::lock_guard lock(mutex_);
    if (!entries_.try_emplace(key).second) return;
  }
  // Who wants it meanwhile waits, as for a fetch.
  bool done = AdoptFile(path, key);
  {
    std::lock_guard lock(mutex_);
    if (done) {
      Entry& entry = entries_[key];
      entry.state = Entry::State::kReady;
      entry.file =
          std::make_shared<CachedFile>(CachedFile{key, PathOf(key), std::move(store_paths)});
      entry.position = lru_.insert(lru_.end(), key);
      size_bytes_ += static_cast<uint64_t>(key.digest.size_bytes);
      EvictLocked();
    } else {
      entries_.erase(key);
    }
  }
  changed_.notify_all();
}

bool FileCache::AdoptFile(const std::string& path, const FileKey& key) {
  errno = 0;
  std::string cached = PathOf(key);
  timespec times[2] = {{kFileTime, 0}, {kFileTime, 0}};
  struct stat info;
  // A file with other names could still be written through them; extended attributes would be
  // seen by the next action.
  if (llistxattr(path.c_str(), nullptr, 0) == 0 && lstat(path.c_str(), &info) == 0 &&
      info.st_nlink == 1 && chmod(path.c_str(), key.executable ? 0755 : 0644) == 0 &&
      utimensat(AT_FDCWD, path.c_str(), times, 0) == 0 && link(path.c_str(), cached.c_str()) == 0)
    return true;
  return errno == EXDEV && CopyFile(path, key).has_value();
}

Result<std::vector<std::string>> FileCache::CopyFile(const std::string& path, const FileKey& key) {
  UniqueFd from(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!from) return ErrnoError(errno, path);
  NewFile file(TemporaryPath(), key.digest.function, options_.store_prefix);
  std::string piece(kCopyPieceBytes, '\0');
  for (;;) {
    ssize_t size = read(from.get(), piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoError(errno, path);
    if (size == 0) break;
    TRY(file.Append({piece.data(), static_cast<size_t>(size)}));
  }
  return file.Commit(key, PathOf(key), options_.owner);
}

}  // namespace lre::worker
