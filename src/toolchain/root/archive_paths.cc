#include "toolchain/root/archive_paths.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "base/file.h"

namespace lre::toolchain {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr uint64_t kRecordBytesMax = 64 << 20;

using Writer = std::unique_ptr<archive, int (*)(archive*)>;
using Entry = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

std::string NameOf(const StorePath& path) { return path.path.substr(path.path.rfind('/') + 1); }

Status ArchiveStatus(archive* archive, const std::string& file, Code code = Code::kDataLoss) {
  const char* text = archive_error_string(archive);
  return ErrorStatus(code, "{}: {}", file, text == nullptr ? "unknown error" : text);
}

class Exporter {
 public:
  Exporter(const ToolchainStore& store, std::string file)
      : store_(store), file_(std::move(file)), out_(archive_write_new(), archive_write_free) {}

  Status Open(int level) {
    archive_write_set_format_pax_restricted(out_.get());
    archive_write_add_filter_zstd(out_.get());
    const std::string option = "zstd:compression-level=" + std::to_string(level);
    if (archive_write_set_options(out_.get(), option.c_str()) != ARCHIVE_OK ||
        archive_write_open_filename(out_.get(), file_.c_str()) != ARCHIVE_OK)
      return ArchiveStatus(out_.get(), file_, Code::kUnavailable);
    return {};
  }

  Status Add(const StorePath& path) {
    TRY_ASSIGN(TreeListing listing, store_.Listing(path.path));
    const std::string name = NameOf(path);
    TRY(AddBytes(name + ".json",
                 PrintManifest({.name = name, .prefix = store_.prefix(), .paths = {path}})));
    TRY(AddBytes(name + ".files", PrintListing(listing)));
    for (const CasSymlink& link : listing.symlinks) {
      Entry entry = NewEntry(name + "/" + link.path, AE_IFLNK, 0777, 0);
      archive_entry_set_symlink(entry.get(), link.target.c_str());
      TRY(WriteHeader(entry.get()));
    }
    for (const CasFile& file : listing.files) TRY(AddFile(path.path, name, file));
    return {};
  }

  Status Close() {
    if (archive_write_close(out_.get()) != ARCHIVE_OK)
      return ArchiveStatus(out_.get(), file_, Code::kUnavailable);
    return {};
  }

 private:
  static Entry NewEntry(const std::string& path, unsigned type, unsigned mode, uint64_t size) {
    Entry entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), path.c_str());
    archive_entry_set_filetype(entry.get(), type);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_size(entry.get(), static_cast<int64_t>(size));
    archive_entry_set_mtime(entry.get(), 1, 0);
    return entry;
  }
  Status WriteHeader(archive_entry* entry) {
    if (archive_write_header(out_.get(), entry) == ARCHIVE_OK) return {};
    return ArchiveStatus(out_.get(), file_, Code::kUnavailable);
  }
  Status WriteData(std::string_view bytes) {
    if (archive_write_data(out_.get(), bytes.data(), bytes.size()) ==
        static_cast<la_ssize_t>(bytes.size()))
      return {};
    return ArchiveStatus(out_.get(), file_, Code::kUnavailable);
  }
  Status AddBytes(const std::string& path, const std::string& bytes) {
    Entry entry = NewEntry(path, AE_IFREG, 0444, bytes.size());
    TRY(WriteHeader(entry.get()));
    return WriteData(bytes);
  }

  Status AddFile(const std::string& root, const std::string& name, const CasFile& file) {
    const std::string path = root + "/" + file.path;
    auto size = static_cast<uint64_t>(file.digest.size_bytes);
    Entry entry = NewEntry(name + "/" + file.path, AE_IFREG, file.executable ? 0555 : 0444, size);
    TRY(WriteHeader(entry.get()));
    TRY_ASSIGN(std::unique_ptr<File> in, SystemFiles().Open(path, OpenMode::kRead));
    std::string piece(kPieceBytes, '\0');
    for (uint64_t offset = 0; offset < size;) {
      TRY_ASSIGN(size_t count, in->ReadAt(piece.data(), piece.size(), offset));
      if (count == 0 || offset + count > size)
        return ErrorStatus(Code::kDataLoss, "{} does not have the {} bytes of its record", path,
                           size);
      TRY(WriteData(std::string_view(piece).substr(0, count)));
      offset += count;
    }
    return {};
  }

  const ToolchainStore& store_;
  const std::string file_;
  Writer out_;
};

class Importer {
 public:
  Importer(ToolchainStore& store, std::string file, const ArchiveOptions& options)
      : store_(store),
        file_(std::move(file)),
        options_(options),
        in_(archive_read_new(), archive_read_free) {}

  Result<ImportReport> Run() {
    archive_read_support_format_tar(in_.get());
    archive_read_support_filter_zstd(in_.get());
    if (archive_read_open_filename(in_.get(), file_.c_str(), kPieceBytes) != ARCHIVE_OK)
      return std::unexpected(ArchiveStatus(in_.get(), file_));
    TRY_ASSIGN(bool more, Next());
    while (more) {
      TRY_ASSIGN(more, ReadPath());
    }
    return std::move(report_);
  }

 private:
  // False at the end.
  Result<bool> Next() {
    int result = archive_read_next_header(in_.get(), &entry_);
    if (result == ARCHIVE_EOF) return false;
    if (result != ARCHIVE_OK) return std::unexpected(ArchiveStatus(in_.get(), file_));
    const char* name = archive_entry_pathname(entry_);
    name_ = name == nullptr ? "" : name;
    return true;
  }
  Status Unexpected() const {
    return ErrorStatus(Code::kDataLoss, "{}: '{}' is not what comes next in an export", file_,
                       name_);
  }

  Result<std::string> ReadBytes() {
    if (archive_entry_size(entry_) > static_cast<int64_t>(kRecordBytesMax))
      return std::unexpected(Unexpected());
    std::string bytes(static_cast<size_t>(archive_entry_size(entry_)), '\0');
    if (archive_read_data(in_.get(), bytes.data(), bytes.size()) !=
        static_cast<la_ssize_t>(bytes.size()))
      return std::unexpected(ArchiveStatus(in_.get(), file_));
    return bytes;
  }

  // One path; its record's header has been read. Whether another follows.
  Result<bool> ReadPath() {
    if (!name_.ends_with(".json")) return std::unexpected(Unexpected());
    const std::string name = name_.substr(0, name_.size() - 5);
    TRY_ASSIGN(std::string text, ReadBytes());
    TRY_ASSIGN(Manifest record, ParseManifest(text));
    if (record.paths.size() != 1 || NameOf(record.paths[0]) != name)
      return std::unexpected(Unexpected());
    const StorePath& path = record.paths[0];
    if (!store_.IsPath(path.path))
      return Error(Code::kInvalidArgument, "{}: {} is not for the store {}", file_, path.path,
                   store_.prefix());
    if (path.size_bytes > options_.path_bytes_max)
      return Error(Code::kResourceExhausted, "{}: {} has {} bytes, more than {}", file_, path.path,
                   path.size_bytes, options_.path_bytes_max);
    TRY_ASSIGN(bool more, Next());
    if (!more || name_ != name + ".files") return std::unexpected(Unexpected());
    TRY_ASSIGN(text, ReadBytes());
    TRY_ASSIGN(TreeListing listing, ParseListing(text));
    if (listing.TotalBytes() != path.size_bytes)
      return Error(Code::kDataLoss, "{}: the files of {} have {} bytes, its record says {}", file_,
                   path.path, listing.TotalBytes(), path.size_bytes);
    if (options_.progress) options_.progress(path.path);
    if (store_.Contains(path.path)) {
      report_.present.push_back(path.path);
      return SkipTree(name);
    }
    TRY_ASSIGN(std::string staging, store_.NewStaging(path.path));
    Result<bool> result = ReadTree(name, staging, listing);
    Status status = ToStatus(result);
    if (status.ok()) status = store_.Add(staging, path, listing, /*rehash=*/true);
    (void)RemoveTree(staging).ok();
    if (!status.ok()) return std::unexpected(status.WithContext(path.path));
    report_.added.push_back(path.path);
    return result;
  }

  Result<bool> SkipTree(const std::string& name) {
    for (;;) {
      TRY_ASSIGN(bool more, Next());
      if (!more || !name_.starts_with(name + "/")) return more;
    }
  }

  // Writes only what the listing has, where the listing has it: names in the archive are looked up,
  // never used as they are.
  Result<bool> ReadTree(const std::string& name, const std::string& staging,
                        const TreeListing& listing) {
    TRY(ToStatus(EncodeDirectories(listing)));  // refuses names like ".."
    std::map<std::string_view, const CasFile*> files;
    for (const CasFile& file : listing.files) files[file.path] = &file;
    for (const CasSymlink& link : listing.symlinks) {
      const std::string place = staging + "/" + link.path;
      TRY(MakeParent(place));
      if (symlink(link.target.c_str(), place.c_str()) != 0) return ErrnoError(errno, place);
    }
    for (const std::string& folder : listing.folders)
      TRY(SystemFiles().MakeDirectories(staging + "/" + folder));
    for (;;) {
      TRY_ASSIGN(bool more, Next());
      if (!more || !name_.starts_with(name + "/")) return more;
      if (archive_entry_filetype(entry_) == AE_IFLNK) continue;
      auto file = files.find(std::string_view(name_).substr(name.size() + 1));
      if (file == files.end()) return std::unexpected(Unexpected());
      TRY(WriteFile(staging + "/" + file->second->path, *file->second));
      files.erase(file);
    }
  }

  Status MakeParent(const std::string& place) {
    std::string parent = std::filesystem::path(place).parent_path().string();
    return folders_.insert(parent).second ? SystemFiles().MakeDirectories(parent) : Status();
  }

  Status WriteFile(const std::string& place, const CasFile& file) {
    TRY(MakeParent(place));
    TRY_ASSIGN(std::unique_ptr<File> out, SystemFiles().Open(place, OpenMode::kCreateExclusive));
    if (fchmod(out->fd(), file.executable ? 0755 : 0644) != 0) return ErrnoStatus(errno, place);
    std::string piece(kPieceBytes, '\0');
    for (uint64_t offset = 0;;) {
      la_ssize_t count = archive_read_data(in_.get(), piece.data(), piece.size());
      if (count < 0) return ArchiveStatus(in_.get(), file_);
      if (count == 0) return {};
      if (offset + static_cast<uint64_t>(count) > static_cast<uint64_t>(file.digest.size_bytes))
        return Unexpected();
      TRY(out->WriteAt(std::string_view(piece).substr(0, static_cast<size_t>(count)), offset));
      offset += static_cast<uint64_t>(count);
    }
  }

  ToolchainStore& store_;
  const std::string file_;
  const ArchiveOptions& options_;
  Writer in_;
  archive_entry* entry_ = nullptr;
  std::string name_;
  std::set<std::string> folders_;  // that were made
  ImportReport report_;
};

}  // namespace

Status ExportPaths(const ToolchainStore& store, const std::vector<StorePath>& paths,
                   const std::string& file, const ArchiveOptions& options) {
  const std::string partial = file + ".partial";
  Status status = [&]() -> Status {
    Exporter exporter(store, partial);
    TRY(exporter.Open(options.compression_level));
    for (const StorePath& path : paths) {
      if (options.progress) options.progress(path.path);
      TRY_ASSIGN(std::vector<StoreDamage> damage, store.Verify(path.path));
      if (!damage.empty())
        return ErrorStatus(Code::kDataLoss, "{}: {}", damage[0].path, damage[0].reason);
      TRY(exporter.Add(path));
    }
    return exporter.Close();
  }();
  if (status.ok()) status = SystemFiles().Rename(partial, file);
  if (!status.ok()) (void)SystemFiles().Remove(partial).ok();
  return status;
}

Result<ImportReport> ImportPaths(ToolchainStore& store, const std::string& file,
                                 const ArchiveOptions& options) {
  TRY_ASSIGN(UniqueFd no_collection, store.HoldOffGarbageCollection());
  return Importer(store, file, options).Run();
}

}  // namespace lre::toolchain
