#include "digest/file_digest.h"

#include "base/file.h"
#include "digest/hasher.h"

namespace lre {
namespace {

// Trees have many small files: one buffer of this size is all that each costs.
constexpr size_t kReadBytes = 1 << 18;

}  // namespace

Result<Digest> DigestOfFile(const std::string& path) {
  TRY_ASSIGN(const std::unique_ptr<File> file, SystemFiles().Open(path, OpenMode::kRead));
  Hasher hasher(DigestFunction::kSha256);
  std::string buffer(kReadBytes, '\0');
  for (uint64_t offset = 0;;) {
    TRY_ASSIGN(const size_t count, file->ReadAt(buffer.data(), buffer.size(), offset));
    hasher.Update(std::string_view(buffer).substr(0, count));
    offset += count;
    if (count < buffer.size()) return hasher.Finish();  // less only at the end
  }
}

bool HasSha256(const std::string& path, std::string_view hex) {
  const Result<Digest> digest = DigestOfFile(path);
  return digest && digest->Hex() == hex;
}

}  // namespace lre
