#include "cli/package_mirror.h"

#include "base/file.h"
#include "cli/cas_blobs.h"
#include "reapi/store_index.h"
#include "toolchain/fetch/extra_files.h"
#include "toolchain/nix/binary_cache.h"
#include "toolchain/oci/image.h"

namespace lre::cli {
namespace {

using toolchain::Extra;
using toolchain::ExtraKind;

bool IsOfTheProject(const Extra& extra) {
  return extra.kind != ExtraKind::kNix && extra.kind != ExtraKind::kOci &&
         !toolchain::IsUrl(extra.from);
}

// From the server into one folder.
class Fetching {
 public:
  Fetching(RemoteServer& server, std::string directory)
      : server_(server), directory_(std::move(directory)) {}

  Status Package(const toolchain::LockedPackage& package) {
    TRY_ASSIGN(const Digest digest, MakeDigest(DigestFunction::kSha256, package.sha256,
                                               static_cast<int64_t>(package.size_bytes)));
    return File(digest, directory_ + "/" + package.sha256 + ".deb");
  }

  Status AddExtra(const Extra& extra) {
    if (IsOfTheProject(extra)) return {};
    if (extra.kind == ExtraKind::kNix) {
      for (const std::string& line : extra.closure) {
        TRY_ASSIGN(const toolchain::NixPath path, toolchain::ParseNixPath(line));
        TRY_ASSIGN(const Digest digest, MakeDigest(DigestFunction::kSha256, path.nar_sha256,
                                                   static_cast<int64_t>(path.nar_size)));
        TRY(File(digest, toolchain::ExtraFileIn(directory_, path.nar_sha256)));
      }
      return {};
    }
    return extra.kind == ExtraKind::kOci ? Image(extra) : BySha256(extra.sha256);
  }

  size_t fetched() const { return fetched_; }

 private:
  // Below an index is a manifest, below that are layers.
  Status Image(const Extra& extra) {
    bool here = true;
    const auto manifest = toolchain::FindImageManifest(
        extra.sha256, extra.system, [&](const std::string& sha256) -> Result<std::string> {
          TRY(BySha256(sha256));
          auto json = ReadFile(toolchain::ExtraFileIn(directory_, sha256),
                               toolchain::kImageManifestBytesMax);
          here = json.has_value();
          return json;
        });
    if (!here) return {};  // the registry is asked
    TRY(ToStatus(manifest));
    for (const toolchain::ImageLayer& layer : manifest->layers) TRY(BySha256(layer.sha256));
    return {};
  }

  Status BySha256(const std::string& sha256) {
    const Result<Bytes> entry = server_.GetResult(reapi::FileKey(sha256).action);
    if (!entry) return entry.error().code() == Code::kNotFound ? Status() : entry.error();
    TRY_ASSIGN(const Digest digest, reapi::ParseFileEntry(entry->view()));
    if (digest.Hex() != sha256)
      return ErrorStatus(Code::kDataLoss, "the server's index has {} under {}", digest, sha256);
    return File(digest, toolchain::ExtraFileIn(directory_, sha256));
  }

  Status File(const Digest& digest, const std::string& to) {
    if (FileExists(to)) return {};  // whoever uses it checks it
    const Status status = GetFile(server_.cas(), digest, to);
    if (status.ok()) ++fetched_;
    return status.code() == Code::kNotFound ? Status() : status;
  }

  RemoteServer& server_;
  const std::string directory_;
  size_t fetched_ = 0;
};

}  // namespace

Result<toolchain::NeededFiles> AllFiles(const toolchain::Lock& lock, const std::string& toolchain) {
  TRY_ASSIGN(const toolchain::Lock part, toolchain::LockOf(lock, toolchain));
  toolchain::NeededFiles all;
  for (const auto& [name, package] : part.packages) all.packages.push_back(name);
  for (const auto& [name, path] : part.paths) {
    for (Extra extra : path.extras) {
      if (IsOfTheProject(extra)) continue;
      extra.system = path.system.empty() ? lock.system : path.system;
      all.extras.push_back(std::move(extra));
    }
  }
  return all;
}

Result<UploadReport> UploadFiles(const UploadParts& parts,
                                 const std::map<std::string, std::string>& files) {
  UploadReport report;
  std::vector<Digest> digests;
  std::vector<std::string> paths;
  for (const auto& [sha256, path] : files) {
    TRY_ASSIGN(const auto file, SystemFiles().Open(path, OpenMode::kRead));
    TRY_ASSIGN(const uint64_t size, file->Size());
    TRY_ASSIGN(const Digest digest,
               MakeDigest(DigestFunction::kSha256, sha256, static_cast<int64_t>(size)));
    digests.push_back(digest);
    paths.push_back(path);
    report.bytes += size;
  }
  report.blobs = digests.size();
  TRY_ASSIGN(const std::vector<uint32_t> missing, parts.cas.FindMissing(0, digests));
  for (uint32_t i : missing) {
    if (Status sent = PutFile(parts.cas, digests[i], paths[i]); !sent.ok())
      return std::unexpected(sent.WithContext(paths[i]));
    ++report.sent_blobs;
    report.sent_bytes += static_cast<uint64_t>(digests[i].size_bytes);
  }
  for (const Digest& digest : digests)
    TRY(UploadEntry(reapi::FileKey(digest.Hex()), reapi::EncodeFileEntry(digest), parts, report));
  return report;
}

Result<size_t> FetchFromServer(RemoteServer& server, const toolchain::Lock& lock,
                               const toolchain::NeededFiles& needed,
                               const std::string& cache_directory) {
  TRY(SystemFiles().MakeDirectories(cache_directory));
  Fetching fetching(server, cache_directory);
  for (const std::string& name : needed.packages) {
    const auto found = lock.packages.find(name);
    if (found != lock.packages.end()) TRY(fetching.Package(found->second));
  }
  for (const Extra& extra : needed.extras) TRY(fetching.AddExtra(extra));
  return fetching.fetched();
}

}  // namespace lre::cli
