// The toolchain store on disk: immutable trees `<prefix>/<hash>-<role>`, read-only, each with a
// record in `<prefix>/.lre/` of its tree digest, references and file hashes. A path is visible only
// when it is whole: it is built in `<prefix>/.lre/tmp/`, synced, given its record, then renamed.
// Trees `/nix/store/<hash>-<name>` belong to it too: what it put there, with records as the others
// have, and what Nix put there and it was told to use (Adopt), which it never removes.
// Many processes may use one store: adding and collecting take a lock file, reading takes none.
// Thread-safe. Format: docs/formats/store.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/nix/store_name.h"
#include "toolchain/root/cas_tree.h"

namespace lre::toolchain {

inline constexpr std::string_view kStorePrefix = "/lre/store";
// Characters of lower-case hex before the '-' of a store path's name.
inline constexpr size_t kStoreHashLength = 32;

// Every distinct store path named in `text`, sorted: "<prefix>/" followed by 32 hex digits, '-' and
// a role ([a-z0-9][a-z0-9._+-]*; a trailing '.' or '-' is not part of it). One pass at memory
// speed: the worker runs it over every input file. "…/H-gcc/usr/bin/gcc" names "…/H-gcc".
std::vector<std::string> FindStoreReferences(std::string_view text,
                                             std::string_view prefix = kStorePrefix);
// Those and "/nix/store/<hash>-<name>" (nix/store_name.h says where such a name ends).
std::vector<std::string> FindAllReferences(std::string_view text,
                                           std::string_view prefix = kStorePrefix);
// FindAllReferences for text that arrives in pieces (a reference may straddle two).
class StoreReferenceScanner {
 public:
  explicit StoreReferenceScanner(std::string_view prefix = kStorePrefix);
  void Update(std::string_view piece);
  std::vector<std::string> Finish();

 private:
  void ScanUpTo(std::string_view text, size_t limit);

  std::string prefix_, tail_;
  std::vector<std::string> found_;
};

// Whether `name` is "<32 hex>-<role>".
bool IsStoreName(std::string_view name);

struct StoreDamage {
  std::string path;  // of the file or directory, absolute
  std::string
      reason;  // "missing", "bytes differ: <digest> recorded, <digest> found", "unexpected", ...
};

struct GcOptions {
  std::vector<std::string> roots;  // store paths that stay, with their closures
  bool dry_run = false;
};
struct GcReport {
  std::vector<std::string> removed;  // store paths
  std::vector<std::string> in_use;   // would go, but an action or a sync uses them
  uint64_t freed_bytes = 0;
};

// A path that came from a CAS and that nobody on this machine asked to keep.
struct FetchedPath {
  StorePath path;
  WallTime last_use;
};

class ToolchainStore {
 public:
  // Opens the store, making its folders when they are absent. kPermissionDenied says how to make
  // it.
  // Nothing is made in `nix_prefix` before a path comes there.
  static Result<std::unique_ptr<ToolchainStore>> Open(
      std::string prefix = std::string(kStorePrefix),
      std::string nix_prefix = std::string(kNixStorePrefix));
  ~ToolchainStore();

  const std::string& prefix() const { return prefix_; }
  // Whether `path` is one that this store could hold, of either kind.
  bool IsPath(std::string_view path) const { return IsOwn(path) || IsNix(path); }
  // Complete store paths, sorted by path; of one whose record is damaged the path alone.
  Result<std::vector<StorePath>> List() const;
  // The record of one path; kNotFound when it is not (wholly) there.
  Result<StorePath> Find(std::string_view path) const;
  bool Contains(std::string_view path) const;
  // `paths` and everything they reference, references before referrers. kNotFound names a missing
  // one.
  Result<std::vector<StorePath>> Closure(std::span<const std::string> paths) const;
  // The recorded listing, for staging and pushing without hashing again.
  Result<TreeListing> Listing(std::string_view path) const;
  // Hashes the path again; empty when it is what was recorded. A damaged record is damage too.
  Result<std::vector<StoreDamage>> Verify(std::string_view path) const;
  // Removes what no root reaches and nobody holds, abandoned temporary trees and quarantined ones.
  Result<GcReport> CollectGarbage(const GcOptions& options);
  // Removes one path. kNotFound; kFailedPrecondition names a path that references it; kUnavailable
  // while someone holds it.
  Status Remove(std::string_view path);
  // Takes a damaged path out of the store, also while it is held: who uses it keeps the files, who
  // comes next finds it absent. Returns where it is now, with its record.
  Result<std::string> Quarantine(std::string_view path);
  // While the descriptor is open, the path stays if it is there and may be added if it is not: held
  // by actions that use it, by syncs that build on it. Does not need to exist.
  Result<UniqueFd> HoldPath(std::string_view path) const;

  // Fetched paths carry a mark; a path without one stays until a collection. Marking again says
  // that it was used.
  Status MarkFetched(std::string_view path);
  Status UnmarkFetched(std::string_view path);
  bool IsFetched(std::string_view path) const;
  // Least recently used first.
  Result<std::vector<FetchedPath>> ListFetched() const;

  // For makers of paths (sync, the worker that fetches one from the CAS).
  // A new private folder on the file system of `path`, or of the prefix when that is empty.
  Result<std::string> NewStaging(std::string_view path = {});
  // Turns the tree in `staging` into the store path `path.path`: makes it read-only, syncs,
  // records, renames. `path.tree` must be what `listing` encodes to; with `rehash` the files are
  // read again and compared (for trees that came from elsewhere). Ok and nothing to do when the
  // path exists already.
  Status Add(const std::string& staging, const StorePath& path, const TreeListing& listing,
             bool rehash);
  // Records a tree that stands at `path.path` already and is another program's: it is used and
  // checked as others are, and stays when its record goes. `path.tree` is what `listing` encodes
  // to.
  Status Adopt(const StorePath& path, const TreeListing& listing);
  // Holds the exclusive lock of one store path name while it is being made, so that two processes
  // do not do the same work twice. Released when the descriptor goes.
  Result<UniqueFd> LockName(std::string_view name);
  // While held, CollectGarbage refuses: for whoever makes or stages paths that no root names yet.
  Result<UniqueFd> HoldOffGarbageCollection();

 private:
  ToolchainStore(std::string prefix, std::string nix_prefix)
      : prefix_(std::move(prefix)), nix_prefix_(std::move(nix_prefix)) {}
  bool IsOwn(std::string_view path) const;
  bool IsNix(std::string_view path) const;
  bool IsAdopted(std::string_view path) const;
  Status WriteRecord(const StorePath& path, const TreeListing& listing) const;
  std::string RecordPath(std::string_view name, std::string_view suffix) const;
  std::string LockPath(std::string_view name) const;
  Result<bool> RemoveUnlessHeld(const StorePath& path);

  const std::string prefix_, nix_prefix_;
};

}  // namespace lre::toolchain
