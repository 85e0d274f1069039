// Programs of another system than this machine's: run by qemu-user, which the kernel calls for them
// (binfmt_misc), so that a compiler driver that starts its parts works as at home. Either the
// machine is set up so (Debian: qemu-user-binfmt), or this process does it for itself and its
// children, without root and without a trace on the machine: from Linux 6.7 a user namespace has a
// binfmt_misc of its own.
#pragma once

#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace lre::toolchain {

// For one program that is asked or tried: emulated, and on a machine that has more to do.
inline constexpr Duration kProbeTime = std::chrono::minutes(10);

// Ok when this process can run programs of `system`; kFailedPrecondition says what would make it
// so. Thread-safe.
Status CheckRunsHere(std::string_view system);

// Makes CheckRunsHere true, if that can be had. REQUIRES: the process has one thread. After it this
// user is itself in a user namespace of its own.
Status MakeRunHere(std::string_view system);

}  // namespace lre::toolchain
