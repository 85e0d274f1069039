#include "toolchain/root/fake_deb.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/file.h"

namespace lre::toolchain {
namespace {

la_ssize_t AppendTo(archive*, void* out, const void* bytes, size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

unsigned FileType(char type) {
  switch (type) {
    case 'd':
      return AE_IFDIR;
    case 'l':
      return AE_IFLNK;
    case 'c':
      return AE_IFCHR;
    case 'p':
      return AE_IFIFO;
    default:
      return AE_IFREG;
  }
}

std::string MakeTar(const std::vector<FakeEntry>& entries, const std::string& compression) {
  std::string bytes;
  archive* tar = archive_write_new();
  archive_write_set_format_gnutar(tar);
  archive_write_set_bytes_in_last_block(tar, 1);
  if (compression == "xz") archive_write_add_filter_xz(tar);
  if (compression == "gz") archive_write_add_filter_gzip(tar);
  if (compression == "zst") archive_write_add_filter_zstd(tar);
  CHECK(archive_write_open(tar, &bytes, nullptr, AppendTo, nullptr) == ARCHIVE_OK);
  for (const FakeEntry& item : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, item.path.c_str());
    archive_entry_set_filetype(entry, FileType(item.type));
    archive_entry_set_perm(entry, item.mode);
    archive_entry_set_mtime(entry, 1234567890, 0);
    if (item.type == 'l') archive_entry_set_symlink(entry, item.content.c_str());
    if (item.type == 'h') archive_entry_set_hardlink(entry, item.content.c_str());
    archive_entry_set_size(entry,
                           item.type == 'f' ? static_cast<la_int64_t>(item.content.size()) : 0);
    CHECK(archive_write_header(tar, entry) == ARCHIVE_OK);
    if (item.type == 'f') archive_write_data(tar, item.content.data(), item.content.size());
    archive_entry_free(entry);
  }
  CHECK(archive_write_close(tar) == ARCHIVE_OK);
  archive_write_free(tar);
  return bytes;
}

}  // namespace

void WriteFakeDeb(const std::string& file, const std::vector<FakeEntry>& entries,
                  const std::string& compression) {
  std::string data = MakeTar(entries, compression), bytes;
  archive* ar = archive_write_new();
  archive_write_set_format_ar_svr4(ar);
  archive_write_set_bytes_in_last_block(ar, 1);
  CHECK(archive_write_open(ar, &bytes, nullptr, AppendTo, nullptr) == ARCHIVE_OK);
  auto member = [&](const std::string& name, const std::string& content) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    CHECK(archive_write_header(ar, entry) == ARCHIVE_OK);
    archive_write_data(ar, content.data(), content.size());
    archive_entry_free(entry);
  };
  member("debian-binary", "2.0\n");
  member("control.tar.xz",
         MakeTar({{.path = "./postinst", .content = "#!/bin/sh\nexit 1\n", .mode = 0755}}, "xz"));
  member(compression.empty() ? "data.tar" : "data.tar." + compression, data);
  CHECK(archive_write_close(ar) == ARCHIVE_OK);
  archive_write_free(ar);
  CHECK(WriteFileAtomically(file, bytes).ok());
}

std::vector<std::string> Paths(const FileTree& tree) {
  std::vector<std::string> paths;
  for (const auto& [path, node] : tree) paths.push_back(path);
  return paths;
}

}  // namespace lre::toolchain
