#include "service/spool_file.h"

#include <cstdlib>

#include "base/random.h"

namespace lre::service {

constexpr size_t kPieceBytes = 1 << 20;

Result<std::unique_ptr<SpoolFile>> SpoolFile::Create(const std::string& directory,
                                                     DigestFunction function) {
  std::string folder = directory;
  if (const char* variable = std::getenv("TMPDIR"); folder.empty() && variable != nullptr) {
    folder = variable;
  }
  if (folder.empty()) folder = "/tmp";
  const std::string path = folder + "/.lre-spool-" + RandomHex(12);
  TRY_ASSIGN(auto file, SystemFiles().Open(path, OpenMode::kCreateExclusive));
  TRY(SystemFiles().Remove(path));
  return std::unique_ptr<SpoolFile>(new SpoolFile(std::move(file), function));
}

Status SpoolFile::Append(std::string_view bytes) {
  TRY(file_->WriteAt(bytes, size_bytes_));
  hasher_.Update(bytes);
  size_bytes_ += bytes.size();
  return Status();
}

Status SpoolFile::Restart() {
  hasher_ = Hasher(function_);
  size_bytes_ = 0;
  return file_->Truncate(0);
}

Status SpoolFile::CopyTo(store::BlobStore& store, const store::BlobKey& key) const {
  TRY_ASSIGN(auto writer, store.Write(key));
  for (uint64_t at = 0; at < size_bytes_;) {
    std::string piece(std::min<uint64_t>(kPieceBytes, size_bytes_ - at), '\0');
    TRY_ASSIGN(const size_t read, file_->ReadAt(piece.data(), piece.size(), at));
    if (read != piece.size()) return Status(Code::kInternal, "a spool file became shorter");
    at += read;
    TRY(writer->Append(Bytes(std::move(piece))));
  }
  return writer->Commit();
}

}  // namespace lre::service
