// SlotRoots: the mount namespaces that a slot process keeps, so that a command need not wait for a
// root to be assembled or taken apart. For each set of mounts there is one built root; a command
// runs in a copy of its mount namespace (and an ipc namespace) that was made while the slot was
// idle, and the copy goes after the answer was sent: taking mounts apart waits for a grace period
// of the kernel, which on a loaded machine is longer than everything else together.
//
// Confined to the slot process, whose own mount namespace it changes. A built root is used only as
// long as every mounted path is the same file as when it was built. At most kRootsMax are kept, the
// least recently used goes.
#pragma once

#include <sys/types.h>

#include <list>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "sandbox/plan.h"
#include "sandbox/root.h"

namespace lre::sandbox {

class SlotRoots {
 public:
  static constexpr size_t kRootsMax = 8;

  // REQUIRES: the slot's namespaces are entered; /proc is there.
  static Result<SlotRoots> Open();
  // Makes the slot process's mount and ipc namespaces those of the next command, with
  // plan.prepared as root.
  Status Enter(Plan& plan, const SpawnOptions& options);
  RootNamespaces namespaces() const { return {host_.get(), current_.get()}; }
  // The host's "/".
  int host_root_fd() const { return host_root_.get(); }
  // Gives the namespaces of the next command to a process that stays; Renew must follow.
  UniqueFd Give() { return std::move(current_); }
  // After a command: leaves its namespaces for those of the next, which is expected to want the
  // same root.
  void Renew();

 private:
  using Identities = std::vector<std::pair<dev_t, ino_t>>;
  struct Root {
    std::string key;
    Identities identities;
    UniqueFd mounts;  // mount namespace
  };
  Identities Identify(const Plan& plan) const;
  Result<UniqueFd> Build(Plan& plan, const SpawnOptions& options) const;
  Status Copy(const Root& root);

  UniqueFd host_;          // mount namespace
  UniqueFd host_root_;     // "/" in it
  UniqueFd names_;         // /proc/self/ns of the slot process
  std::list<Root> roots_;  // most recently used first
  UniqueFd current_;       // mount namespace of the next command; a copy of roots_.front()
};

}  // namespace lre::sandbox
