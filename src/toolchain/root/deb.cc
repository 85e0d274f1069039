#include "toolchain/root/deb.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

namespace lre::toolchain {
namespace {

constexpr size_t kBlock = 1 << 18;

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveCloser>;

// The outer ar archive, positioned in data.tar.*, as a source for the inner reader.
struct Outer {
  ArchivePtr reader;
  std::string buffer = std::string(kBlock, '\0');
};

la_ssize_t ReadOuter(archive* inner, void* context, const void** block) {
  auto* outer = static_cast<Outer*>(context);
  *block = outer->buffer.data();
  la_ssize_t count =
      archive_read_data(outer->reader.get(), outer->buffer.data(), outer->buffer.size());
  if (count < 0) archive_set_error(inner, EIO, "%s", archive_error_string(outer->reader.get()));
  return count;
}

Status ArchiveStatus(archive* a, const std::string& path) {
  const char* text = archive_error_string(a);
  return ErrorStatus(Code::kDataLoss, "{}: {}", path, text != nullptr ? text : "damaged archive");
}

Result<Outer> OpenData(const std::string& path) {
  Outer outer;
  outer.reader.reset(archive_read_new());
  archive_read_support_format_ar(outer.reader.get());
  if (archive_read_open_filename(outer.reader.get(), path.c_str(), kBlock) != ARCHIVE_OK)
    return std::unexpected(ArchiveStatus(outer.reader.get(), path));
  archive_entry* entry = nullptr;
  while (true) {
    int code = archive_read_next_header(outer.reader.get(), &entry);
    if (code == ARCHIVE_EOF)
      return Error(Code::kDataLoss, "{}: not a Debian package, it has no data.tar", path);
    if (code != ARCHIVE_OK) return std::unexpected(ArchiveStatus(outer.reader.get(), path));
    const char* name = archive_entry_pathname(entry);
    if (name != nullptr && std::string_view(name).starts_with("data.tar")) return outer;
  }
}

// One package being read.
class Unpacker {
 public:
  Unpacker(const std::string& path, const UnpackOptions& options, const TarOptions* tar = nullptr)
      : path_(path), options_(options), tar_(tar) {}

  Result<FileTree> RunPackage() {
    TRY_ASSIGN(Outer outer, OpenData(path_));
    ArchivePtr inner = NewReader();
    if (archive_read_open(inner.get(), &outer, nullptr, ReadOuter, nullptr) != ARCHIVE_OK)
      return std::unexpected(ArchiveStatus(inner.get(), path_));
    return Run(inner);
  }

  Result<FileTree> RunTar() {
    ArchivePtr reader = NewReader();
    archive_read_support_format_zip(reader.get());
    if (archive_read_open_filename(reader.get(), path_.c_str(), kBlock) != ARCHIVE_OK)
      return std::unexpected(ArchiveStatus(reader.get(), path_));
    return Run(reader);
  }

 private:
  static ArchivePtr NewReader() {
    ArchivePtr reader(archive_read_new());
    archive_read_support_format_tar(reader.get());
    archive_read_support_filter_xz(reader.get());
    archive_read_support_filter_gzip(reader.get());
    archive_read_support_filter_zstd(reader.get());
    archive_read_support_filter_bzip2(reader.get());
    return reader;
  }

  Result<FileTree> Run(const ArchivePtr& inner) {
    archive_entry* entry = nullptr;
    while (true) {
      int code = archive_read_next_header(inner.get(), &entry);
      if (code == ARCHIVE_EOF) return std::move(tree_);
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
        return std::unexpected(ArchiveStatus(inner.get(), path_));
      if (++entries_ > options_.entries_max)
        return Error(Code::kResourceExhausted, "{}: more than {} entries", path_,
                     options_.entries_max);
      TRY(ReadEntry(inner.get(), entry));
    }
  }

  // What packages bring and nobody needs is left out of them.
  bool Keeps(const std::string& path) const { return tar_ != nullptr || IsKept(path); }

  // Where the entry goes in the tree; the empty path is the root itself.
  Result<std::string> EntryPath(const char* name) const {
    std::string_view text = name != nullptr ? name : "/";
    bool bad = text.starts_with('/') || text.find('\n') != text.npos;
    for (std::string_view rest = text; !rest.empty() && !bad;) {
      size_t end = std::min(rest.find('/'), rest.size());
      bad = rest.substr(0, end) == "..";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (bad) return Error(Code::kDataLoss, "{}: refusing an entry named '{}'", path_, text);
    std::string path = NormalPath(text);
    if (tar_ == nullptr) return path;
    for (int i = 0; i < tar_->strip; ++i)
      path = path.find('/') == path.npos ? "" : path.substr(path.find('/') + 1);
    return path.empty() || tar_->into.empty() ? path : tar_->into + "/" + path;
  }

  Status ReadEntry(archive* inner, archive_entry* entry) {
    TRY_ASSIGN(std::string unfolded, EntryPath(archive_entry_pathname(entry)));
    if (unfolded.empty()) return {};  // the root, or a name that `strip` leaves nothing of
    std::string path = FoldUsr(unfolded);
    if (archive_entry_hardlink(entry) != nullptr)
      return ReadHardLink(path, archive_entry_hardlink(entry));
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return {};
      case AE_IFREG:
        return ReadFileEntry(inner, entry, path);
      case AE_IFLNK:
        return ReadSymlink(unfolded, path, archive_entry_symlink(entry));
      default:
        return ErrorStatus(Code::kDataLoss, "{}: {} is a device, pipe or socket", path_, path);
    }
  }

  Status ReadFileEntry(archive* inner, archive_entry* entry, const std::string& path) {
    FileNode node{.executable = (archive_entry_perm(entry) & 0111) != 0};
    // The size in the header is a claim: memory is taken for bytes that came.
    bool kept = Keeps(path);
    std::string buffer(kBlock, '\0');
    while (true) {
      la_ssize_t count = archive_read_data(inner, buffer.data(), buffer.size());
      if (count < 0) return ArchiveStatus(inner, path_);
      if (count == 0) break;
      bytes_ += static_cast<uint64_t>(count);
      if (bytes_ > options_.bytes_max)
        return ErrorStatus(Code::kResourceExhausted, "{}: unpacks to more than {} bytes", path_,
                           options_.bytes_max);
      if (kept) node.content.append(buffer, 0, static_cast<size_t>(count));
    }
    if (kept) tree_[path] = std::move(node);
    return {};
  }

  Status ReadHardLink(const std::string& path, const char* target) {
    TRY_ASSIGN(std::string unfolded, EntryPath(target));
    auto it = tree_.find(FoldUsr(unfolded));
    if (!Keeps(path)) return {};
    if (it == tree_.end() || it->second.symlink)
      return ErrorStatus(Code::kDataLoss, "{}: {} is a link to {}, which is not there", path_, path,
                         target);
    bytes_ += it->second.content.size();
    if (bytes_ > options_.bytes_max)
      return ErrorStatus(Code::kResourceExhausted, "{}: unpacks to more than {} bytes", path_,
                         options_.bytes_max);
    FileNode copy = it->second;
    tree_[path] = std::move(copy);
    return {};
  }

  // Targets become rooted and folded here, as only the unfolded place says what a relative one
  // means.
  Status ReadSymlink(const std::string& unfolded, const std::string& path, const char* target) {
    if (target == nullptr || *target == '\0')
      return ErrorStatus(Code::kDataLoss, "{}: {} points nowhere", path_, path);
    if (!Keeps(path)) return {};
    std::string_view text = target;
    std::string rooted =
        text.starts_with('/')
            ? NormalPath(text)
            : NormalPath(std::string(ParentPath(unfolded)) + "/" + std::string(text));
    rooted = FoldUsr(rooted);
    if (rooted != path) tree_[path] = {.content = "/" + rooted, .symlink = true};
    return {};
  }

  const std::string& path_;
  const UnpackOptions& options_;
  const TarOptions* const tar_;  // nullptr: a package
  FileTree tree_;
  uint64_t bytes_ = 0, entries_ = 0;
};

}  // namespace

bool IsKept(std::string_view path) {
  if (path.starts_with("usr/share/doc/")) return path.ends_with("/copyright");
  for (std::string_view dropped :
       {"usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/",
        "usr/share/bug/", "usr/share/doc-base/", "usr/share/menu/", "usr/share/pixmaps/",
        "usr/share/applications/", "usr/share/bash-completion/", "usr/share/icons/"})
    if (path.starts_with(dropped)) return false;
  if (path.starts_with("etc/")) return path.starts_with("etc/java") || path.starts_with("etc/ssl/");
  return path.starts_with("usr/") || path.starts_with("opt/");
}

Result<FileTree> UnpackDeb(const std::string& path, const UnpackOptions& options) {
  return Unpacker(path, options).RunPackage();
}

Result<FileTree> UnpackTar(const std::string& path, const TarOptions& options) {
  return Unpacker(path, options.limits, &options).RunTar();
}

}  // namespace lre::toolchain
