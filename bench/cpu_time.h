// Processor time of a process with everything below it, also of what it has waited for: on a
// machine that others use as well it says more than the clock. Of the resolution of the kernel's
// ticks.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "base/file.h"

namespace lre::bench {

inline double CpuSecondsOfTree(pid_t pid) {
  const std::string proc = fmt::format("/proc/{}", pid);
  auto stat = ReadFile(proc + "/stat");
  if (!stat || stat->rfind(')') == std::string::npos) return 0;
  // Fields 14 to 17 of proc(5), and the name may hold anything.
  std::istringstream fields(stat->substr(stat->rfind(')') + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  double ticks = 0;
  for (int i = 14; i < 18; ++i) {
    double value = 0;
    fields >> value;
    ticks += value;
  }
  double seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  DIR* tasks = opendir((proc + "/task").c_str());
  while (const dirent* task = tasks != nullptr ? readdir(tasks) : nullptr) {
    auto children = ReadFile(fmt::format("{}/task/{}/children", proc, task->d_name));
    std::istringstream numbers(children ? *children : "");
    for (pid_t child; numbers >> child;) seconds += CpuSecondsOfTree(child);
  }
  if (tasks != nullptr) closedir(tasks);
  return seconds;
}

}  // namespace lre::bench
