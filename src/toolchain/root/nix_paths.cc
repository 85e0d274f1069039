#include "toolchain/root/nix_paths.h"

#include <algorithm>

#include "base/file.h"
#include "toolchain/nix/binary_cache.h"
#include "toolchain/nix/nar.h"
#include "toolchain/nix/store_name.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kPackage = "nar=";

std::string PathOf(std::string_view name) {
  return std::string(kNixStorePrefix) + "/" + std::string(name);
}

Status AddLink(const std::string& at, std::string target, FileTree* tree) {
  const auto [place, fresh] =
      tree->try_emplace(at, FileNode{.content = std::move(target), .symlink = true});
  if (fresh && !HasFolder(*tree, at)) return {};
  return ErrorStatus(Code::kAlreadyExists, "{} is to be a link into {}, and is there already", at,
                     kNixStorePrefix);
}

}  // namespace

Result<std::vector<StorePath>> PlannedNixPaths(const Lock& lock,
                                               const std::vector<std::string>& names) {
  std::map<std::string, NixPath> all;
  for (const std::string& name : names) {
    for (const Extra& extra : lock.paths.at(name).extras) {
      for (const std::string& line : extra.closure) {
        TRY_ASSIGN(NixPath path, ParseNixPath(line));
        const auto [known, fresh] = all.emplace(path.name, path);
        if (!fresh && known->second != path)
          return Error(Code::kInvalidArgument,
                       "{}/{} is locked twice, with NAR hash {} and with {}", kNixStorePrefix,
                       path.name, known->second.nar_sha256, path.nar_sha256);
      }
    }
  }
  std::vector<NixPath> closure;
  for (auto& [name, path] : all) closure.push_back(std::move(path));
  TRY_ASSIGN(closure, OrderClosure(std::move(closure)));
  std::vector<StorePath> planned;
  for (const NixPath& path : closure) {
    StorePath next{.role = "nix." + path.name.substr(0, kNixHashLength),
                   .path = PathOf(path.name),
                   .packages = {std::string(kPackage) + path.nar_sha256}};
    for (const std::string& reference : path.references)
      next.references.push_back(PathOf(reference));
    planned.push_back(std::move(next));
  }
  return planned;
}

Status MakeNixPath(ToolchainStore& store, const StorePath& planned,
                   const std::map<std::string, std::string>& files) {
  if (store.Contains(planned.path)) {
    TRY_ASSIGN(const StorePath there, store.Find(planned.path));
    if (there.packages == planned.packages) return {};
    return ErrorStatus(Code::kFailedPrecondition,
                       "{} is there with other bytes ({}) than the lock says ({}); when nothing "
                       "else needs it, `lre store gc` removes it",
                       planned.path, fmt::join(there.packages, ","),
                       fmt::join(planned.packages, ","));
  }
  const std::string sha256 = planned.packages.front().substr(kPackage.size());
  const bool by_nix = FileExists(planned.path);
  std::string staging = planned.path;
  if (by_nix) {
    TRY(CheckNixFolder(planned.path));
    TRY_ASSIGN(const NarHash hash, HashNar(planned.path));
    if (hash.sha256 != sha256)
      return ErrorStatus(Code::kFailedPrecondition,
                         "{} is there, not by LRE, with the NAR hash {}; {} is locked",
                         planned.path, hash.sha256, sha256);
  } else {
    const auto file = files.find(sha256);
    if (file == files.end())
      return ErrorStatus(Code::kNotFound, "the archive of {} was not fetched", planned.path);
    TRY_ASSIGN(staging, store.NewStaging(planned.path));
    if (Status status = UnpackNar(file->second, staging); !status.ok()) {
      (void)RemoveTree(staging).ok();
      return status.WithContext(planned.path);
    }
  }
  Status status = [&]() -> Status {
    TRY_ASSIGN(const TreeListing listing, WalkTree(staging, {.empty_folders = true}));
    TRY_ASSIGN(const CasDirectories directories, EncodeDirectories(listing));
    StorePath path = planned;
    path.tree = TreeDigestText(directories.root);
    path.size_bytes = listing.TotalBytes();
    return by_nix ? store.Adopt(path, listing)
                  : store.Add(staging, path, listing, /*rehash=*/false);
  }();
  if (!by_nix && !status.ok()) (void)RemoveTree(staging).ok();
  return status.ok() ? status : status.WithContext(planned.path);
}

Status DropPresent(const ToolchainStore* store, Extra* extra) {
  std::vector<std::string> absent;
  for (const std::string& line : extra->closure) {
    TRY_ASSIGN(const NixPath path, ParseNixPath(line));
    const std::string place = PathOf(path.name);
    const bool there = store != nullptr && store->Contains(place);
    if (!there && !FileExists(place)) absent.push_back(line);
  }
  extra->closure = std::move(absent);
  return {};
}

Result<std::vector<std::string>> AddNixLinks(const LockedPath& locked, FileTree* tree) {
  std::vector<std::string> paths;
  for (const Extra& extra : locked.extras) {
    if (extra.kind != ExtraKind::kNix) continue;
    paths.push_back(extra.store_path);
    TRY(AddLink(extra.into.empty() ? "nix/" + extra.name : extra.into, extra.store_path, tree));
    const std::string programs = extra.store_path + "/bin";
    if (!FileExists(programs)) continue;
    TRY_ASSIGN(const std::vector<std::string> names, SystemFiles().List(programs));
    for (const std::string& name : names)
      TRY(AddLink("usr/bin/" + name, programs + "/" + name, tree));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace lre::toolchain
