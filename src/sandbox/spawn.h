// Spawn: makes the namespaces of one command, runs it to its end and kills what is left. Runs in a
// slot process, which has one thread and waits meanwhile; see spawn.cc for how.
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "sandbox/message.h"
#include "sandbox/plan.h"

namespace lre::sandbox {

// The uid and gid inside.
inline constexpr uid_t kInsideId = 1000;

struct SpawnOptions {
  bool namespaces = true;
  const char* scratch = "/tmp";  // a directory of the host to assemble roots on
  // The slot's file system in memory, mounted in the host's tree; -1 without namespaces.
  int memory_fd = -1;
  uint64_t tmpfs_bytes_max = 0;
  uint64_t processes_max = 0;
  uint64_t open_files_max = 0;
  // What commands in namespaces add to the filter of the slot process (system_calls.h).
  const sock_fprog* system_calls = nullptr;
};

// Mount namespaces of one command, see slot_roots.h.
struct RootNamespaces {
  int host_fd = -1;  // the host's tree
  int root_fd = -1;  // a copy of a built root; the slot process is in it
};

struct SpawnRequest {
  uint64_t id = 0;
  int control_fd = -1;  // a cancel Request, or its end, ends the command
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;
  RootNamespaces root;
  const char* memory_name = nullptr;    // of the directory for an overlay in memory
  const char* writable_home = nullptr;  // a directory to be made in memory for the writable ones
  bool control_closed = false;          // set when the other end is gone
};

// The names in the slot's file system in memory of the command's writable directories.
constexpr char kWritableNames[] = "0123456789abcdefghijklmnopqrstuvwxyz";
inline constexpr size_t kWritablesMax = sizeof kWritableNames - 1;

// Runs `plan` to its end; the Reply is complete but for the id.
Reply Spawn(Plan& plan, const SpawnOptions& options, SpawnRequest& request);

// Starts `plan` as a process that stays; returns when it executes. `first`: its pid 1, which the
// caller kills and waits for; -1 when the Reply says why there is none. `enter` is called in it
// before it takes its place. REQUIRES: options.namespaces.
Reply SpawnResident(Plan& plan, const SpawnOptions& options, SpawnRequest& request,
                    const std::function<void()>& enter, pid_t& first);

}  // namespace lre::sandbox
