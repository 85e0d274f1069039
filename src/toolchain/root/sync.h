// Sync: from a lock and its downloaded packages to store paths on disk and the manifest that
// everything generated derives from. Every path that exists is reused; a second sync only reads the
// records. Blocking, uses `threads` threads of its own; several syncs of one store may run at once,
// in one process or many. Errors name the package or path; nothing half-made is ever visible.
//
//   TRY_ASSIGN(auto needed, FilesToFetch(lock, "lre-cc", options));   // empty: nothing to download
//   ... fetch them: name -> file, hash -> file ...
//   TRY_ASSIGN(Manifest manifest, SyncToolchain(lock, "lre-cc", options, progress));
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "toolchain/lock/lock.h"
#include "toolchain/lock/manifest.h"
#include "toolchain/root/toolchain_store.h"

namespace lre::toolchain {

// Version of the rules that turn packages into trees: enters every identity. Any change to what a
// recipe writes must raise it.
inline constexpr std::string_view kRecipeVersion = "debian/2";

struct SyncOptions {
  std::string prefix =
      std::string(kStorePrefix);                // enters the bytes: only the default is ever shared
  std::map<std::string, std::string> packages;  // package name -> verified local .deb
  std::map<std::string, std::string> extras;    // SHA-256 -> verified local file
  std::string lock_digest;  // LockDigest of the lock and the toolchain, for the manifest
  int threads = 2;
  uint64_t tree_bytes_max =
      4ull << 30;  // of one unpacked store path, held in memory while it is made
};

// What sync is doing; called from the thread that called SyncToolchain, one step after the other.
class SyncProgress {
 public:
  virtual ~SyncProgress() = default;
  // "making", "/lre/store/…-gcc", 3 of 5; also "probing" and "present".
  virtual void Step(std::string_view what, std::string_view subject, int done, int total) = 0;
};
SyncProgress& NoProgress();

// What is needed to make the store paths which are not there yet.
struct NeededFiles {
  std::vector<std::string> packages;  // names in `lock.packages`, sorted
  std::vector<Extra> extras;
};
Result<NeededFiles> FilesToFetch(const Lock& lock, std::string_view toolchain,
                                 const SyncOptions& options);
// The path each role of the toolchain has or will have, references before referrers.
Result<std::vector<StorePath>> PlannedPaths(const Lock& lock, std::string_view toolchain,
                                            const SyncOptions& options);
// Makes what is missing, probes the compiler once, and returns the manifest, which is also kept in
// the store. kFailedPrecondition: it is for another system than this machine's, and its programs
// have to be asked and cannot be run here (emulation.h); kNotFound: no such toolchain, or a package
// is neither in the store nor in `options.packages`.
Result<Manifest> SyncToolchain(const Lock& lock, std::string_view toolchain,
                               const SyncOptions& options, SyncProgress& progress);

// Asks the compilers and interpreters of the store paths in `manifest` what they are, and fills in
// everything but the paths, as SyncToolchain does; with `self_test` tries them.
Status Describe(const Lock& lock, const SyncOptions& options, bool self_test, Manifest* manifest);

}  // namespace lre::toolchain
