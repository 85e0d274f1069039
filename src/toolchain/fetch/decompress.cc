#include "toolchain/fetch/decompress.h"

#include <archive.h>

#include <memory>

namespace lre::toolchain {
namespace {

struct ArchiveDeleter {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

Status BrokenError(archive* reader) {
  const char* reason = archive_error_string(reader);
  return ErrorStatus(Code::kDataLoss, "decompress: {}", reason != nullptr ? reason : "broken");
}

}  // namespace

Result<std::string> Decompress(std::string_view bytes, uint64_t size_bytes_max) {
  if (bytes.empty()) return std::string();
  const std::unique_ptr<archive, ArchiveDeleter> reader(archive_read_new());
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return std::unexpected(BrokenError(reader.get()));
  }
  archive_entry* entry = nullptr;
  const int header = archive_read_next_header(reader.get(), &entry);
  if (header == ARCHIVE_EOF) return std::string();
  if (header != ARCHIVE_OK) return std::unexpected(BrokenError(reader.get()));
  std::string text;
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    int64_t offset = 0;
    const int read = archive_read_data_block(reader.get(), &block, &size, &offset);
    if (read == ARCHIVE_EOF) return text;
    if (read != ARCHIVE_OK) return std::unexpected(BrokenError(reader.get()));
    if (text.size() + size > size_bytes_max) {
      return Error(Code::kOutOfRange, "decompress: more than {} bytes", size_bytes_max);
    }
    text.append(static_cast<const char*>(block), size);
  }
}

}  // namespace lre::toolchain
