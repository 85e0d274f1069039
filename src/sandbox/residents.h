// Residents: the processes that stay of one slot (sandbox::Resident), seen from its slot process.
// Each has a mount, pid and ipc namespace of its own and a directory in the slot's file system in
// memory with its writable directories; what it is shown is mounted into its namespace from
// outside. Confined to the slot process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/file.h"
#include "sandbox/message.h"
#include "sandbox/plan.h"
#include "sandbox/slot_roots.h"
#include "sandbox/spawn.h"

namespace lre::sandbox {

class Residents {
 public:
  ~Residents();
  // `plan` has been entered (SlotRoots::Enter); its namespaces are used up. `cgroups`: a directory
  // of cgroups, or -1.
  Reply Start(Plan& plan, const SpawnOptions& options, SpawnRequest& request, SlotRoots& roots,
              int cgroups);
  // Of the resident request.resident.
  Reply Show(Plan& plan, const SpawnOptions& options, const Request& request, int host_fd);
  Reply Hide(const SpawnOptions& options, const Request& request) const;
  Reply Usage(const Request& request, int host_root) const;
  Reply Stop(const SpawnOptions& options, const Request& request);

 private:
  struct Resident {
    pid_t first = -1;
    UniqueFd mounts{-1};  // its mount namespace
    std::string home;
    std::string target;  // below home: the directory where it is shown something
    std::string cgroup;  // its name; empty: none
  };
  const Resident* Find(const Request& request) const;
  static void Kill(const Resident& resident);

  std::map<uint64_t, Resident> residents_;
  int cgroups_ = -1;
};

}  // namespace lre::sandbox
