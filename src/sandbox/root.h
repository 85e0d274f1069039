// Root: assembles the file tree that a command sees and moves the calling process into it. Called
// by pid 1 of a sandbox only: everything here is system calls, no allocation and no locks, because
// the memory is shared with the waiting slot process.
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

// REQUIRES: fresh mount, pid and ipc namespaces, CAP_SYS_ADMIN in their user namespace.
bool EnterRoot(Plan& plan, const SpawnOptions& options, Trouble& trouble);

}  // namespace lre::sandbox
