// Layout, with everything that is not a store path below one hidden folder:
//
//   <prefix>/<hash>-<role>/            the tree: files 0444 or 0555, folders 0555, times 1
//   <prefix>/.lre/records/<name>.json  a manifest (manifest.h) holding just this path
//   <prefix>/.lre/records/<name>.files its listing (cas_tree.h)
//   <prefix>/.lre/tmp/<random>/        trees being made or removed
//   <prefix>/.lre/records/<name>.fetched  empty: the path came from a CAS; its time is the last use
//   <prefix>/.lre/records/<name>.adopted  empty: the tree is another program's
//   <prefix>/.lre/quarantine/<name>-<random>/  damaged trees with their records
//   /nix/store/<hash>-<name>/          a Nix tree; its records are with the others
//   /nix/store/.lre/tmp, quarantine    as above, as a rename stays on one file system
//   <prefix>/.lre/locks/<name>         flock file: the path is being made
//   <prefix>/.lre/locks/<name>.use     flock file: shared by users, exclusive while it is removed
//   <prefix>/.lre/locks/gc             flock file: shared by makers, exclusive for a collection
//
// A path exists when both its folder and its record do. Adding writes the record first and renames
// last; removing renames first and removes the record last: a crash between leaves a record without
// a folder, which is as good as nothing, and the next Add writes it again.
#include "toolchain/root/toolchain_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/random.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kHidden = "/.lre";

Status SetTimes(const std::string& path) {
  const timespec times[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
  if (utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoStatus(errno, "set times of " + path);
  return {};
}

Status SetMode(const std::string& path, mode_t mode) {
  if (chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, "chmod " + path);
  return {};
}

// Folders of the listing, deepest last, "" (the root) first.
std::set<std::string> Folders(const TreeListing& listing) {
  std::set<std::string> folders = {""};
  auto add = [&](const std::string& path) {
    for (size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1))
      folders.insert(path.substr(0, end));
  };
  for (const CasFile& file : listing.files) add(file.path);
  for (const CasSymlink& symlink : listing.symlinks) add(symlink.path);
  for (const std::string& folder : listing.folders) add(folder + "/");
  return folders;
}

// Modes and times that do not depend on who made the tree, when, or with which umask.
Status Normalise(const std::string& root, const TreeListing& listing) {
  for (const CasFile& file : listing.files) {
    std::string path = root + "/" + file.path;
    TRY(SetMode(path, file.executable ? 0555 : 0444));
    TRY(SetTimes(path));
  }
  for (const CasSymlink& symlink : listing.symlinks) TRY(SetTimes(root + "/" + symlink.path));
  std::set<std::string> folders = Folders(listing);
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    std::string path = folder->empty() ? root : root + "/" + *folder;
    // The root keeps write permission until it is renamed: rename(2) needs it.
    TRY(SetMode(path, folder->empty() ? 0755 : 0555));
    TRY(SetTimes(path));
  }
  return {};
}

// One syncfs instead of an fsync for each of some ten thousand files.
Status SyncFileSystem(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, "open " + path);
  if (syncfs(fd.get()) != 0) return ErrnoStatus(errno, "syncfs " + path);
  return {};
}

// kUnavailable when `operation` does not wait and another has the lock.
Result<UniqueFd> Lock(const std::string& path, int operation) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  // Who may only read the store can still share a lock that is there.
  if (!fd && errno == EACCES) fd = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, "open " + path);
  while (flock(fd.get(), operation) != 0) {
    if (errno == EWOULDBLOCK) return Error(Code::kUnavailable, "{} is locked", path);
    if (errno != EINTR) return ErrnoError(errno, "lock " + path);
  }
  return fd;
}

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::vector<StoreDamage> Compare(const std::string& root, const TreeListing& recorded,
                                 const TreeListing& found) {
  std::vector<StoreDamage> damage;
  std::map<std::string, const CasFile*> files;
  std::map<std::string, const CasSymlink*> symlinks;
  for (const CasFile& file : found.files) files[file.path] = &file;
  for (const CasSymlink& symlink : found.symlinks) symlinks[symlink.path] = &symlink;
  auto report = [&](const std::string& path, std::string reason) {
    damage.push_back({root + "/" + path, std::move(reason)});
  };
  for (const CasFile& file : recorded.files) {
    auto it = files.find(file.path);
    if (it == files.end()) {
      report(file.path, "missing");
      continue;
    }
    if (it->second->digest != file.digest)
      report(file.path,
             fmt::format("bytes differ: {} recorded, {} found", file.digest, it->second->digest));
    else if (it->second->executable != file.executable)
      report(file.path, file.executable ? "no longer executable" : "became executable");
    files.erase(it);
  }
  for (const CasSymlink& symlink : recorded.symlinks) {
    auto it = symlinks.find(symlink.path);
    if (it == symlinks.end())
      report(symlink.path, "missing");
    else if (it->second->target != symlink.target)
      report(symlink.path,
             fmt::format("points to {} instead of {}", it->second->target, symlink.target));
    if (it != symlinks.end()) symlinks.erase(it);
  }
  for (const auto& [path, file] : files) report(path, "unexpected file");
  for (const auto& [path, symlink] : symlinks) report(path, "unexpected symlink");
  if (recorded.folders != found.folders) report("", "other empty folders than recorded");
  return damage;
}

}  // namespace

Result<std::unique_ptr<ToolchainStore>> ToolchainStore::Open(std::string prefix,
                                                             std::string nix_prefix) {
  while (prefix.size() > 1 && prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.starts_with('/'))
    return Error(Code::kInvalidArgument, "store prefix '{}' is not absolute", prefix);
  for (const char* folder : {"/records", "/tmp", "/locks"}) {
    Status status = SystemFiles().MakeDirectories(prefix + std::string(kHidden) + folder);
    if (status.ok()) continue;
    // A reader needs no more than what is there; a store that is absent has to be made by someone.
    if (FileExists(prefix + std::string(kHidden) + "/records")) break;
    if (status.code() != Code::kPermissionDenied) return std::unexpected(status);
    return Error(Code::kPermissionDenied,
                 "{}; make it yours once with: sudo install -d -o $USER {}", status.message(),
                 prefix);
  }
  return std::unique_ptr<ToolchainStore>(
      new ToolchainStore(std::move(prefix), std::move(nix_prefix)));
}

ToolchainStore::~ToolchainStore() = default;

std::string ToolchainStore::RecordPath(std::string_view name, std::string_view suffix) const {
  return fmt::format("{}{}/records/{}{}", prefix_, kHidden, name, suffix);
}

bool ToolchainStore::IsOwn(std::string_view path) const {
  std::string_view name = NameOf(path);
  return IsStoreName(name) && path == fmt::format("{}/{}", prefix_, name);
}

bool ToolchainStore::IsNix(std::string_view path) const {
  std::string_view name = NameOf(path);
  return IsNixName(name) && path == fmt::format("{}/{}", nix_prefix_, name);
}

bool ToolchainStore::IsAdopted(std::string_view path) const {
  return FileExists(RecordPath(NameOf(path), ".adopted"));
}

Result<std::vector<StorePath>> ToolchainStore::List() const {
  TRY_ASSIGN(std::vector<std::string> names, SystemFiles().List(prefix_));
  std::vector<StorePath> paths;
  auto add = [&](const std::string& place) -> Status {
    Result<StorePath> path = Find(place);
    // Damage of one is nothing that should keep anybody from the others.
    if (!path && path.error().code() == Code::kDataLoss)
      path = StorePath{.role = {}, .path = place};
    TRY(ToStatus(path));
    paths.push_back(std::move(*path));
    return {};
  };
  for (const std::string& name : names)
    if (IsStoreName(name) && Contains(prefix_ + "/" + name)) TRY(add(prefix_ + "/" + name));
  // A folder of Nix's own may hold a hundred thousand others.
  TRY_ASSIGN(names, SystemFiles().List(prefix_ + std::string(kHidden) + "/records"));
  for (const std::string& record : names) {
    if (!record.ends_with(".json")) continue;
    const std::string place = nix_prefix_ + "/" + record.substr(0, record.size() - 5);
    if (IsNix(place) && Contains(place)) TRY(add(place));
  }
  return paths;
}

bool ToolchainStore::Contains(std::string_view path) const {
  return IsPath(path) && FileExists(std::string(path)) &&
         FileExists(RecordPath(NameOf(path), ".json"));
}

Result<StorePath> ToolchainStore::Find(std::string_view path) const {
  if (!Contains(path))
    return Error(Code::kNotFound, "{} is not in the toolchain store {}", path, prefix_);
  std::string record = RecordPath(NameOf(path), ".json");
  TRY_ASSIGN(std::string text, ReadFile(record));
  auto manifest = ParseManifest(text);
  if (!manifest || manifest->paths.size() != 1 || manifest->paths[0].path != path)
    return Error(Code::kDataLoss, "{} does not describe {}: {}", record, path,
                 manifest ? "it is about something else" : manifest.error().message());
  return std::move(manifest->paths[0]);
}

Result<std::vector<StorePath>> ToolchainStore::Closure(std::span<const std::string> paths) const {
  std::vector<StorePath> closure;
  std::set<std::string> seen;
  // Depth is bounded by the number of distinct paths: `seen` is set on the way down.
  auto visit = [&](auto& self, const std::string& path) -> Status {
    if (!seen.insert(path).second) return {};
    TRY_ASSIGN(StorePath entry, Find(path));
    for (const std::string& reference : entry.references) TRY(self(self, reference));
    closure.push_back(std::move(entry));
    return {};
  };
  for (const std::string& path : paths) TRY(visit(visit, path));
  return closure;
}

Result<TreeListing> ToolchainStore::Listing(std::string_view path) const {
  TRY_ASSIGN(StorePath entry, Find(path));
  TRY_ASSIGN(std::string text, ReadFile(RecordPath(NameOf(path), ".files")));
  TRY_ASSIGN(TreeListing listing, ParseListing(text));
  TRY_ASSIGN(CasDirectories directories, EncodeDirectories(listing));
  if (TreeDigestText(directories.root) != entry.tree)
    return Error(Code::kDataLoss, "the recorded files of {} give {}, its record says {}", path,
                 TreeDigestText(directories.root), entry.tree);
  return listing;
}

Result<std::vector<StoreDamage>> ToolchainStore::Verify(std::string_view path) const {
  Result<TreeListing> recorded = Listing(path);
  if (!recorded && recorded.error().code() == Code::kDataLoss)
    return std::vector<StoreDamage>{{std::string(path), recorded.error().message()}};
  TRY(ToStatus(recorded));
  TRY_ASSIGN(TreeListing found, WalkTree(std::string(path), {.empty_folders = IsNix(path)}));
  return Compare(std::string(path), *recorded, found);
}

Result<std::string> ToolchainStore::NewStaging(std::string_view for_path) {
  const std::string& prefix = IsNix(for_path) ? nix_prefix_ : prefix_;
  std::string path = fmt::format("{}{}/tmp/{}", prefix, kHidden, RandomHex(8));
  if (Status status = SystemFiles().MakeDirectories(std::string(path, 0, path.rfind('/')));
      status.code() == Code::kPermissionDenied)
    return Error(Code::kPermissionDenied,
                 "{}; make it yours once with: sudo install -d -o $USER {}", status.message(),
                 prefix);
  if (mkdir(path.c_str(), 0755) != 0) return ErrnoError(errno, "make directory " + path);
  return path;
}

Status ToolchainStore::Add(const std::string& staging, const StorePath& path,
                           const TreeListing& listing, bool rehash) {
  if (!IsPath(path.path))
    return ErrorStatus(Code::kInvalidArgument, "'{}' is not a path of the store {}", path.path,
                       prefix_);
  if (Contains(path.path)) return {};
  TRY_ASSIGN(CasDirectories directories, EncodeDirectories(listing));
  if (TreeDigestText(directories.root) != path.tree)
    return ErrorStatus(Code::kInvalidArgument, "the files for {} give the tree {}, not {}",
                       path.path, TreeDigestText(directories.root), path.tree);
  if (rehash) {
    TRY_ASSIGN(TreeListing found, WalkTree(staging, {.empty_folders = IsNix(path.path)}));
    std::vector<StoreDamage> damage = Compare(staging, listing, found);
    if (!damage.empty())
      return ErrorStatus(Code::kDataLoss, "{}: {}", damage[0].path, damage[0].reason);
  }
  TRY(Normalise(staging, listing));
  TRY(SyncFileSystem(staging));
  TRY(WriteRecord(path, listing));
  if (rename(staging.c_str(), path.path.c_str()) != 0) {
    int error = errno;
    // Another process was quicker with the same tree.
    if ((error == EEXIST || error == ENOTEMPTY) && Contains(path.path)) return {};
    return ErrnoStatus(error, fmt::format("rename {} to {}", staging, path.path));
  }
  TRY(SetMode(path.path, 0555));
  return SystemFiles().SyncDirectory(path.path.substr(0, path.path.rfind('/')));
}

Status ToolchainStore::WriteRecord(const StorePath& path, const TreeListing& listing) const {
  const std::string name(NameOf(path.path));
  TRY(WriteFileAtomically(RecordPath(name, ".files"), PrintListing(listing)));
  return WriteFileAtomically(RecordPath(name, ".json"),
                             PrintManifest({.name = name, .prefix = prefix_, .paths = {path}}));
}

Status ToolchainStore::Adopt(const StorePath& path, const TreeListing& listing) {
  TRY_ASSIGN(CasDirectories directories, EncodeDirectories(listing));
  if (!IsNix(path.path) || TreeDigestText(directories.root) != path.tree)
    return ErrorStatus(Code::kInvalidArgument, "'{}' cannot be adopted", path.path);
  TRY(WriteFileAtomically(RecordPath(NameOf(path.path), ".adopted"), ""));
  return WriteRecord(path, listing);
}

std::string ToolchainStore::LockPath(std::string_view name) const {
  return fmt::format("{}{}/locks/{}", prefix_, kHidden, name);
}

Result<UniqueFd> ToolchainStore::LockName(std::string_view name) {
  return Lock(LockPath(name), LOCK_EX);
}

Result<UniqueFd> ToolchainStore::HoldPath(std::string_view path) const {
  Result<UniqueFd> lock = Lock(LockPath(fmt::format("{}.use", NameOf(path))), LOCK_SH);
  // Who may only read the store, and finds no lock file, does without.
  if (!lock && lock.error().code() == Code::kNotFound) return UniqueFd();
  return lock;
}

Status ToolchainStore::MarkFetched(std::string_view path) {
  std::string mark = RecordPath(NameOf(path), ".fetched");
  UniqueFd fd(open(mark.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  // The time that the kernel puts in itself may be the same for some milliseconds.
  timespec times[2] = {};
  clock_gettime(CLOCK_REALTIME, &times[0]);
  times[1] = times[0];
  if (!fd || futimens(fd.get(), times) != 0) return ErrnoStatus(errno, mark);
  return {};
}

Status ToolchainStore::UnmarkFetched(std::string_view path) {
  Status status = SystemFiles().Remove(RecordPath(NameOf(path), ".fetched"));
  return status.code() == Code::kNotFound ? Status() : status;
}

bool ToolchainStore::IsFetched(std::string_view path) const {
  return FileExists(RecordPath(NameOf(path), ".fetched"));
}

Result<std::vector<FetchedPath>> ToolchainStore::ListFetched() const {
  TRY_ASSIGN(std::vector<StorePath> all, List());
  std::vector<FetchedPath> fetched;
  for (StorePath& path : all) {
    struct stat info {};
    if (stat(RecordPath(NameOf(path.path), ".fetched").c_str(), &info) != 0) continue;
    fetched.push_back({std::move(path), WallTime(std::chrono::seconds(info.st_mtim.tv_sec) +
                                                 std::chrono::nanoseconds(info.st_mtim.tv_nsec))});
  }
  std::stable_sort(fetched.begin(), fetched.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  return fetched;
}

// False when someone holds it. The folder goes first: without it the record means nothing.
Result<bool> ToolchainStore::RemoveUnlessHeld(const StorePath& path) {
  std::string name(NameOf(path.path));
  Result<UniqueFd> lock = Lock(LockPath(name + ".use"), LOCK_EX | LOCK_NB);
  if (!lock && lock.error().code() == Code::kUnavailable) return false;
  TRY(ToStatus(lock));
  const bool adopted = IsAdopted(path.path);
  TRY_ASSIGN(std::string trash, NewStaging(adopted ? "" : path.path));
  if (!adopted) {
    TRY(SetMode(path.path, 0755));
    TRY(SystemFiles().Rename(path.path, trash + "/tree"));
  }
  for (const char* suffix : {".json", ".files"})
    TRY(SystemFiles().Remove(RecordPath(name, suffix)));
  if (adopted) TRY(SystemFiles().Remove(RecordPath(name, ".adopted")));
  TRY(UnmarkFetched(path.path));
  TRY(RemoveTree(trash));
  return true;
}

Status ToolchainStore::Remove(std::string_view path) {
  TRY_ASSIGN(StorePath found, Find(path));
  TRY_ASSIGN(std::vector<StorePath> all, List());
  for (const StorePath& other : all) {
    if (std::binary_search(other.references.begin(), other.references.end(), found.path))
      return ErrorStatus(Code::kFailedPrecondition, "{} is needed by {}", path, other.path);
  }
  TRY_ASSIGN(bool removed, RemoveUnlessHeld(found));
  return removed ? Status() : ErrorStatus(Code::kUnavailable, "{} is in use", path);
}

Result<std::string> ToolchainStore::Quarantine(std::string_view path) {
  if (!Contains(path)) return Error(Code::kNotFound, "{} is not in the store", path);
  std::string name(NameOf(path));
  if (IsAdopted(path))
    return Error(Code::kFailedPrecondition,
                 "{} is damaged and not LRE's: `nix-store --repair-path`", path);
  std::string place = fmt::format("{}{}/quarantine/{}-{}", IsNix(path) ? nix_prefix_ : prefix_,
                                  kHidden, name, RandomHex(4));
  TRY(SystemFiles().MakeDirectories(place));
  TRY(SetMode(std::string(path), 0755));
  TRY(SystemFiles().Rename(std::string(path), place + "/tree"));
  for (const char* suffix : {".json", ".files"})
    TRY(SystemFiles().Rename(RecordPath(name, suffix), place + "/record" + suffix));
  return place;
}

Result<GcReport> ToolchainStore::CollectGarbage(const GcOptions& options) {
  // `sync` holds this lock shared for its whole run: nothing is taken from under it.
  Result<UniqueFd> lock = Lock(LockPath("gc"), LOCK_EX | LOCK_NB);
  if (!lock && lock.error().code() == Code::kUnavailable)
    return Error(Code::kUnavailable, "a sync is using {}; try again when it is done", prefix_);
  TRY(ToStatus(lock));
  TRY_ASSIGN(std::vector<StorePath> kept, Closure(options.roots));
  std::set<std::string> keep;
  for (const StorePath& path : kept) keep.insert(path.path);
  TRY_ASSIGN(std::vector<StorePath> all, List());
  GcReport report;
  for (const StorePath& path : all) {
    if (keep.contains(path.path)) continue;
    if (!options.dry_run) {
      TRY_ASSIGN(bool removed, RemoveUnlessHeld(path));
      if (!removed) {
        report.in_use.push_back(path.path);
        continue;
      }
    }
    report.removed.push_back(path.path);
    report.freed_bytes += path.size_bytes;
  }
  if (options.dry_run) return report;
  for (const std::string& prefix : {prefix_, nix_prefix_}) {
    const std::string hidden = prefix + std::string(kHidden);
    if (!FileExists(hidden)) continue;
    TRY(RemoveTree(hidden + "/quarantine"));
    TRY_ASSIGN(std::vector<std::string> abandoned, SystemFiles().List(hidden + "/tmp"));
    for (const std::string& name : abandoned) TRY(RemoveTree(hidden + "/tmp/" + name));
  }
  return report;
}

Result<UniqueFd> ToolchainStore::HoldOffGarbageCollection() {
  return Lock(LockPath("gc"), LOCK_SH);
}

}  // namespace lre::toolchain
