// RootMounts: what the read-only root of an action holds besides its input root: the toolchain
// store paths it names, with their closure; /bin, /usr/bin, the loader and /lib/<triple> as links
// into the default toolchain; a few files in /etc, written by us. Thread-safe.
//
// Errors: FAILED_PRECONDITION naming a store path that this machine does not have and cannot fetch,
// and how to get it; those of the StorePathSource.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "sandbox/sandbox.h"
#include "toolchain/lock/manifest.h"
#include "worker/store_path_cache.h"

namespace lre::worker {

// /etc/passwd and the like, the same for every action on every worker.
std::vector<sandbox::Mount> EtcMounts();

// What the default toolchain adds to every root.
struct Userland {
  std::vector<std::string> store_paths;  // bound with their closure
  std::vector<sandbox::Mount> links;
};
// From the roles `base` and `libc` of a manifest; a role that is not there adds nothing.
// kFailedPrecondition when a path of the manifest is not on this machine, or it is for another
// system.
Result<Userland> UserlandOf(const toolchain::Manifest& manifest);

struct RootContents {
  std::vector<sandbox::Mount> mounts;
  std::vector<HeldPath> store_paths;  // that are mounted
  // Keeps the store paths where they are: until the command has ended.
  std::shared_ptr<const void> hold;
};

// Looks for a userland; nullopt: there is none yet. Errors: kUnavailable, when nobody can say.
using UserlandFinder = std::function<Result<std::optional<Userland>>()>;

class RootMounts {
 public:
  // `source` must outlive this. `find_userland` is asked now and then, by an action that needs it,
  // until it has one: a worker may start before the first `lre push`.
  RootMounts(StorePathSource& source, UserlandFinder find_userland,
             std::vector<sandbox::Mount> others);

  // For an action whose arguments, environment and input files name `store_paths`.
  // `user` and `tenant` as in StorePathSource::ClosureFor.
  Result<RootContents> For(const std::set<std::string>& store_paths, const std::string& user = {},
                           const StorePathTenant& tenant = {});

 private:
  Result<Userland> FindUserland();

  StorePathSource& source_;
  const UserlandFinder find_userland_;
  const std::vector<sandbox::Mount> others_;
  std::mutex mutex_;
  std::optional<Userland> userland_;
  Instant look_again_at_{};
};

}  // namespace lre::worker
