// The toolchain store paths of a worker: what actions name is held while they run, and what is not
// there is fetched from the CAS (store_path_fetch.h), once however many actions want it. Fetched
// paths together are bounded; those least recently used go, never one that is held or that another
// path references. Paths that `lre sync` made on this machine are used but never evicted.
//
// Every path is hashed when it is installed, when this object first uses it, and then once per
// `check_interval`; those that were fetched also when this object is made, in the background. A
// damaged one is put into quarantine (ToolchainStore::Quarantine), which names the file and the
// actions that used the path since it was last found good, with those that still run; whoever wants
// the path next fetches it again. Thread-safe; Closure blocks while it hashes or fetches.
//
// A tenant's action gets a path from the tenant's index and blobs when they are there first, else
// from those of all. A path that came from a tenant is for that tenant, and for those whose own
// index, or that of all, names the same tree.
//
// Errors: kAborted when another tenant's path of the same name and other content is in the way;
// kNotFound names a path that is neither here nor in the index, and what is missing of it;
// kResourceExhausted when the bound is reached and all is in use; others are the CAS's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "worker/store_path_fetch.h"

namespace lre::worker {

struct HeldPath {
  std::string path;
  std::string tree;  // its digest, as manifests have it
};
// Store paths and all they reference, each once, and what keeps them where they are.
struct StoreClosure {
  std::vector<HeldPath> paths;
  std::shared_ptr<const void> hold;  // must not outlive the source
};

// For whom: the partition of an action, and the instance name that its client says.
struct StorePathTenant {
  store::Partition partition = 0;
  std::string instance_name;
};
// What the index of a tenant has; kNotFound when it has none.
using ReadTenantResult =
    std::function<Result<Bytes>(const StorePathTenant& tenant, const Digest& action)>;

// Where store paths come from.
class StorePathSource {
 public:
  virtual ~StorePathSource() = default;
  // `user` names who asks (an action's digest), for the report when a path turns out damaged;
  // empty: nobody who has to be named.
  virtual Result<StoreClosure> Closure(const std::vector<std::string>& paths,
                                       const std::string& user) = 0;
  // The same for a tenant, who may have paths that others do not have; by default as for all.
  virtual Result<StoreClosure> ClosureFor(const StorePathTenant& /*tenant*/,
                                          const std::vector<std::string>& paths,
                                          const std::string& user) {
    return Closure(paths, user);
  }
  // Paths that are installed and were found good, sorted, without blocking.
  virtual std::vector<std::string> Verified() { return {}; }
};

struct StorePathCacheOptions {
  std::string prefix = "/lre/store";
  uint64_t fetched_bytes_max = uint64_t{20} << 30;
  StorePathFetchOptions fetch;
  ReadTenantResult read_tenant;  // empty: tenants have no paths of their own
  Duration check_interval{0};    // 0: only when first used, and by Check; not at the start either
  size_t users_max = 10000;      // remembered of each path; those still running longest
  Metrics* metrics = nullptr;    // one of its own when not given
};

struct DamagedPath {
  std::string path;
  toolchain::StoreDamage damage;   // the first
  std::string quarantine;          // where it is now
  std::vector<std::string> users;  // since it was last found good or still, oldest first
};

class StorePathCache : public StorePathSource {
 public:
  // `cas` must outlive the source; `read` may be empty: then what is not in the store of this
  // machine is not there. That the store does not exist (yet) is only an error for an action that
  // names a path in it.
  static std::unique_ptr<StorePathCache> Make(store::BlobStore& cas, ReadActionResult read,
                                              StorePathCacheOptions options = {});
  // Hashes every path of the store now.
  virtual Result<std::vector<DamagedPath>> Check() = 0;
};

}  // namespace lre::worker
