// The seccomp filter of a sandboxed command: which system calls it may make. Made once, by the
// launcher process; a constant afterwards. See seccomp(2) and bpf(4) of classic BPF.
//
// Allowed is what compilers, linkers, tests, interpreters, debuggers and the sanitizers need
// (ptrace and personality among it). Refused with EPERM is what reaches parts of the kernel that no
// build needs: io_uring, keyrings, bpf, perf, mounts, modules, clocks, new namespaces, sockets of
// rare families (a vsock reaches the hypervisor past every namespace). Unknown calls, and those of
// other architectures, answer ENOSYS, so that a program falls back to what it knows. sync and
// syncfs do nothing and succeed: no file of an action has to outlive a power cut, and the host's
// disk is shared.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace lre::sandbox {

// Loads into a task with no-new-privileges by prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER).
std::vector<sock_filter> MakeSystemCallFilter();

}  // namespace lre::sandbox
