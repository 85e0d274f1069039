// SpoolFile: bytes that come before their digest is known wait here: a file without a name, gone
// when it is dropped or the process ends. Confined to one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "digest/hasher.h"
#include "store/blob_store.h"

namespace lre::service {

class SpoolFile {
 public:
  // In `directory` ($TMPDIR or /tmp when empty), hashing for `function`.
  static Result<std::unique_ptr<SpoolFile>> Create(const std::string& directory,
                                                   DigestFunction function);

  Status Append(std::string_view bytes);
  // Forgets all bytes.
  Status Restart();
  uint64_t size_bytes() const { return size_bytes_; }
  // Of all bytes; call once, after the last Append.
  Digest Finish() { return hasher_.Finish(); }
  // Writes the bytes into the store under that key.
  Status CopyTo(store::BlobStore& store, const store::BlobKey& key) const;
  // For libarchive.
  int fd() const { return file_->fd(); }
  Result<size_t> ReadAt(char* out, size_t size, uint64_t offset) const {
    return file_->ReadAt(out, size, offset);
  }

 private:
  SpoolFile(std::unique_ptr<File> file, DigestFunction function)
      : file_(std::move(file)), function_(function), hasher_(function) {}

  const std::unique_ptr<File> file_;
  const DigestFunction function_;
  Hasher hasher_;
  uint64_t size_bytes_ = 0;
};

}  // namespace lre::service
