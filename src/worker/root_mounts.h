// RootMounts: what the read-only root of an action holds besides its input root: the toolchain
// store paths it names, with their closure; /bin, /usr/bin, the loader and /lib/<triple> as links
// into the default toolchain; a few files in /etc, written by us. Thread-safe.
//
// Errors: FAILED_PRECONDITION naming a store path that this machine does not have, and how to get
// it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "sandbox/sandbox.h"
#include "toolchain/lock/manifest.h"

namespace lre::worker {

// Where store paths come from.
class StorePathSource {
 public:
  virtual ~StorePathSource() = default;
  // `paths` and all they reference, each once. kNotFound names one that is not there.
  virtual Result<std::vector<std::string>> Closure(const std::vector<std::string>& paths) = 0;
};
// The toolchain store of this machine, read when asked; that it does not exist (yet) is only an
// error for an action that names a path in it.
std::unique_ptr<StorePathSource> LocalStorePaths(std::string prefix = "/lre/store");

// /etc/passwd and the like, the same for every action on every worker.
std::vector<sandbox::Mount> EtcMounts();

// What the default toolchain adds to every root.
struct Userland {
  std::vector<std::string> store_paths;  // bound with their closure
  std::vector<sandbox::Mount> links;
};
// From the roles `base` and `libc` of a manifest; a role that is not there adds nothing.
// kFailedPrecondition when a path of the manifest is not on this machine.
Result<Userland> UserlandOf(const toolchain::Manifest& manifest);

class RootMounts {
 public:
  // `source` must outlive this.
  RootMounts(StorePathSource& source, Userland userland, std::vector<sandbox::Mount> others);

  // For an action whose arguments, environment and input files name `store_paths`.
  Result<std::vector<sandbox::Mount>> For(const std::set<std::string>& store_paths);

 private:
  StorePathSource& source_;
  const Userland userland_;
  const std::vector<sandbox::Mount> others_;
  std::mutex mutex_;
  // Sets of store paths are few and their closures never change.
  std::map<std::set<std::string>, std::vector<sandbox::Mount>> known_;
};

}  // namespace lre::worker
