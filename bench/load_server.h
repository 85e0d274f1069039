// ServerMeter: CPU time and anonymous memory of the processes that make up a server, read from the
// kernel without their help. Confined to one thread; a process that has gone counts as nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace lre::bench {

class ServerMeter {
 public:
  explicit ServerMeter(std::vector<pid_t> pids) : pids_(std::move(pids)) {}
  bool known() const { return !pids_.empty(); }
  // User and system time of all threads, ended ones included, in nanoseconds.
  int64_t CpuNanos() const;
  // RssAnon: what the server allocated. Mapped files are page cache and do not count.
  int64_t RssAnonBytes() const;

 private:
  std::vector<pid_t> pids_;
};

int64_t ProcessCpuNanos(pid_t pid);

}  // namespace lre::bench
