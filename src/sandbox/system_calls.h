// The seccomp filters of a sandboxed command: which system calls it may make. Made once, by the
// launcher process; a constant afterwards. See seccomp(2) and bpf(4) of classic BPF.
//
// They are two, because loading one costs the kernel time for each instruction and each system call
// there is: the slot process loads the large one once, and what it starts inherits it; the small
// one, which each command adds, takes away what the slot process itself needs to make a sandbox.
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

// Each loads into a task with no-new-privileges, or CAP_SYS_ADMIN in its user namespace, by
// prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER).
struct SystemCallFilters {
  std::vector<sock_filter> slot, command;
};
SystemCallFilters MakeSystemCallFilters();

}  // namespace lre::sandbox
