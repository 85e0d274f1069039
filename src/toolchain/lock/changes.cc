#include "toolchain/lock/changes.h"

#include <fmt/format.h>

namespace lre::toolchain {

std::vector<LockChangeLine> DescribeChanges(const std::vector<LockChange>& changes) {
  std::vector<LockChangeLine> lines;
  size_t added = 0, removed = 0, updated = 0, fixes = 0;
  for (const LockChange& change : changes) {
    const bool security = change.suite.ends_with("-security");
    const std::string from =
        security ? fmt::format("security fix, {}", change.suite) : change.suite;
    if (change.before.empty()) {
      ++added;
      lines.push_back({fmt::format("+ {} {} ({})", change.package, change.after, change.suite)});
    } else if (change.after.empty()) {
      ++removed;
      lines.push_back({fmt::format("- {} {}", change.package, change.before)});
    } else {
      ++updated;
      if (security) ++fixes;
      lines.push_back(
          {fmt::format("  {} {} -> {} ({})", change.package, change.before, change.after, from),
           security});
    }
  }
  if (changes.empty()) return lines;
  lines.push_back({fmt::format("{} updated, {} of them security fixes; {} added, {} removed",
                               updated, fixes, added, removed)});
  return lines;
}

}  // namespace lre::toolchain
