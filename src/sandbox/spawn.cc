// Three processes share one memory here, as vfork does, so that no page table is copied:
//   the slot process S waits for the end of C (a clone that waits as vfork does wakes it twice);
//   pid 1 of the command, C, makes the root, starts the program, reaps whatever ends, and leaves
//     when that ended, its time is up or a cancel came; a mere subreaper kills the others itself;
//   the program's process A is there until it executes.
// C and A have stacks of their own and only make system calls. What C finds out it leaves in a
// Shared; S reads it after C is gone, and so is everything that could still write an output.
#include "sandbox/spawn.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "sandbox/root.h"

namespace lre::sandbox {
namespace {

// A process that executes or is killed never unwinds its stack: what the sanitizer marked there
// would still be marked for the next command on it.
#define LRE_NO_ADDRESS_SANITIZER __attribute__((no_sanitize_address))
constexpr size_t kStackBytes = 128 << 10;
constexpr int64_t kLookNs = 100'000'000;  // between two looks at how much memory is used

struct Shared {
  Plan* plan;
  const SpawnOptions* options;
  SpawnRequest* request;
  char* program_stack_top;

  bool entered = false;  // the root is made
  bool started = false;  // the program executes
  bool finished = false;
  Trouble trouble;
  int exec_error = 0;
  bool working_directory_missing = false;
  Ending ending = Ending::kExited;
  int wait_status = 0;
  int64_t wall_ns = 0;
  uint64_t memory_peak = 0;   // as far as looked at
  uint64_t others_files = 0;  // in the same memory: those of processes that stay
  rusage usage{};
};

LRE_NO_ADDRESS_SANITIZER int64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

LRE_NO_ADDRESS_SANITIZER void SetLimit(__rlimit_resource resource, uint64_t value) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max = std::min<uint64_t>(value, limit.rlim_max);
  setrlimit(resource, &limit);
}

LRE_NO_ADDRESS_SANITIZER void SetLimits(const SpawnOptions& options) {
  SetLimit(RLIMIT_CORE, 0);
  if (options.open_files_max != 0) SetLimit(RLIMIT_NOFILE, options.open_files_max);
  if (options.processes_max != 0) SetLimit(RLIMIT_NPROC, options.processes_max);
}

// The launcher process reset everything else when it started.
LRE_NO_ADDRESS_SANITIZER void RestoreSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// A, until it executes the program. Returning ends it.
LRE_NO_ADDRESS_SANITIZER int RunProgram(void* argument) {
  Shared& shared = *static_cast<Shared*>(argument);
  const Plan& plan = *shared.plan;
  const SpawnRequest& request = *shared.request;
  setsid();
  if (dup2(request.stdin_fd, 0) < 0 || dup2(request.stdout_fd, 1) < 0 ||
      dup2(request.stderr_fd, 2) < 0) {
    shared.exec_error = errno;
    return 127;
  }
  syscall(SYS_close_range, 3u, ~0u, 0u);
  umask(022);
  const std::string& root = plan.command.root_directory;
  if (!root.empty() && chroot(root.c_str()) != 0) {
    shared.exec_error = errno;
    return 127;
  }
  if (chdir(plan.command.working_directory.c_str()) != 0) {
    shared.exec_error = errno;
    shared.working_directory_missing = true;
    return 127;
  }
  SetLimits(*shared.options);
  RestoreSignals();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      (shared.options->namespaces &&
       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, shared.options->system_calls) != 0)) {
    shared.exec_error = errno;
    return 127;
  }
  int error = ENOENT;
  for (const char* program : plan.programs) {
    execve(program, plan.arguments.data(), plan.environment.data());
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    // As a shell: what exists but cannot be run ends the search only when it is no permission
    // matter.
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    // The file is there: its interpreter is what is missing.
    if (errno == ENOENT && access(program, F_OK) == 0) {
      error = ELIBBAD;
      break;
    }
  }
  shared.exec_error = error;
  return 127;
}

// Kills every descendant; orphans come to us (subreaper) until none is left.
LRE_NO_ADDRESS_SANITIZER void KillDescendants() {
  for (;;) {
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0) close(fd);
    pid_t child = 0;
    for (ssize_t i = 0; i < size; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        child = child * 10 + (text[i] - '0');
      } else {
        if (child > 0) kill(child, SIGKILL);
        child = 0;
      }
    }
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

// True when the command is to end now.
LRE_NO_ADDRESS_SANITIZER bool ReadControl(Shared& shared) {
  char bytes[sizeof(Request) + 1];
  ssize_t size = recv(shared.request->control_fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (size < 0) return errno != EAGAIN && errno != EINTR;
  if (size == 0) {
    shared.request->control_closed = true;
    return true;
  }
  Request request;
  if (static_cast<size_t>(size) != sizeof request) return false;
  std::memcpy(&request, bytes, sizeof request);
  return request.kind == RequestKind::kCancel && request.id == shared.request->id;
}

LRE_NO_ADDRESS_SANITIZER uint64_t FilesInMemory(const Shared& shared) {
  struct statfs info;
  if (fstatfs(shared.options->memory_fd, &info) != 0) return 0;
  uint64_t bytes =
      static_cast<uint64_t>(info.f_blocks - info.f_bfree) * static_cast<uint64_t>(info.f_bsize);
  return bytes - std::min(bytes, shared.others_files);
}

// The next decimal number of `text`; moves `text` behind it.
LRE_NO_ADDRESS_SANITIZER uint64_t NextNumber(const char*& text, const char* end) {
  uint64_t value = 0;
  while (text != end && (*text < '0' || *text > '9')) ++text;
  for (; text != end && *text >= '0' && *text <= '9'; ++text)
    value = value * 10 + static_cast<uint64_t>(*text - '0');
  return value;
}

// What processes have for themselves, in bytes: resident pages that are of no file. 0: it is gone.
LRE_NO_ADDRESS_SANITIZER uint64_t PrivateMemory(int proc, const char* pid) {
  char path[32], text[128];
  size_t size = std::strlen(pid);
  if (size + sizeof "/statm" > sizeof path) return 0;
  std::memcpy(path, pid, size);
  std::memcpy(path + size, "/statm", sizeof "/statm");
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text);
  close(fd);
  const char *at = text, *end = text + std::max<ssize_t>(length, 0);
  NextNumber(at, end);
  uint64_t resident = NextNumber(at, end), of_files = NextNumber(at, end);
  return resident > of_files ? (resident - of_files) * 4096 : 0;
}

LRE_NO_ADDRESS_SANITIZER uint64_t MemoryOfProcesses() {
  int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return 0;
  uint64_t sum = 0;
  alignas(dirent64) char entries[4096];
  for (;;) {
    long size = syscall(SYS_getdents64, proc, entries, sizeof entries);
    if (size <= 0) break;
    for (long at = 0; at < size;) {
      auto* entry = reinterpret_cast<dirent64*>(entries + at);
      at += entry->d_reclen;
      // pid 1 is ours: it shares the memory of the slot process.
      bool is_process = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                        std::strcmp(entry->d_name, "1") != 0;
      if (is_process) sum += PrivateMemory(proc, entry->d_name);
    }
  }
  close(proc);
  return sum;
}

// Looks at how much memory is used; true: too much, `ending` says of what.
LRE_NO_ADDRESS_SANITIZER bool UsesTooMuch(Shared& shared) {
  const Command& command = shared.plan->command;
  uint64_t files = FilesInMemory(shared);
  if (shared.plan->in_memory && files > command.memory_files_bytes_max) {
    shared.ending = Ending::kOutgrewMemory;
    return true;
  }
  if (command.memory_bytes_max == 0 || !shared.options->namespaces) return false;
  uint64_t used = files + MemoryOfProcesses();
  shared.memory_peak = std::max(shared.memory_peak, used);
  if (used <= command.memory_bytes_max) return false;
  shared.ending = Ending::kOutOfMemory;
  return true;
}

// Reaps until the program ended or must; sets ending and wait_status.
LRE_NO_ADDRESS_SANITIZER void Attend(Shared& shared, pid_t program, int signals) {
  int64_t timeout = shared.plan->command.timeout.count();
  int64_t start = NowNs();
  bool looks = shared.plan->in_memory || shared.plan->command.memory_bytes_max != 0;
  int64_t look_at = looks ? start + kLookNs : INT64_MAX;
  int64_t end_at = timeout > 0 ? start + timeout : INT64_MAX;
  shared.ending = Ending::kCancelled;
  for (;;) {
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended != program) continue;
      shared.wait_status = status;
      shared.ending = WIFSIGNALED(status) ? Ending::kSignalled : Ending::kExited;
      // It may have failed for want of room in memory between two looks.
      if (status != 0 && shared.plan->in_memory &&
          FilesInMemory(shared) > shared.plan->command.memory_files_bytes_max)
        shared.ending = Ending::kOutgrewMemory;
      shared.wall_ns = NowNs() - start;
      return;
    }
    int64_t now = NowNs();
    if (now >= end_at) {
      shared.ending = Ending::kTimedOut;
      break;
    }
    if (now >= look_at) {
      if (UsesTooMuch(shared)) break;
      look_at = now + kLookNs;
    }
    int64_t wake_at = std::min(look_at, end_at);
    int64_t left = wake_at - now;
    timespec wait{left / 1'000'000'000, left % 1'000'000'000};
    pollfd polls[2] = {{signals, POLLIN, 0}, {shared.request->control_fd, POLLIN, 0}};
    if (ppoll(polls, 2, wake_at == INT64_MAX ? nullptr : &wait, nullptr) < 0) continue;
    if (polls[0].revents != 0) {
      signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {
      }
    }
    if (polls[1].revents != 0 && ReadControl(shared)) break;
  }
  shared.wall_ns = NowNs() - start;
}

LRE_NO_ADDRESS_SANITIZER bool Enter(Shared& shared) {
  const SpawnOptions& options = *shared.options;
  if (options.namespaces) {
    if (!EnterRoot(*shared.plan, options, *shared.request, shared.trouble)) return false;
  } else {
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  }
  shared.entered = true;
  // After the change of user, which clears it.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return true;
}

// Sets `started` when it executes.
LRE_NO_ADDRESS_SANITIZER pid_t StartProgram(Shared& shared) {
  pid_t program =
      clone(RunProgram, shared.program_stack_top, CLONE_VM | CLONE_VFORK | SIGCHLD, &shared);
  shared.started = program > 0 && shared.exec_error == 0;
  if (program < 0) {
    shared.trouble = {errno, "start a process", nullptr};
    shared.entered = false;
  }
  return program;
}

// C. Returning ends it and with it every process of the sandbox.
LRE_NO_ADDRESS_SANITIZER int FirstProcess(void* argument) {
  Shared& shared = *static_cast<Shared*>(argument);
  const SpawnOptions& options = *shared.options;
  if (!Enter(shared)) return 1;
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) {
    shared.trouble = {errno, "make a signalfd", nullptr};
    shared.entered = false;
    return 1;
  }
  if (shared.plan->in_memory) shared.others_files = FilesInMemory(shared);
  pid_t program = StartProgram(shared);
  if (program < 0) return 1;
  if (shared.started) Attend(shared, program, signals);
  getrusage(RUSAGE_CHILDREN, &shared.usage);
  if (!options.namespaces) {
    KillDescendants();
    getrusage(RUSAGE_CHILDREN, &shared.usage);
  }
  shared.finished = true;
  return 0;
}

// One mapping for the life of the slot process, with a guard page below each stack.
char* StackTop(int index) {
  static char* memory = [] {
    constexpr size_t kPage = 4096;
    void* area = mmap(nullptr, 2 * (kStackBytes + kPage), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED, "stacks for the sandbox");
    auto* bytes = static_cast<char*>(area);
    mprotect(bytes, kPage, PROT_NONE);
    mprotect(bytes + kPage + kStackBytes, kPage, PROT_NONE);
    return bytes;
  }();
  return memory + (static_cast<size_t>(index) + 1) * (kStackBytes + 4096);
}

Reply Refusal(Code code, std::string message) {
  Reply reply;
  reply.code = code;
  reply.message = std::move(message);
  return reply;
}

Reply ExecRefusal(const Shared& shared) {
  const std::string& program = shared.plan->command.arguments[0];
  int error = shared.exec_error;
  if (shared.working_directory_missing)
    return Refusal(Code::kInvalidArgument,
                   fmt::format("working directory {}: {}", shared.plan->command.working_directory,
                               strerror(error)));
  if (error == ELIBBAD)
    return Refusal(Code::kNotFound,
                   fmt::format("{}: its interpreter is not in the sandbox", program));
  Code code = Code::kInvalidArgument;  // ENOEXEC, E2BIG, ...
  if (error == ENOENT) code = Code::kNotFound;
  if (error == EACCES || error == EPERM) code = Code::kPermissionDenied;
  if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == EIO || error == ETXTBSY)
    code = Code::kInternal;
  return Refusal(code, fmt::format("{}: {}", program, strerror(error)));
}

Duration FromTimeval(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

// Why nothing was started; OK when the program executes or did.
Reply StartReply(const Shared& shared) {
  if (!shared.entered && shared.trouble.what != nullptr)
    return Refusal(Code::kInternal,
                   fmt::format("sandbox: {} {}: {}", shared.trouble.what,
                               shared.trouble.path != nullptr ? shared.trouble.path : "",
                               strerror(shared.trouble.error)));
  return shared.exec_error != 0 ? ExecRefusal(shared) : Reply();
}

struct Birth {
  Shared shared;
  const std::function<void()>& enter;
  int report_fd;
};

// The C of a process that stays. S does not wait for it, so it has a copy of the memory.
int ResidentFirstProcess(void* argument) {
  Birth& birth = *static_cast<Birth*>(argument);
  birth.enter();
  pid_t program = Enter(birth.shared) ? StartProgram(birth.shared) : -1;
  std::string report = PackReply(StartReply(birth.shared));
  (void)!write(birth.report_fd, report.data(), report.size());
  // Nor the pipes of the program: their other ends see when it is gone.
  syscall(SYS_close_range, 3u, ~0u, 0u);
  if (!birth.shared.started) return 1;
  for (pid_t ended = 0; ended != program;) {
    ended = waitpid(-1, nullptr, 0);
    if (ended < 0 && errno != EINTR) break;
  }
  return 0;
}

void CloseTrees(Plan& plan) {
  // C closed its copies; these numbers mean nothing in S, whose descriptor table is its own.
  for (Step& step : plan.live) step.tree = -1;
}

}  // namespace

Reply Spawn(Plan& plan, const SpawnOptions& options, SpawnRequest& request) {
  Shared shared{&plan, &options, &request, StackTop(1)};
  int flags = CLONE_VM | SIGCHLD;
#ifdef __SANITIZE_THREAD__
  flags |= CLONE_VFORK;  // both share the thread's own memory, where this sanitizer keeps its state
#endif
  if (options.namespaces) flags |= CLONE_NEWPID;  // mounts and ipc are fresh already
  pid_t first = clone(FirstProcess, StackTop(0), flags, &shared);
  if (first < 0)
    return Refusal(Code::kInternal,
                   fmt::format("start a process in new namespaces: {}", strerror(errno)));
  int status = 0;
  while (waitpid(first, &status, 0) < 0 && errno == EINTR) {
  }
  CloseTrees(plan);
  if (Reply refused = StartReply(shared); refused.code != Code::kOk) return refused;
  if (!shared.finished)
    return Refusal(Code::kInternal,
                   fmt::format("the first process of the sandbox ended by signal {}",
                               WIFSIGNALED(status) ? WTERMSIG(status) : 0));
  Reply reply;
  Outcome& outcome = reply.outcome;
  outcome.ending = shared.ending;
  if (shared.ending == Ending::kExited) {
    outcome.exit_code = WEXITSTATUS(shared.wait_status);
  } else {
    outcome.signal = shared.ending == Ending::kSignalled ? WTERMSIG(shared.wait_status) : SIGKILL;
    outcome.exit_code = 128 + outcome.signal;
  }
  outcome.wall = Duration(shared.wall_ns);
  outcome.user_cpu = FromTimeval(shared.usage.ru_utime);
  outcome.system_cpu = FromTimeval(shared.usage.ru_stime);
  outcome.memory_peak_bytes =
      std::max<int64_t>(shared.usage.ru_maxrss * 1024, static_cast<int64_t>(shared.memory_peak));
  outcome.read_bytes = shared.usage.ru_inblock * 512;
  outcome.write_bytes = shared.usage.ru_oublock * 512;
  return reply;
}

Reply SpawnResident(Plan& plan, const SpawnOptions& options, SpawnRequest& request,
                    const std::function<void()>& enter, pid_t& first) {
  first = -1;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return Refusal(Code::kInternal, fmt::format("pipe: {}", strerror(errno)));
  UniqueFd report(ends[0]), theirs(ends[1]);
  Birth birth{{&plan, &options, &request, StackTop(1)}, enter, theirs.get()};
  pid_t pid = clone(ResidentFirstProcess, StackTop(0), CLONE_NEWPID | SIGCHLD, &birth);
  if (pid < 0)
    return Refusal(Code::kInternal,
                   fmt::format("start a process in new namespaces: {}", strerror(errno)));
  theirs.Reset();
  std::string bytes;
  char buffer[4096];
  for (ssize_t n; (n = read(report.get(), buffer, sizeof buffer)) != 0;) {
    if (n > 0) bytes.append(buffer, static_cast<size_t>(n));
    if (n < 0 && errno != EINTR) break;
  }
  Result<Reply> reply = UnpackReply(bytes);
  if (!reply)
    reply = Refusal(Code::kInternal, "the first process of the sandbox ended before it began");
  if (reply->code == Code::kOk) {
    first = pid;
  } else {
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  return std::move(*reply);
}

}  // namespace lre::sandbox
