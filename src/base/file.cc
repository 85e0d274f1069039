#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/check.h"
#include "base/random.h"

namespace lre {

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

void UniqueFd::Reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

Status File::WriteAt(const BytesList& pieces, uint64_t offset) {
  for (const Bytes& piece : pieces) {
    TRY(WriteAt(piece.view(), offset));
    offset += piece.size();
  }
  return {};
}

namespace {

class SystemFile final : public File {
 public:
  SystemFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status WriteAt(std::string_view bytes, uint64_t offset) override {
    while (!bytes.empty()) {
      ssize_t n = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "write " + path_);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  Status WriteAt(const BytesList& pieces, uint64_t offset) override {
    size_t index = 0, skip = 0;
    while (index < pieces.size()) {
      iovec vectors[64];
      int count = 0;
      for (size_t i = index; i < pieces.size() && count < 64; ++i) {
        size_t from = i == index ? skip : 0;
        vectors[count++] = {const_cast<char*>(pieces[i].data()) + from, pieces[i].size() - from};
      }
      ssize_t n = pwritev(fd_.get(), vectors, count, static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "write " + path_);
      }
      offset += static_cast<uint64_t>(n);
      size_t taken = static_cast<size_t>(n) + skip;
      while (index < pieces.size() && taken >= pieces[index].size())
        taken -= pieces[index++].size();
      skip = taken;
    }
    return {};
  }

  Result<size_t> ReadAt(char* out, size_t size, uint64_t offset) const override {
    size_t done = 0;
    while (done < size) {
      ssize_t n = pread(fd_.get(), out + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoError(errno, "read " + path_);
      }
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Status Allocate(uint64_t size) override {
    if (fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) != 0 &&
        errno != EOPNOTSUPP) {
      return ErrnoStatus(errno, fmt::format("allocate {} bytes for {}", size, path_));
    }
    return {};
  }

  Status Truncate(uint64_t size) override {
    if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
      return ErrnoStatus(errno, "truncate " + path_);
    return {};
  }

  Status Sync() override {
    if (fdatasync(fd_.get()) != 0) return ErrnoStatus(errno, "fdatasync " + path_);
    return {};
  }

  Result<uint64_t> Size() const override {
    struct stat info;
    if (fstat(fd_.get(), &info) != 0) return ErrnoError(errno, "stat " + path_);
    return static_cast<uint64_t>(info.st_size);
  }

  int fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string path_;
};

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kCreateExclusive:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

class SystemFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    UniqueFd fd(open(path.c_str(), OpenFlags(mode) | O_CLOEXEC, 0644));
    if (!fd) return ErrnoError(errno, "open " + path);
    return std::make_unique<SystemFile>(std::move(fd), path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0)
      return ErrnoStatus(errno, fmt::format("rename {} to {}", from, to));
    return {};
  }
  Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove " + path);
    return {};
  }
  Status MakeDirectories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return ErrnoStatus(error.value(), "make directory " + path);
    return {};
  }
  Result<std::vector<std::string>> List(const std::string& path) override {
    DIR* dir = opendir(path.c_str());
    if (dir == nullptr) return ErrnoError(errno, "list " + path);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(dir)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    closedir(dir);
    std::sort(names.begin(), names.end());
    return names;
  }
  Status SyncDirectory(const std::string& path) override {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return ErrnoStatus(errno, "open " + path);
    if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync " + path);
    return {};
  }
};

std::string ParentOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

FileSystem& SystemFiles() {
  static SystemFileSystem files;
  return files;
}

Result<std::string> ReadFile(const std::string& path, uint64_t size_bytes_max) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, "open " + path);
  std::string bytes;
  struct stat info;
  if (fstat(fd.get(), &info) == 0 && info.st_size > 0)
    bytes.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  while (true) {  // not by st_size: files in /proc report 0
    ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read " + path);
    }
    if (n == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
    if (bytes.size() > size_bytes_max)
      return Error(Code::kResourceExhausted, "{} is larger than {} bytes", path, size_bytes_max);
  }
}

Status WriteFileAtomically(const std::string& path, std::string_view bytes, int mode) {
  std::string beside = path + "." + RandomHex(6) + ".tmp";
  UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return ErrnoStatus(errno, "create " + beside);
  auto write_all = [&]() -> Status {
    while (!bytes.empty()) {
      ssize_t n = write(fd.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "write " + path);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    // The mode is part of what is asked for, whatever the umask.
    if (fchmod(fd.get(), static_cast<mode_t>(mode)) != 0)
      return ErrnoStatus(errno, "chmod " + path);
    if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync " + path);
    if (rename(beside.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "rename to " + path);
    return SystemFiles().SyncDirectory(ParentOf(path));
  };
  Status status = write_all();
  if (!status.ok()) unlink(beside.c_str());
  return status;
}

bool FileExists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// Recursion is bounded by the depth of the tree, which PATH_MAX bounds for trees LRE makes.
static Status RemoveTreeAt(int parent, const char* name, const std::string& path) {
  // What most often is: a file, or an empty directory.
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return ErrnoStatus(errno, "remove " + path);
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  struct stat info;
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoStatus(errno, "remove " + path);
  if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? Status() : ErrnoStatus(errno, "stat " + path);
  if ((info.st_mode & 0700) != 0700) fchmodat(parent, name, 0700, 0);
  UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, "open " + path);
  DIR* dir = fdopendir(dup(fd.get()));
  if (dir == nullptr) return ErrnoStatus(errno, "list " + path);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    std::string_view entry_name = entry->d_name;
    if (entry_name != "." && entry_name != "..") names.emplace_back(entry_name);
  }
  closedir(dir);
  for (const std::string& child : names)
    TRY(RemoveTreeAt(fd.get(), child.c_str(), path + "/" + child));
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "remove " + path);
  return {};
}

Status RemoveTree(const std::string& path) { return RemoveTreeAt(AT_FDCWD, path.c_str(), path); }
Status RemoveTreeAt(int directory, const std::string& name) {
  return RemoveTreeAt(directory, name.c_str(), name);
}

TempDir::TempDir(const std::string& parent) {
  std::string root = parent;
  if (root.empty()) root = std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp";
  path_ = root + "/lre-XXXXXX";
  CHECK(mkdtemp(path_.data()) != nullptr, "a temporary directory can be made: " + path_);
}

TempDir::~TempDir() { (void)RemoveTree(path_).ok(); }

}  // namespace lre
