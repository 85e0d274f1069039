#include "toolchain/fetch/extra_files.h"

#include <algorithm>

#include "base/file.h"
#include "digest/file_digest.h"
#include "toolchain/fetch/resolve.h"
#include "toolchain/nix/binary_cache.h"
#include "toolchain/oci/image.h"

namespace lre::toolchain {
namespace {

Result<std::string> ProjectFile(const Extra& extra, const std::string& folder,
                                std::string_view otherwise) {
  const std::string path = folder + "/" + extra.from;
  if (!FileExists(path)) return Error(Code::kNotFound, "{} is not here", path);
  TRY_ASSIGN(const Digest digest, DigestOfFile(path));
  std::string hash = digest.Hex();
  if (!extra.sha256.empty() && hash != extra.sha256) {
    return Error(Code::kDataLoss, "{} has SHA-256 {}, and {} is asked for: {}", path, hash,
                 extra.sha256, otherwise);
  }
  return hash;
}

// Locked with the same store path from the same place; nullptr: none.
const Extra* LockedBefore(const Lock* previous, const Extra& extra) {
  if (previous == nullptr) return nullptr;
  for (const auto& [name, path] : previous->paths)
    for (const Extra& locked : path.extras)
      if (locked.kind == ExtraKind::kNix && locked.store_path == extra.store_path &&
          locked.from == extra.from)
        return &locked;
  return nullptr;
}

NixSource SourceOf(const Extra& extra, const std::string& folder) {
  return {.from = IsUrl(extra.from) ? extra.from : folder + "/" + extra.from, .keys = extra.keys};
}

Status PinNix(const PinOptions& options, Extra* extra) {
  if (const Extra* locked = LockedBefore(options.previous, *extra); locked != nullptr) {
    extra->sha256 = locked->sha256;
    extra->closure = locked->closure;
    return {};
  }
  if (options.http == nullptr) return {};
  TRY_ASSIGN(const std::vector<NixPath> closure,
             ReadClosure(*options.http, SourceOf(*extra, options.folder), extra->store_path));
  extra->closure.clear();
  for (const NixPath& path : closure) extra->closure.push_back(PrintNixPath(path));
  std::sort(extra->closure.begin(), extra->closure.end());
  extra->sha256 = ClosureSha256(closure);
  return {};
}

Status PinOne(const PinOptions& options, Extra* extra) {
  if (extra->kind == ExtraKind::kNix) return PinNix(options, extra);
  if (IsUrl(extra->from) || IsImageReference(extra->from)) return {};
  if (extra->kind == ExtraKind::kOci) {
    TRY_ASSIGN(extra->sha256, LocalImageSha256(options.folder + "/" + extra->from, extra->sha256));
    return {};
  }
  TRY_ASSIGN(extra->sha256,
             ProjectFile(*extra, options.folder, "correct the file, or its sha256 in lre.toml"));
  return {};
}

Status FetchNars(HttpClient& http, const Extra& extra, const ExtraFilesOptions& options,
                 std::map<std::string, std::string>* files) {
  for (const std::string& line : extra.closure) {
    TRY_ASSIGN(const NixPath path, ParseNixPath(line));
    const std::string file = ExtraFileIn(options.cache_directory, path.nar_sha256);
    if (!HasSha256(file, path.nar_sha256))
      TRY(FetchNar(http, SourceOf(extra, options.folder), path, file));
    (*files)[path.nar_sha256] = file;
  }
  return {};
}

}  // namespace

std::string ExtraFileIn(const std::string& cache_directory, const std::string& sha256) {
  return cache_directory + "/" + sha256 + ".extra";
}

Status PinExtras(const PinOptions& options, Spec* spec) {
  for (auto& [name, store] : spec->store) {
    for (Extra& extra : store.extras) {
      Status pinned = PinOne(options, &extra);
      if (!pinned.ok()) return pinned.WithContext(fmt::format("store.{}.add.{}", name, extra.name));
    }
  }
  return {};
}

Result<std::map<std::string, std::string>> FetchExtras(HttpClient& http,
                                                       const std::vector<Extra>& extras,
                                                       const ExtraFilesOptions& given) {
  ExtraFilesOptions options = given;
  if (options.cache_directory.empty()) {
    TRY_ASSIGN(options.cache_directory, DefaultCacheDirectory());
    options.cache_directory += "/packages";
  }
  std::map<std::string, std::string> files;
  for (const Extra& extra : extras) {
    if (files.contains(extra.sha256)) continue;
    const bool remote = IsUrl(extra.from) || IsImageReference(extra.from);
    const std::string from = remote ? extra.from : options.folder + "/" + extra.from;
    if (remote || extra.kind == ExtraKind::kNix)
      TRY(SystemFiles().MakeDirectories(options.cache_directory));
    if (extra.kind == ExtraKind::kNix) {
      TRY(FetchNars(http, extra, options, &files));
    } else if (extra.kind == ExtraKind::kOci) {
      TRY(FetchImage(http,
                     {.from = from,
                      .sha256 = extra.sha256,
                      .system = extra.system,
                      .cache = options.cache_directory,
                      .bytes_max = options.bytes_max},
                     &files));
    } else if (!remote) {
      TRY(ToStatus(ProjectFile(extra, options.folder, "`lre lock` takes it anew")));
      files[extra.sha256] = from;
    } else {
      const std::string path = ExtraFileIn(options.cache_directory, extra.sha256);
      if (!HasSha256(path, extra.sha256)) {
        TRY(http.Download({.url = extra.from, .body_bytes_max = options.bytes_max}, path,
                          {.sha256 = extra.sha256}));
      }
      files[extra.sha256] = path;
    }
  }
  return files;
}

}  // namespace lre::toolchain
