// Entries are collected by path before anything is built, so that a later entry can replace an
// earlier one and a hard link can find its file wherever it stands.
#include "service/asset_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <map>
#include <memory>
#include <optional>

#include "reapi/tree.h"
#include "reapi/wire/field_reader.h"

namespace lre::service {
namespace {

constexpr size_t kBlockBytes = 256 << 10;
// Files up to this size are hashed in memory; larger ones wait in a spool file.
constexpr uint64_t kInMemoryBytesMax = 4 << 20;
// Small files go to the store in batches of about this size.
constexpr uint64_t kBatchBytes = 8 << 20;
constexpr size_t kPathBytesMax = 4096;                // of one; bounds how deep a tree can be
constexpr size_t kPathsBytesMax = size_t{256} << 20;  // of all together, in memory

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveCloser>;

// libarchive reads through this, so that one spool file can be read by several at once.
struct Source {
  const SpoolFile& file;
  uint64_t at = 0;
  std::string buffer = std::string(kBlockBytes, '\0');
};

la_ssize_t ReadSource(archive* a, void* context, const void** block) {
  auto& source = *static_cast<Source*>(context);
  auto read = source.file.ReadAt(source.buffer.data(), source.buffer.size(), source.at);
  if (!read) {
    archive_set_error(a, EIO, "%s", read.error().message().c_str());
    return -1;
  }
  source.at += *read;
  *block = source.buffer.data();
  return static_cast<la_ssize_t>(*read);
}

la_int64_t SeekSource(archive*, void* context, la_int64_t offset, int whence) {
  auto& source = *static_cast<Source*>(context);
  const auto size = static_cast<la_int64_t>(source.file.size_bytes());
  const la_int64_t base = whence == SEEK_SET   ? 0
                          : whence == SEEK_CUR ? static_cast<la_int64_t>(source.at)
                                               : size;
  if (base + offset < 0 || base + offset > size) return ARCHIVE_FATAL;
  source.at = static_cast<uint64_t>(base + offset);
  return base + offset;
}

Status Refused(std::string_view path, std::string_view why) {
  return ErrorStatus(Code::kAborted, "archive: \"{:.300}\": {}", path, why);
}

// Names travel in string fields of messages, which have to be UTF-8.
using reapi::wire::IsUtf8;

// Without "." and empty segments; an error when it is absolute or has "..".
Result<std::string> PlainPath(std::string_view path) {
  if (path.size() > kPathBytesMax) return std::unexpected(Refused(path, "a path too long"));
  if (!IsUtf8(path)) return std::unexpected(Refused("", "a path that is not UTF-8"));
  if (path.starts_with('/')) return std::unexpected(Refused(path, "an absolute path"));
  std::string plain;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    at = end + 1;
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") return std::unexpected(Refused(path, "a path with \"..\""));
    if (!plain.empty()) plain += '/';
    plain += segment;
  }
  return plain;
}

// Whether a symlink at `path` stays inside the tree.
bool StaysInside(std::string_view path, std::string_view target) {
  if (target.empty() || target.starts_with('/') || !IsUtf8(target)) return false;
  auto depth = std::count(path.begin(), path.end(), '/');
  for (size_t at = 0; at <= target.size();) {
    const size_t end = std::min(target.find('/', at), target.size());
    const std::string_view segment = target.substr(at, end - at);
    at = end + 1;
    if (segment.empty() || segment == ".") continue;
    depth += segment == ".." ? -1 : 1;
    if (depth < 0) return false;
  }
  return true;
}

struct FileEntry {
  Digest digest;
  bool is_executable = false;
};
struct Entry {
  std::optional<FileEntry> file;
  std::string symlink;  // neither: a directory
};

class Unpacker {
 public:
  Unpacker(const SpoolFile& archive, store::BlobStore& store, const UnpackOptions& options)
      : source_{archive}, store_(store), options_(options) {}

  Result<Digest> Run() {
    TRY(Open());
    for (;;) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader_.get(), &entry);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return std::unexpected(Damaged());
      if (++count_ > options_.entries_max) {
        return Error(Code::kResourceExhausted, "archive: more than {} entries",
                     options_.entries_max);
      }
      TRY(Add(entry));
    }
    TRY(Flush());
    return Build();
  }

 private:
  Status Open();
  Status Add(archive_entry* entry);
  Result<Digest> AddFile(std::string_view path, archive_entry* entry);
  Status Flush();
  Result<Digest> Build();

  Status Damaged() const {
    const char* text = archive_error_string(reader_.get());
    return ErrorStatus(Code::kAborted, "archive: {}", text != nullptr ? text : "damaged");
  }

  Source source_;
  store::BlobStore& store_;
  const UnpackOptions& options_;
  ArchivePtr reader_{archive_read_new()};
  std::map<std::string, Entry> entries_;
  size_t count_ = 0, path_bytes_ = 0;
  uint64_t unpacked_bytes_ = 0;
  std::vector<std::pair<Digest, Bytes>> batch_;
  uint64_t batch_bytes_ = 0;
};

Status Unpacker::Open() {
  archive* reader = reader_.get();
  archive_read_support_format_tar(reader);
  archive_read_support_format_gnutar(reader);
  archive_read_support_format_zip(reader);
  // Named one by one: libarchive would start programs for some of the others.
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_bzip2(reader);
  archive_read_support_filter_xz(reader);
  archive_read_support_filter_lzma(reader);
  archive_read_support_filter_zstd(reader);
  archive_read_set_read_callback(reader, ReadSource);
  archive_read_set_seek_callback(reader, SeekSource);
  archive_read_set_callback_data(reader, &source_);
  return archive_read_open1(reader) == ARCHIVE_OK ? Status() : Damaged();
}

// The name as it is in the archive, or in UTF-8 where it says that and the locale cannot.
const char* Either(const char* raw, const char* utf8) { return raw != nullptr ? raw : utf8; }

Status Unpacker::Add(archive_entry* entry) {
  const char* name = Either(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
  if (name == nullptr) return Refused("", "an entry without a name");
  TRY_ASSIGN(std::string path, PlainPath(name));
  if (path.empty()) return Status();  // "./"
  path_bytes_ += path.size();
  if (path_bytes_ > kPathsBytesMax) {
    return ErrorStatus(Code::kResourceExhausted, "archive: more than {} bytes of paths",
                       kPathsBytesMax);
  }
  if (const char* target =
          Either(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
      target != nullptr) {
    TRY_ASSIGN(std::string linked, PlainPath(target));
    auto found = entries_.find(linked);
    if (found == entries_.end() || !found->second.file) {
      return Refused(path, "a hard link to a file that did not come before it");
    }
    entries_[path] = Entry{.file = found->second.file};
    return Status();
  }
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: {
      TRY_ASSIGN(const Digest digest, AddFile(path, entry));
      entries_[path] = {.file = FileEntry{digest, (archive_entry_perm(entry) & 0111) != 0}};
      return Status();
    }
    case AE_IFDIR:
      entries_.try_emplace(path);
      return Status();
    case AE_IFLNK: {
      const char* target = Either(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
      if (target == nullptr || std::string_view(target).size() > kPathBytesMax ||
          !StaysInside(path, target)) {
        return Refused(path, "a symlink that leads out of the archive");
      }
      entries_[path] = {.symlink = target};
      return Status();
    }
    default:
      return Refused(path, "neither file, directory nor symlink");
  }
}

Result<Digest> Unpacker::AddFile(std::string_view path, archive_entry* entry) {
  std::string bytes;
  uint64_t file_bytes = 0;
  std::unique_ptr<SpoolFile> spool;
  std::string block(kBlockBytes, '\0');
  for (;;) {
    const la_ssize_t read = archive_read_data(reader_.get(), block.data(), block.size());
    if (read < 0) return std::unexpected(Damaged());
    if (read == 0) break;
    const std::string_view piece(block.data(), static_cast<size_t>(read));
    unpacked_bytes_ += piece.size();
    if (unpacked_bytes_ > options_.unpacked_bytes_max) {
      return Error(Code::kResourceExhausted, "archive: more than {} bytes unpacked",
                   options_.unpacked_bytes_max);
    }
    file_bytes += piece.size();
    if (file_bytes > options_.file_bytes_max) {
      return Error(Code::kResourceExhausted, "archive: {:.300} has more than {} bytes", path,
                   options_.file_bytes_max);
    }
    if (!spool && bytes.size() + piece.size() > kInMemoryBytesMax) {
      TRY_ASSIGN(spool, SpoolFile::Create(options_.spool_directory, options_.function));
      TRY(spool->Append(bytes));
    }
    if (spool) {
      TRY(spool->Append(piece));
    } else {
      bytes += piece;
    }
  }
  if (archive_entry_size_is_set(entry) != 0 &&
      archive_entry_size(entry) !=
          static_cast<int64_t>(spool ? spool->size_bytes() : bytes.size())) {
    return std::unexpected(Refused(path, "shorter than its header says"));
  }
  if (spool) {
    const Digest digest = spool->Finish();
    TRY(spool->CopyTo(store_, {digest, options_.partition}));
    return digest;
  }
  const Digest digest = ComputeDigest(options_.function, bytes);
  batch_bytes_ += bytes.size();
  batch_.emplace_back(digest, Bytes(std::move(bytes)));
  if (batch_bytes_ > kBatchBytes || batch_.size() >= 1000) TRY(Flush());
  return digest;
}

Status Unpacker::Flush() {
  for (Status& status : store_.PutMany(options_.partition, batch_)) TRY(std::move(status));
  batch_.clear();
  batch_bytes_ = 0;
  return Status();
}

Result<Digest> Unpacker::Build() {
  reapi::TreeBuilder builder(options_.function);
  const std::string prefix = options_.directory.empty() ? "" : options_.directory + "/";
  bool found = prefix.empty();
  for (const auto& [path, entry] : entries_) {
    const bool is_directory = !entry.file && entry.symlink.empty();
    found = found || path.starts_with(prefix) || (is_directory && path == options_.directory);
    if (!path.starts_with(prefix)) continue;
    const std::string below = path.substr(prefix.size());
    // What an entry of the whole archive may point to is more than what is below a directory.
    if (!entry.symlink.empty() && !StaysInside(below, entry.symlink)) {
      return std::unexpected(Refused(path, "a symlink that leads out of the directory"));
    }
    Status added = entry.file
                       ? builder.AddFile(below, entry.file->digest, entry.file->is_executable)
                   : entry.symlink.empty() ? builder.AddDirectory(below)
                                           : builder.AddSymlink(below, entry.symlink);
    if (!added.ok()) return std::unexpected(Refused(path, added.message()));
  }
  if (!found) {
    return Error(Code::kNotFound, "archive: no directory \"{:.300}\"", options_.directory);
  }
  reapi::TreeBuilder::Built built = builder.Build();
  for (reapi::NewBlob& directory : built.directories) {
    batch_.emplace_back(directory.digest, Bytes(std::move(directory.bytes)));
  }
  TRY(Flush());
  return built.root;
}

}  // namespace

Result<Digest> UnpackArchive(const SpoolFile& archive, store::BlobStore& store,
                             const UnpackOptions& options) {
  return Unpacker(archive, store, options).Run();
}

}  // namespace lre::service
