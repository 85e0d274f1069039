// Root: assembles the file tree that a command sees. BuildRoot makes the part that stays the same
// from command to command, once; EnterRoot adds what each command has of its own and moves the
// calling process in. Called by processes that share the memory of the waiting slot process:
// everything here is system calls, no allocation and no locks.
#pragma once

#include "sandbox/plan.h"
#include "sandbox/spawn.h"

namespace lre::sandbox {

// What went wrong: literals and pointers into the plan.
struct Trouble {
  int error = 0;
  const char* what = nullptr;
  const char* path = nullptr;
};

// Makes `plan.prepared` the root of a new mount namespace. REQUIRES: the host's mount namespace,
// CAP_SYS_ADMIN in its user namespace.
bool BuildRoot(Plan& plan, const SpawnOptions& options, Trouble& trouble);

// Adds `plan.live` and enters. REQUIRES: pid 1 of a fresh pid namespace, unless the plan has no
// /proc; CAP_SYS_ADMIN in the user namespace of both mount namespaces.
bool EnterRoot(Plan& plan, const SpawnOptions& options, const SpawnRequest& request,
               Trouble& trouble);

// Mounts the slot's file system in memory on options.scratch; -1 on failure. REQUIRES: a mount
// namespace of the slot's own, CAP_SYS_ADMIN in its user namespace.
int MountSlotMemory(const SpawnOptions& options, Trouble& trouble);

}  // namespace lre::sandbox
