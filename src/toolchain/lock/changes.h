// What `lre lock` says about the lock it wrote, beside the one before. Pure function, thread-safe.
#pragma once

#include <string>
#include <vector>

#include "toolchain/lock/solver.h"

namespace lre::toolchain {

struct LockChangeLine {
  std::string text;
  bool security = false;  // it comes from a suite of security fixes
};
// One line for each change, then one with the numbers; nothing when nothing changed.
std::vector<LockChangeLine> DescribeChanges(const std::vector<LockChange>& changes);

}  // namespace lre::toolchain
