// The File seam: every byte LRE writes to disk for keeps goes through these interfaces, so that
// tests can make writes fail, tear and disappear. File objects may be used from several threads at
// once as pread and pwrite may; FileSystem is thread-safe. Errors carry the path.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace lre {

class File {
 public:
  virtual ~File() = default;
  // Writes all of `bytes` at `offset`, extending the file when needed.
  virtual Status WriteAt(std::string_view bytes, uint64_t offset) = 0;
  virtual Status WriteAt(const BytesList& pieces, uint64_t offset);
  // Fills `out` from `offset`; returns how much was there (less than `size` only at the end).
  virtual Result<size_t> ReadAt(char* out, size_t size, uint64_t offset) const = 0;
  // Reserves disk space for [0, size) without changing what can be read.
  virtual Status Allocate(uint64_t size) = 0;
  virtual Status Truncate(uint64_t size) = 0;
  // fdatasync(2).
  virtual Status Sync() = 0;
  virtual Result<uint64_t> Size() const = 0;
  // For mmap, sendfile and preadv2; the file keeps owning it.
  virtual int fd() const = 0;
};

enum class OpenMode { kRead, kReadWrite, kCreate, kCreateExclusive };

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // Removes one file; a missing file is kNotFound.
  virtual Status Remove(const std::string& path) = 0;
  virtual Status MakeDirectories(const std::string& path) = 0;
  // Names in the directory, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& path) = 0;
  // fsync(2) of the directory: makes renames and creations in it survive a power loss.
  virtual Status SyncDirectory(const std::string& path) = 0;
};

// The machine's file system. Lives as long as the process.
FileSystem& SystemFiles();

// A file descriptor that is closed when it goes.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_;
};

// Whole small files. ReadFile refuses more than `size_bytes_max`.
Result<std::string> ReadFile(const std::string& path, uint64_t size_bytes_max = 1ull << 30);
// Writes beside, fsyncs, renames: readers see the old bytes or the new, never half.
Status WriteFileAtomically(const std::string& path, std::string_view bytes, int mode = 0644);
bool FileExists(const std::string& path);
// Removes a tree, directories without write permission included; missing is fine. Never follows
// symlinks.
Status RemoveTree(const std::string& path);
// The same for `name` in an open directory.
Status RemoveTreeAt(int directory, const std::string& name);

// A new private directory under `parent` ($TMPDIR or /tmp when empty), removed with its contents
// when it goes.
class TempDir {
 public:
  explicit TempDir(const std::string& parent = {});
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace lre
