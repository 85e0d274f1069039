// A store path is named after what goes into it, not after what comes out: its own name stands in
// its bytes, so it must be known first. The name hashes the rules (kRecipeVersion), the prefix, the
// system, the role, the packages' hashes and the names of the paths it references, which hash
// theirs. What came out is recorded beside it as a tree digest, and every other machine checks
// that.
#include "toolchain/root/sync.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/file.h"
#include "digest/digest.h"
#include "toolchain/root/deb.h"
#include "toolchain/root/emulation.h"
#include "toolchain/root/extras.h"
#include "toolchain/root/go_probe.h"
#include "toolchain/root/java_probe.h"
#include "toolchain/root/nix_paths.h"
#include "toolchain/root/parallel.h"
#include "toolchain/root/probe.h"
#include "toolchain/root/python_probe.h"
#include "toolchain/root/recipe.h"
#include "toolchain/root/settings.h"
#include "toolchain/root/write_tree.h"

namespace lre::toolchain {
namespace {

std::string ShortHash(std::string_view text) {
  return ComputeDigest(DigestFunction::kSha256, text).Hex().substr(0, kStoreHashLength);
}

Status CheckRole(std::string_view role, std::string_view prefix) {
  std::string name = std::string(kStoreHashLength, '0') + "-" + std::string(role);
  if (!IsStoreName(name))
    return ErrorStatus(Code::kInvalidArgument, "role '{}' cannot be part of a path's name", role);
  // ELF files and scripts hold paths of this length many times over; scripts stop at 127 bytes.
  if (prefix.size() + name.size() > 90)
    return ErrorStatus(Code::kInvalidArgument, "{}/{} is too long for a store path", prefix, name);
  return {};
}

// "gcc" of "/lre/store/<hash>-gcc".
std::string LabelOf(const std::string& path) {
  return path.substr(path.rfind('/') + 1 + kStoreHashLength + 1);
}

// One line per fact: no two different inputs have the same text.
std::string IdentityText(const Lock& lock, const LockedPath& locked, const SyncOptions& options,
                         const std::map<std::string, std::string>& path_of_name) {
  std::string text =
      fmt::format("lre store path\nrecipe {}\nprefix {}\nsystem {}\nrole {}\n", kRecipeVersion,
                  options.prefix, locked.system.empty() ? lock.system : locked.system, locked.role);
  for (const std::string& name : locked.packages) {
    const LockedPackage& package = lock.packages.at(name);
    // The same path has the same name, whichever system the lock is for.
    text += fmt::format("package {} {} {} {}\n", WithoutArchitecture(package.name), package.version,
                        package.architecture, package.sha256);
  }
  for (const Extra& extra : locked.extras) {
    text += fmt::format("add {} {} {} {} {} {}\n", extra.name, ExtraKindName(extra.kind),
                        extra.sha256, TomlQuote(extra.into), extra.strip, extra.executable);
    for (const std::string& pattern : extra.include)
      text += fmt::format("include {}\n", TomlQuote(pattern));
    if (extra.kind == ExtraKind::kNix) text += fmt::format("nix {}\n", extra.store_path);
  }
  for (const std::string& pattern : locked.drop)
    text += fmt::format("drop {}\n", TomlQuote(pattern));
  std::vector<std::string> references;
  for (const std::string& name : locked.references) references.push_back(path_of_name.at(name));
  // By what they are, not by what the lock calls them.
  std::sort(references.begin(), references.end(), [](const std::string& a, const std::string& b) {
    return std::pair(LabelOf(a), a) < std::pair(LabelOf(b), b);
  });
  for (const std::string& path : references) text += fmt::format("reference {}\n", path);
  return text;
}

// Makes one store path, start to end.
class PathMaker {
 public:
  PathMaker(const Lock& lock, const SyncOptions& options, ToolchainStore& store)
      : lock_(lock), options_(options), store_(store) {}

  // A path that is there: others are made against it. `name` is that in the lock.
  Status Know(const std::string& name, const StorePath& path) {
    TRY_ASSIGN(TreeListing listing, store_.Listing(path.path));
    references_.emplace(name,
                        MakeReference(lock_.paths.at(name).role, path.path, std::move(listing)));
    return {};
  }

  // REQUIRES: everything it references is known.
  Status Make(const std::string& name, StorePath planned) {
    const LockedPath& locked = lock_.paths.at(name);
    planned.role = locked.role;
    Result<FileTree> tree = UnpackPackages(locked);
    if (Status shaped = tree ? ShapeTree(*tree, locked, options_) : tree.error(); !shaped.ok())
      return shaped.WithContext("store." + name);
    TRY_ASSIGN(std::string staging, store_.NewStaging());
    Status status = MakeIn(staging, locked, planned, std::move(*tree));
    // Whatever went wrong, what is half made goes; a crash leaves it to the next collection.
    if (!status.ok()) (void)RemoveTree(staging).ok();
    return status.ok() ? status : status.WithContext(planned.path);
  }

 private:
  const std::string& SystemOf(const LockedPath& locked) const {
    return locked.system.empty() ? lock_.system : locked.system;
  }

  Result<FileTree> UnpackPackages(const LockedPath& locked) const {
    std::vector<FileTree> trees(locked.packages.size());
    // Largest first, or the last thread would end alone with the compiler.
    std::vector<size_t> order(trees.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return lock_.packages.at(locked.packages[a]).size_bytes >
             lock_.packages.at(locked.packages[b]).size_bytes;
    });
    TRY(ParallelFor(trees.size(), options_.threads, [&](size_t i) -> Status {
      const std::string& name = locked.packages[order[i]];
      auto file = options_.packages.find(name);
      if (file == options_.packages.end())
        return ErrorStatus(Code::kNotFound,
                           "package {} is needed for role '{}' and was not fetched", name,
                           locked.role);
      TRY_ASSIGN(trees[order[i]], UnpackDeb(file->second, {.bytes_max = options_.tree_bytes_max}));
      return {};
    }));
    FileTree merged;
    uint64_t bytes = 0;
    for (size_t i = 0; i < trees.size(); ++i)
      TRY(MergeTree(merged, std::move(trees[i]), locked.packages[i]));
    for (Extra extra : locked.extras) {
      extra.system = SystemOf(locked);
      TRY_ASSIGN(FileTree tree, UnpackExtra(extra, options_));
      TRY(MergeTree(merged, std::move(tree), extra.from));
    }
    for (const auto& [path, node] : merged) bytes += node.content.size();
    if (bytes > options_.tree_bytes_max)
      return Error(Code::kResourceExhausted,
                   "role '{}' unpacks to {} bytes, more than the allowed {}", locked.role, bytes,
                   options_.tree_bytes_max);
    return merged;
  }

  // Nearest first: what a path references itself comes before what those reference; but the libc
  // path before all, as a newer binutils, say, brings a libc of its own.
  std::vector<const Reference*> TransitiveReferences(const LockedPath& of) const {
    std::vector<const Reference*> found;
    std::vector<std::string> queue = of.references;
    std::set<std::string> seen;
    for (size_t i = 0; i < queue.size(); ++i) {
      if (!seen.insert(queue[i]).second) continue;
      const LockedPath& locked = lock_.paths.at(queue[i]);
      found.push_back(&references_.at(queue[i]));
      queue.insert(queue.end(), locked.references.begin(), locked.references.end());
    }
    std::stable_partition(found.begin(), found.end(),
                          [](const Reference* reference) { return reference->role == "libc"; });
    return found;
  }

  Status MakeIn(const std::string& staging, const LockedPath& locked, const StorePath& planned,
                FileTree tree) {
    TRY_ASSIGN(SystemFacts system, FindSystem(SystemOf(locked)));
    RecipeInput input{.role = planned.role,
                      .relocation = {.store_path = planned.path,
                                     .references = TransitiveReferences(locked),
                                     .system = std::move(system),
                                     .threads = options_.threads},
                      .scratch = staging};
    TRY_ASSIGN(tree, ApplyRecipe(std::move(tree), input));
    TRY_ASSIGN(const std::vector<std::string> nix_paths, AddNixLinks(locked, &tree));
    TRY_ASSIGN(WrittenTree written,
               WriteTree(tree, staging, {.prefix = options_.prefix, .threads = options_.threads}));
    StorePath path = planned;
    TRY_ASSIGN(path.references,
               CheckReferences(written.references, planned.path, input.relocation.references));
    path.references.insert(path.references.end(), nix_paths.begin(), nix_paths.end());
    TRY_ASSIGN(CasDirectories directories, EncodeDirectories(written.listing));
    path.tree = TreeDigestText(directories.root);
    path.size_bytes = written.listing.TotalBytes();
    return store_.Add(staging, path, written.listing, /*rehash=*/false);
  }

  // What the bytes name must be what was declared, or the closure that travels would lack
  // something.
  static Result<std::vector<std::string>> CheckReferences(
      const std::vector<std::string>& found, const std::string& self,
      const std::vector<const Reference*>& declared) {
    std::vector<std::string> references;
    for (const std::string& path : found) {
      if (path == self) continue;
      bool known = std::any_of(declared.begin(), declared.end(),
                               [&](const Reference* r) { return r->path == path; });
      if (!known)
        return Error(Code::kFailedPrecondition, "its files name {}, which it does not reference",
                     path);
      references.push_back(path);
    }
    return references;
  }

  const Lock& lock_;
  const SyncOptions& options_;
  ToolchainStore& store_;
  std::map<std::string, Reference> references_;  // by name in the lock
};

// Where the manifest of this toolchain, made from just these paths, is kept.
std::string ManifestPath(std::string_view toolchain, const std::vector<StorePath>& planned,
                         const SyncOptions& options) {
  std::string text = fmt::format("{}\n{}\n", toolchain, options.lock_digest);
  for (const StorePath& path : planned) text += path.path + "\n";
  return fmt::format("{}/.lre/manifests/{}-{}.json", options.prefix, ShortHash(text), toolchain);
}

Result<Manifest> ReadKeptManifest(const std::string& file, const std::vector<StorePath>& planned) {
  TRY_ASSIGN(std::string text, ReadFile(file));
  TRY_ASSIGN(Manifest manifest, ParseManifest(text));
  bool same =
      std::equal(planned.begin(), planned.end(), manifest.paths.begin(), manifest.paths.end(),
                 [](const StorePath& a, const StorePath& b) { return a.path == b.path; });
  if (!same) return Error(Code::kDataLoss, "{} is about other paths", file);
  return manifest;
}

// Those that are made from packages; names as the lock has them, in the same order.
struct OwnPaths {
  std::vector<std::string> names;
  std::vector<StorePath> planned;
};

bool AllPresent(const ToolchainStore& store, const std::vector<StorePath>& planned) {
  return std::all_of(planned.begin(), planned.end(),
                     [&](const StorePath& path) { return store.Contains(path.path); });
}

class SilentProgress final : public SyncProgress {
 public:
  void Step(std::string_view, std::string_view, int, int) override {}
};

// The Nix paths come first: others link to what is in them.
Status MakeNixPaths(const std::vector<StorePath>& planned, int total, const SyncOptions& options,
                    ToolchainStore& store, SyncProgress& progress) {
  for (size_t i = 0; i < planned.size(); ++i) {
    progress.Step("making", planned[i].path, static_cast<int>(i) + 1, total);
    TRY_ASSIGN(UniqueFd lock_file,
               store.LockName(planned[i].path.substr(planned[i].path.rfind('/') + 1)));
    TRY(MakeNixPath(store, planned[i], options.extras));
  }
  return {};
}

Status MakeMissing(const Lock& lock, const OwnPaths& own, const std::vector<StorePath>& nix_paths,
                   const SyncOptions& options, ToolchainStore& store, SyncProgress& progress) {
  PathMaker maker(lock, options, store);
  const int before = static_cast<int>(nix_paths.size());
  const int total = static_cast<int>(own.planned.size()) + before;
  TRY(MakeNixPaths(nix_paths, total, options, store, progress));
  for (int done = before + 1; done <= total; ++done) {
    const std::string& name = own.names[static_cast<size_t>(done - before - 1)];
    const StorePath& path = own.planned[static_cast<size_t>(done - before - 1)];
    if (!store.Contains(path.path)) {
      progress.Step("making", path.path, done, total);
      TRY_ASSIGN(UniqueFd lock_file, store.LockName(path.path.substr(options.prefix.size() + 1)));
      // Someone else may have made it while we waited.
      if (!store.Contains(path.path)) TRY(maker.Make(name, path));
    } else {
      progress.Step("present", path.path, done, total);
    }
    TRY(maker.Know(name, path));
  }
  return {};
}

Status SelfTest(const Manifest& manifest, const SyncOptions& options) {
  TRY_ASSIGN(std::unique_ptr<ToolchainStore> store, ToolchainStore::Open(options.prefix));
  TRY_ASSIGN(std::string scratch, store->NewStaging());
  Status status;
  if (manifest.cc) status = SelfTestCc(*manifest.cc, options.prefix, scratch, manifest.Target());
  if (manifest.java && status.ok()) status = CheckRunsHere(manifest.system);
  if (manifest.java && status.ok()) status = SelfTestJava(*manifest.java, scratch);
  if (manifest.go && status.ok()) status = SelfTestGo(*manifest.go, scratch);
  if (manifest.rust && status.ok())
    status = SelfTestRust(*manifest.rust, manifest.cc ? &*manifest.cc : nullptr, scratch);
  (void)RemoveTree(scratch).ok();
  return status;
}

Result<OwnPaths> PlannedOwnPaths(const Lock& lock, std::string_view toolchain,
                                 const SyncOptions& options) {
  OwnPaths own;
  TRY_ASSIGN(own.names, OrderedPaths(lock, toolchain));
  std::map<std::string, std::string> path_of_name;
  for (const std::string& name : own.names) {
    const LockedPath& locked = lock.paths.at(name);
    const std::string& label = locked.label.empty() ? name : locked.label;
    TRY(CheckRole(label, options.prefix));
    for (const std::string& package : locked.packages)
      if (!lock.packages.contains(package))
        return Error(Code::kInvalidArgument,
                     "path '{}' has package {}, which the lock does not describe", name, package);
    StorePath path{.role = locked.role};
    const std::string& system = locked.system.empty() ? lock.system : locked.system;
    if (system != SystemOf(lock, std::string(toolchain))) path.role += "." + SystemSuffix(system);
    path.path = fmt::format("{}/{}-{}", options.prefix,
                            ShortHash(IdentityText(lock, locked, options, path_of_name)), label);
    path_of_name[name] = path.path;
    for (const std::string& package : locked.packages)
      path.packages.push_back(WithoutArchitecture(package) + "=" +
                              lock.packages.at(package).version);
    for (const Extra& extra : locked.extras)
      path.packages.push_back(extra.from + "=" + extra.sha256);
    std::sort(path.packages.begin(), path.packages.end());
    own.planned.push_back(std::move(path));
  }
  return own;
}

// Of a Nix closure what is not there, whether or not what links to it is; of others all that `made`
// does not have in it yet.
Status AddNeeded(const Lock& lock, const LockedPath& locked, const ToolchainStore* store, bool made,
                 std::vector<Extra>* needed) {
  for (Extra extra : locked.extras) {
    if (extra.kind == ExtraKind::kNix) {
      TRY(DropPresent(store, &extra));
      if (extra.closure.empty()) continue;
    } else if (made) {
      continue;
    }
    extra.system = locked.system.empty() ? lock.system : locked.system;
    needed->push_back(std::move(extra));
  }
  return {};
}

}  // namespace

SyncProgress& NoProgress() {
  static SilentProgress progress;
  return progress;
}

Result<std::vector<StorePath>> PlannedPaths(const Lock& lock, std::string_view toolchain,
                                            const SyncOptions& options) {
  TRY_ASSIGN(const OwnPaths own, PlannedOwnPaths(lock, toolchain, options));
  TRY_ASSIGN(std::vector<StorePath> planned, PlannedNixPaths(lock, own.names));
  planned.insert(planned.end(), own.planned.begin(), own.planned.end());
  return planned;
}

Result<NeededFiles> FilesToFetch(const Lock& lock, std::string_view toolchain,
                                 const SyncOptions& options) {
  TRY_ASSIGN(const OwnPaths own, PlannedOwnPaths(lock, toolchain, options));
  std::set<std::string> packages;
  NeededFiles needed;
  std::unique_ptr<ToolchainStore> store;
  if (FileExists(options.prefix + "/.lre/records")) {
    TRY_ASSIGN(store, ToolchainStore::Open(options.prefix));
  }
  for (size_t i = 0; i < own.planned.size(); ++i) {
    const bool made = store != nullptr && store->Contains(own.planned[i].path);
    const LockedPath& locked = lock.paths.at(own.names[i]);
    TRY(AddNeeded(lock, locked, store.get(), made, &needed.extras));
    if (!made) packages.insert(locked.packages.begin(), locked.packages.end());
  }
  needed.packages.assign(packages.begin(), packages.end());
  return needed;
}

Status Describe(const Lock& lock, const SyncOptions& options, bool self_test, Manifest* manifest) {
  TRY_ASSIGN(SystemFacts system, FindSystem(manifest->system));
  TRY_ASSIGN(SystemFacts target, FindSystem(manifest->Target()));
  const ToolchainSettings& settings = lock.toolchains.find(manifest->name)->second.settings;
  ProbeInput input{
      .paths = manifest->paths, .system = std::move(system), .target = std::move(target)};
  TRY_ASSIGN(manifest->cc, ProbeCc(input, options.prefix));
  if (manifest->cc) AddLibraries(settings.libraries, input, manifest);
  TRY_ASSIGN(manifest->java, ProbeJava(input));
  TRY_ASSIGN(manifest->python, ProbePython(input, options.prefix));
  TRY_ASSIGN(manifest->go, ProbeGo(input, options.prefix));
  TRY_ASSIGN(manifest->rust, ProbeRust(input, options.prefix));
  if (self_test) TRY(SelfTest(*manifest, options));
  manifest->env = ToolEnvironment(*manifest);
  return AddSettings(settings, manifest);
}

Result<Manifest> SyncToolchain(const Lock& lock, std::string_view toolchain,
                               const SyncOptions& options, SyncProgress& progress) {
  TRY_ASSIGN(std::vector<StorePath> planned, PlannedPaths(lock, toolchain, options));
  TRY_ASSIGN(std::unique_ptr<ToolchainStore> store, ToolchainStore::Open(options.prefix));
  std::string kept = ManifestPath(toolchain, planned, options);
  // From here on nobody else takes them away: neither a collection nor a worker that fetched them.
  std::vector<UniqueFd> held;
  for (const StorePath& path : planned) {
    TRY_ASSIGN(UniqueFd hold, store->HoldPath(path.path));
    held.push_back(std::move(hold));
    TRY(store->UnmarkFetched(path.path));
  }
  if (AllPresent(*store, planned)) {
    if (auto manifest = ReadKeptManifest(kept, planned)) return manifest;
  }
  TRY_ASSIGN(UniqueFd no_collection, store->HoldOffGarbageCollection());
  TRY_ASSIGN(const OwnPaths own, PlannedOwnPaths(lock, toolchain, options));
  const std::vector<StorePath> nix_paths(
      planned.begin(), planned.end() - static_cast<ptrdiff_t>(own.planned.size()));
  TRY(MakeMissing(lock, own, nix_paths, options, *store, progress));
  Manifest manifest{.name = std::string(toolchain),
                    .system = SystemOf(lock, std::string(toolchain)),
                    .prefix = options.prefix,
                    .lock = options.lock_digest,
                    .recipe = std::string(kRecipeVersion)};
  if (const std::string& target = TargetOf(lock, manifest.name); target != manifest.system)
    manifest.target = target;
  for (const StorePath& path : planned) {
    TRY_ASSIGN(StorePath made, store->Find(path.path));
    made.role = path.role;
    manifest.paths.push_back(std::move(made));
  }
  progress.Step("probing", toolchain, static_cast<int>(planned.size()),
                static_cast<int>(planned.size()));
  TRY(Describe(lock, options, /*self_test=*/true, &manifest));
  TRY(SystemFiles().MakeDirectories(std::string(ParentPath(kept))));
  TRY(WriteFileAtomically(kept, PrintManifest(manifest)));
  return manifest;
}

}  // namespace lre::toolchain
