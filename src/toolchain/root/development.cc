#include "toolchain/root/development.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/guarded.h"
#include "digest/digest.h"
#include "toolchain/root/file_tree.h"
#include "toolchain/root/parallel.h"

namespace lre::toolchain {
namespace {

constexpr uint64_t kFileBytesMax = 4ull << 30;

using Names = std::map<std::string, std::string>;  // "<hash>-gcc" -> "<other hash>-gcc"

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Replaces names of store paths. Only hashes differ, so nothing moves.
bool Rename(const Names& names, std::string* text) {
  bool changed = false;
  for (const auto& [from, to] : names) {
    for (size_t at = text->find(from); at != text->npos; at = text->find(from, at + from.size())) {
      text->replace(at, from.size(), to);
      changed = true;
    }
  }
  return changed;
}

// "bin/tool" is "usr/bin/tool", as of packages: at the top of a store path bin is a link.
std::string Place(const std::string& path) {
  return path.find('/') == path.npos ? path : FoldUsr(path);
}

// One file or link of the new path, and where its bytes are now.
struct Source {
  std::string file;  // absolute
  bool symlink = false;
  bool executable = false;
  Digest digest;      // of a file of the old path
  bool ours = false;  // from the old path
};

// Makes the new path for one old one.
class PathChanger {
 public:
  PathChanger(ToolchainStore& store, const SyncOptions& options, const Names& names)
      : store_(store), options_(options), names_(names) {}

  // REQUIRES: names holds those of changed references. Adds its own when it changes.
  Result<StorePath> Change(const StorePath& base, const Overlay* overlay) {
    TreeListing over;
    if (overlay != nullptr) {
      TRY_ASSIGN(over, WalkTree(overlay->directory, {.threads = options_.threads}));
    }
    StorePath changed = base;
    const std::string name(NameOf(base.path));
    const std::string label = name.substr(kStoreHashLength);
    std::string identity = fmt::format("lre development path\nbase {}\nwhole {}\n{}", base.path,
                                       overlay != nullptr && overlay->whole, PrintListing(over));
    for (const auto& [from, to] : names_) identity += fmt::format("name {} {}\n", from, to);
    own_name_ =
        ComputeDigest(DigestFunction::kSha256, identity).Hex().substr(0, kStoreHashLength) + label;
    changed.path = options_.prefix + "/" + own_name_;
    if (store_.Contains(changed.path)) return store_.Find(changed.path);
    rename_ = names_;
    rename_[name] = own_name_;
    TRY(Collect(base, overlay, over));
    TRY_ASSIGN(const std::string staging, store_.NewStaging());
    Status status = MakeIn(staging, base, &changed);
    if (!status.ok()) (void)RemoveTree(staging).ok();
    if (!status.ok()) return std::unexpected(status.WithContext(changed.path));
    return changed;
  }

 private:
  Status Collect(const StorePath& base, const Overlay* overlay, const TreeListing& over) {
    if (overlay == nullptr || !overlay->whole) {
      TRY_ASSIGN(const TreeListing old, store_.Listing(base.path));
      for (const CasFile& file : old.files)
        sources_[file.path] = {base.path + "/" + file.path, false, file.executable, file.digest,
                               true};
      for (const CasSymlink& link : old.symlinks) {
        Source& source = sources_[link.path];
        source.file = link.target;
        source.symlink = true;
      }
    }
    for (const CasFile& file : over.files)
      sources_[Place(file.path)] = {
          overlay->directory + "/" + file.path, false, file.executable, {}, false};
    for (const CasSymlink& link : over.symlinks) {
      Source& source = sources_[Place(link.path)] = {};
      source.file = link.target;
      source.symlink = true;
    }
    return {};
  }

  Status MakeIn(const std::string& staging, const StorePath& base, StorePath* changed) {
    std::set<std::string> folders;
    std::vector<std::pair<const std::string*, const Source*>> files;
    TreeListing listing;
    for (const auto& [path, source] : sources_) {
      const std::string folder = staging + "/" + std::string(ParentPath(path));
      if (folders.insert(folder).second) TRY(SystemFiles().MakeDirectories(folder));
      if (!source.symlink) {
        files.emplace_back(&path, &source);
        listing.files.push_back({path, source.digest, source.executable});
        continue;
      }
      std::string target = source.file;
      Rename(rename_, &target);
      Scan(target);
      const std::string link = staging + "/" + path;
      if (symlink(target.c_str(), link.c_str()) != 0) return ErrnoStatus(errno, link);
      listing.symlinks.push_back({path, target});
    }
    TRY(ParallelFor(files.size(), options_.threads, [&](size_t i) {
      return MakeFile(*files[i].second, staging + "/" + *files[i].first, &listing.files[i]);
    }));
    TRY(SetReferences(base, changed));
    TRY_ASSIGN(const CasDirectories directories, EncodeDirectories(listing));
    changed->tree = TreeDigestText(directories.root);
    changed->size_bytes = listing.TotalBytes();
    return store_.Add(staging, *changed, listing, /*rehash=*/false);
  }

  Status MakeFile(const Source& source, const std::string& to, CasFile* file) {
    TRY_ASSIGN(std::string bytes, ReadFile(source.file, kFileBytesMax));
    const bool renamed = Rename(rename_, &bytes);
    Scan(bytes);
    if (source.ours && !renamed) {
      if (link(source.file.c_str(), to.c_str()) == 0) return {};
      // Another file system, or more links than it allows: a copy does as well.
    }
    file->digest = ComputeDigest(DigestFunction::kSha256, bytes);
    return WriteFileAtomically(to, bytes, file->executable ? 0755 : 0644);
  }

  void Scan(std::string_view bytes) {
    std::vector<std::string> found = FindStoreReferences(bytes, options_.prefix);
    if (found.empty()) return;
    found_.With([&](auto& all) { all.insert(found.begin(), found.end()); });
  }

  // What the bytes name must be what the old path could reference, under its new name.
  Status SetReferences(const StorePath& base, StorePath* changed) {
    TRY_ASSIGN(const std::vector<StorePath> closure,
               store_.Closure(std::vector<std::string>{base.path}));
    std::set<std::string> known;
    for (const StorePath& path : closure) {
      std::string name = path.path;
      Rename(rename_, &name);
      known.insert(std::move(name));
    }
    changed->references.clear();
    std::set<std::string> found;
    found_.With([&](auto& all) { found = all; });
    for (const std::string& path : found) {
      if (path == changed->path) continue;
      if (!known.contains(path))
        return ErrorStatus(Code::kInvalidArgument, "its files name {}, which it does not reference",
                           path);
      changed->references.push_back(path);
    }
    for (const std::string& path : base.references)
      if (IsNixPath(path)) changed->references.push_back(path);
    std::sort(changed->references.begin(), changed->references.end());
    return {};
  }

  ToolchainStore& store_;
  const SyncOptions& options_;
  const Names& names_;
  Names rename_;  // names_ and its own
  std::string own_name_;
  std::map<std::string, Source> sources_;
  Guarded<std::set<std::string>> found_;
};

Status CheckRoles(const Manifest& manifest, const std::vector<Overlay>& overlays) {
  for (const Overlay& overlay : overlays) {
    if (manifest.Find(overlay.role) == nullptr) {
      std::vector<std::string> roles;
      for (const StorePath& path : manifest.paths) roles.push_back(path.role);
      return ErrorStatus(Code::kNotFound, "{} has no path with role {} ({})", manifest.name,
                         overlay.role, fmt::join(roles, ", "));
    }
    if (!FileExists(overlay.directory))
      return ErrorStatus(Code::kInvalidArgument, "{} is not here", overlay.directory);
  }
  return {};
}

}  // namespace

Result<Manifest> DevelopToolchain(const Lock& lock, std::string_view toolchain,
                                  const std::vector<Overlay>& overlays,
                                  const DevelopmentOptions& options, SyncProgress& progress) {
  const SyncOptions& sync = options.sync;
  TRY_ASSIGN(Manifest manifest, SyncToolchain(lock, toolchain, sync, progress));
  TRY(CheckRoles(manifest, overlays));
  TRY_ASSIGN(std::unique_ptr<ToolchainStore> store, ToolchainStore::Open(sync.prefix));
  TRY_ASSIGN(UniqueFd no_collection, store->HoldOffGarbageCollection());
  Names names;
  int done = 0;
  for (StorePath& path : manifest.paths) {
    const auto overlay = std::find_if(overlays.begin(), overlays.end(),
                                      [&](const Overlay& each) { return each.role == path.role; });
    const bool affected =
        std::any_of(path.references.begin(), path.references.end(),
                    [&](const auto& r) { return names.contains(std::string(NameOf(r))); });
    ++done;
    if (overlay == overlays.end() && !affected) continue;
    progress.Step("changing", path.path, done, static_cast<int>(manifest.paths.size()));
    const std::string old_name(NameOf(path.path));
    PathChanger changer(*store, sync, names);
    TRY_ASSIGN(StorePath changed,
               changer.Change(path, overlay == overlays.end() ? nullptr : &*overlay));
    changed.role = path.role;
    names[old_name] = NameOf(changed.path);
    path = std::move(changed);
  }
  manifest.recipe += "+dev";
  TRY(Describe(lock, sync, options.self_test, &manifest));
  return manifest;
}

Status CopyForEditing(const StorePath& path, const std::string& directory) {
  namespace fs = std::filesystem;
  if (FileExists(directory))
    return ErrorStatus(Code::kAlreadyExists, "{} is there already", directory);
  std::error_code error;
  fs::copy(path.path, directory, fs::copy_options::recursive | fs::copy_options::copy_symlinks,
           error);
  if (error) return ErrorStatus(Code::kInternal, "copying {}: {}", path.path, error.message());
  for (fs::recursive_directory_iterator at(directory, error), end; at != end; at.increment(error)) {
    if (error) break;
    if (!at->is_symlink(error)) fs::permissions(*at, fs::perms::owner_write, fs::perm_options::add);
  }
  fs::permissions(directory, fs::perms::owner_write, fs::perm_options::add, error);
  return {};
}

}  // namespace lre::toolchain
