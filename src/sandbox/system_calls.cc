// The program is a binary search over ranges of system call numbers that share a verdict: about a
// third of the instructions that a comparison per call would take, and the kernel runs it for each
// number once when it is loaded, to know those that are always allowed.
#include "sandbox/system_calls.h"

#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <span>

#include "base/check.h"

namespace lre::sandbox {
namespace {

constexpr const char* kAllowed[] = {
    // Files.
    "access", "cachestat", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range",
    "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate",
    "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lgetxattr", "link",
    "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir",
    "mkdirat", "mknod", "mknodat", "name_to_handle_at", "newfstatat", "open", "openat", "openat2",
    "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat",
    "renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink",
    "symlinkat", "sync_file_range", "tee", "truncate", "umask", "unlink", "unlinkat", "utime",
    "utimensat", "utimes", "vmsplice", "write", "writev",
    // Waiting.
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "io_cancel", "io_destroy",
    "io_getevents", "io_pgetevents", "io_setup", "io_submit", "poll", "ppoll", "pselect6", "select",
    "signalfd", "signalfd4", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // Memory.
    "brk", "get_mempolicy", "madvise", "map_shadow_stack", "mbind", "membarrier", "memfd_create",
    "memfd_secret", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "mseal",
    "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
    "process_madvise", "process_mrelease", "remap_file_pages", "set_mempolicy",
    "set_mempolicy_home_node", "shmat", "shmctl", "shmdt", "shmget",
    // Processes and threads; clone and unshare: see Special.
    "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex",
    "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "get_thread_area", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp",
    "getpid", "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage",
    "getsid", "gettid", "getuid", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "modify_ldt", "personality", "pidfd_getfd",
    "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64", "process_vm_readv",
    "process_vm_writev", "ptrace", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "seccomp", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsuid",
    "setgid", "setgroups", "setpgid", "setpriority", "setregid", "setresgid", "setresuid",
    "setreuid", "setrlimit", "setsid", "setuid", "sigaltstack", "tgkill", "tkill", "vfork", "wait4",
    "waitid",
    // Talking to each other and to the loopback; socket: see Special.
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink",
    "msgctl", "msgget", "msgrcv", "msgsnd", "recvfrom", "recvmmsg", "recvmsg", "semctl", "semget",
    "semop", "semtimedop", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
    // Time and the machine.
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "getrandom",
    "gettimeofday", "nanosleep", "pause", "setitimer", "sysinfo", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "times", "uname"};

constexpr const char* kRefused[] = {"acct",
                                    "add_key",
                                    "adjtimex",
                                    "bpf",
                                    "clock_adjtime",
                                    "clock_settime",
                                    "delete_module",
                                    "fanotify_init",
                                    "fanotify_mark",
                                    "finit_module",
                                    "fspick",
                                    "init_module",
                                    "io_uring_enter",
                                    "io_uring_register",
                                    "io_uring_setup",
                                    "ioperm",
                                    "iopl",
                                    "kcmp",
                                    "kexec_file_load",
                                    "kexec_load",
                                    "keyctl",
                                    "mount",
                                    "open_by_handle_at",
                                    "perf_event_open",
                                    "quotactl",
                                    "quotactl_fd",
                                    "reboot",
                                    "request_key",
                                    "setdomainname",
                                    "sethostname",
                                    "settimeofday",
                                    "swapoff",
                                    "swapon",
                                    "syslog",
                                    "userfaultfd",
                                    "vhangup"};

// Refused to commands; the slot process makes sandboxes with them. Also clone and unshare with new
// namespaces: see kClone.
constexpr const char* kMaking[] = {"chroot",        "fsconfig",   "fsmount",   "fsopen",
                                   "mount_setattr", "move_mount", "open_tree", "pivot_root",
                                   "setns",         "umount2"};

constexpr const char* kIgnored[] = {"sync", "syncfs"};

// Calls that libseccomp is too old to know by name; the numbers are the same on all architectures.
const std::map<std::string_view, int> kNewCalls = {
    {"cachestat", 451},  {"fchmodat2", 452},  {"map_shadow_stack", 453},
    {"futex_wake", 454}, {"futex_wait", 455}, {"futex_requeue", 456},
    {"mseal", 462}};

enum class Verdict { kUnknown, kAllowed, kRefused, kIgnored, kClone, kUnshare, kSocket };

using Program = std::vector<sock_filter>;

sock_filter Statement(int code, uint32_t value) {
  return {static_cast<uint16_t>(code), 0, 0, value};
}
sock_filter Jump(int test, uint32_t value, uint8_t if_true, uint8_t if_false) {
  return {static_cast<uint16_t>(BPF_JMP | test | BPF_K), if_true, if_false, value};
}
sock_filter Load(size_t offset) {
  return Statement(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
sock_filter Return(uint32_t action) { return Statement(BPF_RET | BPF_K, action); }

constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
// The low half: flags and families beyond 32 bits do not exist (little-endian machines).
constexpr size_t kFirstArgument = offsetof(seccomp_data, args);
constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

Program Leaf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUnknown:
      return {Return(SECCOMP_RET_ERRNO | ENOSYS)};
    case Verdict::kAllowed:
      return {Return(SECCOMP_RET_ALLOW)};
    case Verdict::kRefused:
      return {Return(kEperm)};
    case Verdict::kIgnored:
      return {Return(SECCOMP_RET_ERRNO | 0)};
    case Verdict::kClone:
    case Verdict::kUnshare: {
      // In the flags of clone this bit belongs to the signal.
      uint32_t new_time = verdict == Verdict::kUnshare ? CLONE_NEWTIME : 0;
      return {Load(kFirstArgument), Jump(BPF_JSET, kNewNamespaces | new_time, 0, 1), Return(kEperm),
              Return(SECCOMP_RET_ALLOW)};
    }
    case Verdict::kSocket:
      return {Load(kFirstArgument),
              Jump(BPF_JEQ, AF_UNIX, 4, 0),
              Jump(BPF_JEQ, AF_INET, 3, 0),
              Jump(BPF_JEQ, AF_INET6, 2, 0),
              Jump(BPF_JEQ, AF_NETLINK, 1, 0),
              Return(kEperm),
              Return(SECCOMP_RET_ALLOW)};
  }
  return {};
}

struct Range {
  uint32_t begin;  // up to the next range's
  Verdict verdict;
};

// The search among `ranges`, with the number in the accumulator.
Program Search(std::span<const Range> ranges) {
  if (ranges.size() == 1) return Leaf(ranges[0].verdict);
  size_t middle = ranges.size() / 2;
  Program below = Search(ranges.first(middle));
  Program above = Search(ranges.subspan(middle));
  Program program;
  if (below.size() <= 255) {
    program.push_back(Jump(BPF_JGE, ranges[middle].begin, static_cast<uint8_t>(below.size()), 0));
  } else {
    program.push_back(Jump(BPF_JGE, ranges[middle].begin, 0, 1));
    program.push_back(Statement(BPF_JMP | BPF_JA, static_cast<uint32_t>(below.size())));
  }
  program.insert(program.end(), below.begin(), below.end());
  program.insert(program.end(), above.begin(), above.end());
  return program;
}

// The number of a call on this machine; negative: it has none.
int NumberOf(const char* name) {
  int number = seccomp_syscall_resolve_name(name);
  if (number >= 0) return number;
  auto it = kNewCalls.find(name);
  return it == kNewCalls.end() ? -1 : it->second;
}

using Verdicts = std::map<int, Verdict>;  // by number

template <size_t N>
void Add(Verdicts& verdicts, const char* const (&names)[N], Verdict verdict) {
  for (const char* name : names) {
    int number = NumberOf(name);
    if (number >= 0) CHECK(verdicts.emplace(number, verdict).second, name);
  }
}

Verdicts VerdictsOfSlot() {
  Verdicts verdicts;
  Add(verdicts, kAllowed, Verdict::kAllowed);
  Add(verdicts, kMaking, Verdict::kAllowed);
  Add(verdicts, {"clone", "unshare"}, Verdict::kAllowed);
  Add(verdicts, kRefused, Verdict::kRefused);
  Add(verdicts, kIgnored, Verdict::kIgnored);
  Add(verdicts, {"socket"}, Verdict::kSocket);
  return verdicts;
}

// clone3 is unknown: it passes its flags where no filter sees them; libc falls back to clone.
Verdicts VerdictsOfCommand() {
  Verdicts verdicts;
  Add(verdicts, kMaking, Verdict::kRefused);
  Add(verdicts, {"clone"}, Verdict::kClone);
  Add(verdicts, {"unshare"}, Verdict::kUnshare);
  return verdicts;
}

// `others`: the verdict on all that have none.
std::vector<Range> MakeRanges(const Verdicts& verdicts, Verdict others) {
  std::vector<Range> ranges = {{0, others}};
  auto begin = [&](int number, Verdict verdict) {
    if (ranges.back().verdict == verdict) return;
    auto at = static_cast<uint32_t>(number);
    if (ranges.back().begin == at) {
      ranges.back().verdict = verdict;
    } else {
      ranges.push_back({at, verdict});
    }
  };
  int next = 0;
  for (auto [number, verdict] : verdicts) {
    if (number > next) begin(next, others);
    begin(number, verdict);
    next = number + 1;
  }
  begin(next, others);  // what is to come, and x32's table at 0x40000000
  return ranges;
}

}  // namespace

SystemCallFilters MakeSystemCallFilters() {
  SystemCallFilters filters;
  filters.slot = {Load(offsetof(seccomp_data, arch)), Jump(BPF_JEQ, seccomp_arch_native(), 1, 0),
                  Return(SECCOMP_RET_ERRNO | ENOSYS), Load(offsetof(seccomp_data, nr))};
  // Calls of other architectures never get past the other one.
  filters.command = {Load(offsetof(seccomp_data, nr))};
  Program search = Search(MakeRanges(VerdictsOfSlot(), Verdict::kUnknown));
  filters.slot.insert(filters.slot.end(), search.begin(), search.end());
  search = Search(MakeRanges(VerdictsOfCommand(), Verdict::kAllowed));
  filters.command.insert(filters.command.end(), search.begin(), search.end());
  return filters;
}

}  // namespace lre::sandbox
