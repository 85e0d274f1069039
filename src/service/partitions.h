// Partitions: in which tenant's key space of blobs and results a call acts. Constant once made,
// hence thread-safe.
//
// Rules, the first that fits: a caller whose TLS certificate says an identity that has a partition
// acts there, whatever instance name it says. An instance name that ends in "partition-<number>"
// is that of a worker (store/partition_name.h) and means that partition; it is taken from the
// workers that are named, and from everyone when no identity has a partition. An instance name that
// has a partition, or lies below one that has (the longest counts), means that, unless the
// partition belongs to identities. Everything else is partition 0, and so is everything without
// rules.
//
// A partition's number is made of its name, so it is the same after every restart and on every
// server; names that meet in one number are refused. Errors: kInvalidArgument for instance names
// that are none, kPermissionDenied for partitions of others.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/call.h"
#include "scheduler/scheduler.h"
#include "store/blob_store.h"

namespace lre::service {

// From a configuration: pairs of (instance name or identity, name of a partition).
struct PartitionRules {
  std::vector<std::pair<std::string, std::string>> instances, identities;
  std::vector<std::string> workers;  // identities
  bool empty() const { return instances.empty() && identities.empty(); }
};

// Never 0.
store::Partition PartitionNumber(std::string_view name);
// kInvalidArgument unless 1 to 64 letters, digits, '-', '_' and '.'.
Status CheckPartitionName(std::string_view name);

class Partitions {
 public:
  // Everything in partition 0.
  Partitions() = default;
  static const Partitions& None();
  static Result<Partitions> Make(const PartitionRules& rules);

  // The partition of a call that says this instance name, which is checked as well.
  Result<store::Partition> Admit(const rpc::CallInfo& call, std::string_view instance_name) const;
  // The same of a name that is known to be sound.
  Result<store::Partition> Of(std::string_view identity, std::string_view instance_name) const {
    if (numbers_.empty()) [[likely]]
      return store::Partition{0};
    return Find(identity, instance_name);
  }
  // The one that a caller cannot leave; nullopt: those that instance names say.
  std::optional<store::Partition> OfIdentity(std::string_view identity) const;
  // Whether a caller may be a worker, and so see what all tenants run: those that are named, and
  // everyone when no identity has a partition.
  bool MayWork(std::string_view identity) const {
    return identities_.empty() || workers_.contains(identity);
  }

  // The partitions whose operations a caller may see: its own one, or, when it has none, those that
  // belong to no identity.
  scheduler::Scope ScopeOf(std::string_view identity) const;

 private:
  Result<store::Partition> Find(std::string_view identity, std::string_view instance_name) const;

  std::map<std::string, store::Partition, std::less<>> instances_, identities_;
  std::set<std::string, std::less<>> workers_;
  std::map<store::Partition, std::string> numbers_;  // and their names
  // Those that belong to identities.
  std::shared_ptr<const std::set<store::Partition>> closed_ =
      std::make_shared<const std::set<store::Partition>>();
};

// Refuses the calls of those who may not work; `partitions` must outlive them.
void ForWorkersOnly(std::vector<rpc::Method>& methods, const Partitions& partitions);

}  // namespace lre::service
