// How large randomised tests are and where their files lie. Unit tests take seconds; with
// LRE_STRESS set in the environment the same tests run many times longer. For tests only.
#pragma once

#include <cstdlib>
#include <string>

#include "base/file.h"

namespace lre::store {

inline int StressSize(int quick, int heavy) {
  return std::getenv("LRE_STRESS") != nullptr ? heavy : quick;
}

// For TempDir: memory where there is some, as a real fdatasync takes as long as others keep the
// disk busy. Not for tests of TryRead: tmpfs has no reads that never block.
inline std::string StressDirectory() { return FileExists("/dev/shm") ? "/dev/shm" : ""; }

}  // namespace lre::store
