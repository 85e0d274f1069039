#include "toolchain/fetch/extra_files.h"

#include "base/file.h"
#include "digest/hasher.h"
#include "toolchain/fetch/resolve.h"

namespace lre::toolchain {
namespace {

constexpr size_t kReadBytes = 1 << 20;

Result<std::string> ProjectFile(const Extra& extra, const std::string& folder) {
  const std::string path = folder + "/" + extra.from;
  if (!FileExists(path)) return Error(Code::kNotFound, "{} is not here", path);
  TRY_ASSIGN(const std::string hash, Sha256OfFile(path));
  if (!extra.sha256.empty() && hash != extra.sha256) {
    return Error(Code::kDataLoss,
                 "{} has SHA-256 {}, and {} is asked for: `lre lock` takes it anew", path, hash,
                 extra.sha256);
  }
  return hash;
}

}  // namespace

Result<std::string> Sha256OfFile(const std::string& path) {
  TRY_ASSIGN(const auto file, SystemFiles().Open(path, OpenMode::kRead));
  Hasher hasher(DigestFunction::kSha256);
  std::string buffer(kReadBytes, '\0');
  for (uint64_t offset = 0;;) {
    TRY_ASSIGN(const size_t got, file->ReadAt(buffer.data(), buffer.size(), offset));
    if (got == 0) return hasher.Finish().Hex();
    hasher.Update({buffer.data(), got});
    offset += got;
  }
}

Status PinExtras(const std::string& folder, Spec* spec) {
  for (auto& [name, store] : spec->store) {
    for (Extra& extra : store.extras) {
      if (IsUrl(extra.from)) continue;
      Result<std::string> hash = ProjectFile(extra, folder);
      if (!hash) return hash.error().WithContext(fmt::format("store.{}.add.{}", name, extra.name));
      extra.sha256 = std::move(*hash);
    }
  }
  return {};
}

Result<std::map<std::string, std::string>> FetchExtras(HttpClient& http,
                                                       const std::vector<Extra>& extras,
                                                       const ExtraFilesOptions& options) {
  std::map<std::string, std::string> files;
  for (const Extra& extra : extras) {
    if (files.contains(extra.sha256)) continue;
    if (!IsUrl(extra.from)) {
      TRY(ProjectFile(extra, options.folder));
      files[extra.sha256] = options.folder + "/" + extra.from;
      continue;
    }
    std::string directory = options.cache_directory;
    if (directory.empty()) {
      TRY_ASSIGN(directory, DefaultCacheDirectory());
      directory += "/packages";
    }
    TRY(SystemFiles().MakeDirectories(directory));
    const std::string path = directory + "/" + extra.sha256 + ".extra";
    // A file that is there was verified when it came, and is again: disks forget.
    const bool cached = FileExists(path) && Sha256OfFile(path).value_or("") == extra.sha256;
    if (!cached) {
      TRY(http.Download({.url = extra.from, .body_bytes_max = options.bytes_max}, path,
                        {.sha256 = extra.sha256}));
    }
    files[extra.sha256] = path;
  }
  return files;
}

}  // namespace lre::toolchain
