#include "load_server.h"

#include <fmt/format.h>
#include <time.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace lre::bench {

int64_t ProcessCpuNanos(pid_t pid) {
  clockid_t clock;
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

int64_t ServerMeter::CpuNanos() const {
  int64_t sum = 0;
  for (pid_t pid : pids_) sum += ProcessCpuNanos(pid);
  return sum;
}

int64_t ServerMeter::RssAnonBytes() const {
  int64_t sum = 0;
  for (pid_t pid : pids_) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    long long kilobytes = 0;
    for (std::string line; std::getline(status, line);)
      if (std::sscanf(line.c_str(), "RssAnon: %lld kB", &kilobytes) == 1) sum += kilobytes * 1024;
  }
  return sum;
}

}  // namespace lre::bench
