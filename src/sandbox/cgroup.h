// SlotCgroup: the cgroup (version 2) that a slot process and everything it starts lives in, where
// the operator delegated one. One per slot and not per command: making, entering and removing one
// takes longer than a small command. Limits are set before a command; what happened is read after
// it. Confined to the slot process. Files that the kernel does not offer (a controller that is not
// delegated) are left out: the rlimits and the looking of spawn.cc hold without them.
// https://docs.kernel.org/admin-guide/cgroup-v2.html
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/status.h"

namespace lre::sandbox {

// Hands the controllers memory, pids, cpu and io of `directory` on to its children, as far as it
// has them, and removes what slots of a process that is gone left. The directory must have no
// process of its own (the kernel's rule) and be writable.
Status PrepareCgroup(const std::string& directory);

class SlotCgroup {
 public:
  struct Limits {
    uint64_t memory_bytes_max = 0;  // 0: none
    uint64_t processes_max = 0;
  };
  struct Transfer {
    int64_t read_bytes = 0, write_bytes = 0;
  };

  // Makes the cgroup `name` in `directory` and moves the calling process into it. Its share of the
  // processor is that of every other slot, however many processes its command has.
  static Result<SlotCgroup> Enter(const std::string& directory, const std::string& name);
  // The same where the path of the directory means nothing any more.
  static Result<SlotCgroup> EnterAt(int directory, const std::string& name);
  // After the last process of it ended.
  static void RemoveAt(int directory, const std::string& name);
  // Before a command. Also forgets the peak of the one before.
  void Begin(const Limits& limits);
  // Whether a process was killed for want of memory since Begin.
  bool RanOutOfMemory() const;
  // Of all processes and files in memory since Begin; empty: the kernel does not tell.
  std::optional<int64_t> MemoryPeakBytes() const;
  // From and to block devices since Begin; empty: the kernel does not tell.
  std::optional<Transfer> Transferred() const;

 private:
  Transfer TransferredEver() const;
  uint64_t MemoryKills() const;

  UniqueFd memory_max_, swap_max_, memory_events_, memory_peak_, processes_max_, io_stat_;
  Limits limits_;
  bool limits_set_ = false, peak_known_ = false;
  uint64_t kills_before_ = 0;
  Transfer transferred_before_;
};

}  // namespace lre::sandbox
