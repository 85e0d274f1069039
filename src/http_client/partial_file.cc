#include "http_client/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/random.h"

namespace lre {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr int kOpenAttemptsMax = 8;

// Whether `fd` is still the file called `path`: its last holder may have renamed or removed it
// between our open and our lock.
bool IsStillNamed(int fd, const std::string& path) {
  struct stat held, named;
  return fstat(fd, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

}  // namespace

PartialFile::PartialFile(std::string path, std::string partial, UniqueFd fd, bool is_private)
    : path_(std::move(path)),
      partial_(std::move(partial)),
      fd_(std::move(fd)),
      private_(is_private),
      hasher_(DigestFunction::kSha256) {}

Result<std::unique_ptr<PartialFile>> PartialFile::Open(const std::string& path, bool resume) {
  std::string partial = path + ".partial";
  bool is_private = false;
  for (int attempt = 0; attempt < kOpenAttemptsMax; ++attempt) {
    UniqueFd fd(open(partial.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd) return ErrnoError(errno, "open " + partial);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      partial = path + ".partial." + RandomHex(8);
      is_private = true;
      continue;
    }
    if (!IsStillNamed(fd.get(), partial)) continue;
    std::unique_ptr<PartialFile> file(
        new PartialFile(path, std::move(partial), std::move(fd), is_private));
    TRY(resume ? file->HashWhatIsThere() : file->Restart());
    return file;
  }
  return Error(Code::kAborted, "{}: others keep replacing it", partial);
}

Status PartialFile::Make(const std::string& path, const std::function<Status(PartialFile&)>& fill) {
  TRY_ASSIGN(const std::unique_ptr<PartialFile> file, Open(path, /*resume=*/false));
  Status status = fill(*file);
  if (status.ok()) status = file->Commit();
  if (!status.ok()) file->Discard();
  return status;
}

PartialFile::~PartialFile() {
  if (!done_ && (private_ || size_bytes_ == 0)) Discard();
}

Status PartialFile::HashWhatIsThere() {
  std::vector<char> buffer(kReadBytes);
  while (true) {
    const ssize_t got =
        pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(size_bytes_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read " + partial_);
    if (got == 0) return {};
    hasher_.Update({buffer.data(), static_cast<size_t>(got)});
    size_bytes_ += static_cast<uint64_t>(got);
  }
}

Status PartialFile::Append(std::string_view bytes) {
  hasher_.Update(bytes);
  while (!bytes.empty()) {
    const ssize_t put =
        pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_bytes_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, "write " + partial_);
    bytes.remove_prefix(static_cast<size_t>(put));
    size_bytes_ += static_cast<uint64_t>(put);
  }
  return {};
}

Status PartialFile::Restart() {
  if (ftruncate(fd_.get(), 0) != 0) return ErrnoStatus(errno, "truncate " + partial_);
  size_bytes_ = 0;
  hasher_ = Hasher(DigestFunction::kSha256);
  return {};
}

std::string PartialFile::Sha256() { return hasher_.Finish().Hex(); }

Status PartialFile::Commit() {
  if (fsync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync " + partial_);
  if (rename(partial_.c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, "rename " + partial_ + " to " + path_);
  }
  done_ = true;
  return {};
}

void PartialFile::Discard() {
  done_ = true;
  (void)unlink(partial_.c_str());
}

}  // namespace lre
