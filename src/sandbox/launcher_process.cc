#include "sandbox/launcher_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "sandbox/cgroup.h"
#include "sandbox/message.h"
#include "sandbox/plan.h"
#include "sandbox/residents.h"
#include "sandbox/root.h"
#include "sandbox/slot_roots.h"
#include "sandbox/spawn.h"
#include "sandbox/system_calls.h"

namespace lre::sandbox {
namespace {

Status WriteText(const std::string& path, const std::string& text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, path);
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return ErrnoStatus(errno, path);
  return {};
}

// Moves `fd` to a number of ours and closes everything above: nothing of the program is inherited.
void KeepOnly(int fd, int number) {
  if (fd != number) dup2(fd, number);
  fcntl(number, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, static_cast<unsigned>(number) + 1, ~0u, 0u);
}

// A descriptor of ours must never take the place of a standard stream that is closed.
void FillStandardStreams() {
  int fd;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) {
  }
  if (fd > 2) close(fd);
}

void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 32; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // The terminal's Ctrl-C is for the program, which then ends us in order.
  setpgid(0, 0);
}

// Maps the one id of the command to the one it has outside. Called by the launcher: root may map to
// another id than its own only from outside the namespace.
Status MapIds(pid_t pid, uint32_t outside) {
  std::string proc = fmt::format("/proc/{}/", pid);
  if (geteuid() != 0) TRY(WriteText(proc + "setgroups", "deny"));
  uint32_t group = geteuid() == 0 ? outside : getegid();
  TRY(WriteText(proc + "gid_map", fmt::format("{} {} 1", kInsideId, group)));
  return WriteText(proc + "uid_map", fmt::format("{} {} 1", kInsideId, outside));
}

Status RaiseLoopback() {
  UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return ErrnoStatus(errno, "socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) return ErrnoStatus(errno, "raise lo");
  return {};
}

// The namespaces that a slot keeps. `launcher` answers one byte when the ids are mapped.
Status EnterSlotNamespaces(bool network, int launcher) {
  int flags = CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWNS | (network ? 0 : CLONE_NEWNET);
  if (unshare(flags) != 0) return ErrnoStatus(errno, "make user, mount and network namespaces");
  char byte = 'm';
  if (write(launcher, &byte, 1) != 1 || read(launcher, &byte, 1) != 1)
    return ErrorStatus(Code::kInternal, "the user namespace's ids could not be mapped");
  if (byte != 'm')
    return ErrorStatus(Code::kInternal, "map the ids of a user namespace: {}", strerror(byte));
  syscall(SYS_setgroups, 0, nullptr);  // refused to ordinary users, who keep theirs
  if (sethostname("lre", 3) != 0) return ErrnoStatus(errno, "set the host name");
  if (network) return {};
  TRY(RaiseLoopback());
  // A port that the last action's connections left in TIME_WAIT is free for the next one.
  (void)WriteText("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
  return {};
}

Result<std::string> ReadCommandFile(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoError(errno, "stat of a command");
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return ErrnoError(errno, "read of a command");
  return bytes;
}

// What a slot process keeps between commands.
struct SlotState {
  SpawnOptions options;
  int null_fd = -1;
  SlotRoots roots;
  bool memory_overlays = false;
  size_t writables = 0;  // of the command that ran last
  std::optional<SlotCgroup> cgroup;
  UniqueFd cgroups{-1};  // the directory that `cgroup` is in
  Residents residents;
};

// `streams`: how many descriptors come before that of the command, if there is one.
Result<Command> ReadCommand(const Packet& packet, size_t streams) {
  if (packet.fds.size() == streams) return UnpackCommand(packet.bytes.substr(sizeof(Request)));
  if (packet.fds.size() != streams + 1)
    return Error(Code::kInternal, "a request with {} descriptors", packet.fds.size());
  TRY_ASSIGN(std::string bytes, ReadCommandFile(packet.fds[streams].get()));
  return UnpackCommand(bytes);
}

Reply Refusal(const Status& status) {
  Reply reply;
  reply.code = status.code();
  reply.message = status.message();
  return reply;
}

void AddFromCgroup(const SlotCgroup& cgroup, Outcome& outcome) {
  // The kernel kills one process; what the others make of that is an exit code or a signal.
  bool failed = outcome.ending == Ending::kSignalled ||
                (outcome.ending == Ending::kExited && outcome.exit_code != 0);
  if (failed && cgroup.RanOutOfMemory()) outcome.ending = Ending::kOutOfMemory;
  outcome.memory_peak_bytes = cgroup.MemoryPeakBytes().value_or(outcome.memory_peak_bytes);
  // With what the kernel wrote later of files that were kept in memory; getrusage has not.
  if (std::optional<SlotCgroup::Transfer> transfer = cgroup.Transferred()) {
    outcome.read_bytes = transfer->read_bytes;
    outcome.write_bytes = transfer->write_bytes;
  }
}

Reply Serve(const Packet& packet, SlotState& slot, SpawnRequest& spawn) {
  Result<Command> command = ReadCommand(packet, 2);
  if (!command) return Refusal(command.error());
  spawn.stdout_fd = packet.fds[0].get();
  spawn.stderr_fd = packet.fds[1].get();
  Plan plan;
  BuildPlan(std::move(*command), plan);
  if (plan.in_memory && !slot.memory_overlays)
    return Refusal(ErrorStatus(Code::kFailedPrecondition, "no overlays in memory on this machine"));
  std::string name = MemoryName(spawn.id);
  spawn.memory_name = name.c_str();
  if (slot.options.namespaces) {
    Status entered = slot.roots.Enter(plan, slot.options);
    if (!entered.ok())
      return Refusal(ErrorStatus(Code::kInternal, "sandbox: {}", entered.message()));
    spawn.root = slot.roots.namespaces();
    slot.writables =
        static_cast<size_t>(std::count_if(plan.live.begin(), plan.live.end(), [](const Step& step) {
          return step.kind == StepKind::kWritable;
        }));
  }
  if (slot.cgroup)
    slot.cgroup->Begin({.memory_bytes_max = plan.command.memory_bytes_max,
                        .processes_max = slot.options.processes_max});
  Reply reply = Spawn(plan, slot.options, spawn);
  if (slot.cgroup) AddFromCgroup(*slot.cgroup, reply.outcome);
  // Else the program has it and removes it.
  if (plan.in_memory && reply.code != Code::kOk) (void)RemoveTreeAt(slot.options.memory_fd, name);
  return reply;
}

Reply StartResident(const Packet& packet, uint64_t id, SlotState& slot) {
  Result<Command> command = ReadCommand(packet, 3);
  if (!command) return Refusal(command.error());
  Plan plan;
  BuildPlan(std::move(*command), plan, /*stays=*/true);
  if (!slot.options.namespaces || !slot.memory_overlays)
    return Refusal(ErrorStatus(Code::kFailedPrecondition, "no process can stay on this machine"));
  Status entered = slot.roots.Enter(plan, slot.options);
  if (!entered.ok()) return Refusal(entered);
  std::string name = MemoryName(id);
  SpawnRequest spawn{.id = id,
                     .stdin_fd = packet.fds[2].get(),
                     .stdout_fd = packet.fds[0].get(),
                     .stderr_fd = packet.fds[1].get(),
                     .memory_name = name.c_str()};
  Reply reply = slot.residents.Start(plan, slot.options, spawn, slot.roots, slot.cgroups.get());
  if (reply.code != Code::kOk) (void)RemoveTreeAt(slot.options.memory_fd, name);
  return reply;
}

Reply ShowResident(const Packet& packet, const Request& request, SlotState& slot) {
  Result<Command> command = ReadCommand(packet, 0);
  if (!command) return Refusal(command.error());
  Plan plan;
  BuildShowPlan(std::move(*command), plan);
  return slot.residents.Show(plan, slot.options, request, slot.roots.namespaces().host_fd);
}

// Whatever is not kRun.
Reply ServeResident(const Packet& packet, const Request& request, SlotState& slot) {
  switch (request.kind) {
    case RequestKind::kStart:
      return StartResident(packet, request.id, slot);
    case RequestKind::kShow:
      return ShowResident(packet, request, slot);
    case RequestKind::kHide:
      return slot.residents.Hide(slot.options, request);
    case RequestKind::kUsage:
      return slot.residents.Usage(request, slot.roots.host_root_fd());
    case RequestKind::kStop:
      return slot.residents.Stop(slot.options, request);
    default:
      return Refusal(ErrorStatus(Code::kInternal, "a request of no known kind"));
  }
}

// Removes what a command left and prepares for the next.
void Renew(SlotState& slot) {
  if (!slot.options.namespaces) return;
  slot.roots.Renew();
  for (size_t i = 0; i < slot.writables; ++i)
    (void)RemoveTreeAt(slot.options.memory_fd, std::string(1, kWritableNames[i]));
}

void ServeRuns(int socket, SlotState& slot) {
  for (;;) {
    Result<Packet> packet = ReceivePacket(socket);
    if (!packet || packet->closed) return;
    Request request;
    if (packet->bytes.size() < sizeof request) continue;
    std::memcpy(&request, packet->bytes.data(), sizeof request);
    if (request.kind == RequestKind::kCancel) continue;  // too late
    SpawnRequest spawn{.id = request.id, .control_fd = socket, .stdin_fd = slot.null_fd};
    bool run = request.kind == RequestKind::kRun;
    Reply reply = run ? Serve(*packet, slot, spawn) : ServeResident(*packet, request, slot);
    if (spawn.control_closed) return;
    reply.id = request.id;
    // Before our copies of stdout and stderr are closed: their end would only wake the reader once
    // more. Whatever the command could write has been written.
    if (!SendPacket(socket, PackReply(reply)).ok()) return;
    packet->fds.clear();
    if (run || request.kind == RequestKind::kStart) Renew(slot);
  }
}

// The file system in memory that a slot keeps. Sets whether overlays may lie in it.
Result<UniqueFd> MakeSlotMemory(const SpawnOptions& options, bool& overlays) {
  Trouble trouble;
  UniqueFd memory(MountSlotMemory(options, trouble));
  if (!memory)
    return Error(Code::kInternal, "{} {}: {}", trouble.what, trouble.path, strerror(trouble.error));
  std::string path = fmt::format("/proc/self/fd/{}", memory.get());
  overlays = setxattr(path.c_str(), "user.overlay.lre", "", 0, 0) == 0 &&
             removexattr(path.c_str(), "user.overlay.lre") == 0;
  return memory;
}

// What all slot processes inherit.
struct Launching {
  const SandboxOptions& options;
  sock_fprog slot_filter, command_filter;
};

sock_fprog ProgramOf(std::vector<sock_filter>& filter) {
  return {static_cast<uint16_t>(filter.size()), filter.data()};
}

// A slot process. `pipe_fd`: towards the launcher, for mapping ids.
[[noreturn]] void RunSlot(int socket, int pipe_fd, const StartSlot& start,
                          const Launching& launching) {
  const SandboxOptions& options = launching.options;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_NAME, "lre-slot", 0, 0, 0);
  signal(SIGCHLD, SIG_DFL);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  const std::string place = ScratchPlace(options);
  SlotState slot{.options = {.namespaces = start.namespaces,
                             .scratch = place.c_str(),
                             .tmpfs_bytes_max = options.tmpfs_bytes_max,
                             .processes_max = options.processes_max,
                             .open_files_max = options.open_files_max,
                             .system_calls = &launching.command_filter}};
  Status status;
  if (!options.cgroup_directory.empty()) {
    slot.cgroups =
        UniqueFd(open(options.cgroup_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    Result<SlotCgroup> cgroup =
        SlotCgroup::Enter(options.cgroup_directory, fmt::to_string(getpid()));
    if (cgroup) slot.cgroup = std::move(*cgroup);
    if (!cgroup) status = cgroup.error();
  }
  if (status.ok() && start.namespaces) status = EnterSlotNamespaces(start.network, pipe_fd);
  UniqueFd null_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  slot.null_fd = null_fd.get();
  if (status.ok() && !null_fd) status = ErrnoStatus(errno, "/dev/null");
  UniqueFd memory;
  if (status.ok() && start.namespaces) {
    status = [&]() -> Status {
      TRY_ASSIGN(memory, MakeSlotMemory(slot.options, slot.memory_overlays));
      TRY_ASSIGN(slot.roots, SlotRoots::Open());
      return {};
    }();
    slot.options.memory_fd = memory.get();
    if (status.ok() && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &launching.slot_filter) != 0)
      status = ErrnoStatus(errno, "load the filter of system calls");
  }
  Reply ready;
  ready.code = status.code();
  ready.message = status.message();
  ready.memory_overlays = slot.memory_overlays;
  std::vector<int> fds;
  if (memory) fds.push_back(memory.get());
  if (SendPacket(socket, PackReply(ready), fds).ok() && status.ok()) ServeRuns(socket, slot);
  _exit(0);
}

void ForkSlot(int socket, const StartSlot& start, const Launching& launching) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  // Not fork(): there is one thread, and the handlers of fork would start those of a sanitizer
  // again.
  pid_t pid = _Fork();
  if (pid == 0) {
    // In order, so that the numbers do not collide.
    int ours = fcntl(socket, F_DUPFD_CLOEXEC, 100);
    int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, 100);
    dup2(ours, 3);
    dup2(theirs, 4);
    KeepOnly(4, 4);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    RunSlot(3, 4, start, launching);
  }
  close(ends[1]);
  char byte;
  if (pid > 0 && start.namespaces && read(ends[0], &byte, 1) == 1) {
    uint32_t outside = geteuid() == 0 ? launching.options.root_runs_as : geteuid();
    Status status = MapIds(pid, outside);
    byte = status.ok() ? 'm' : static_cast<char>(EPERM);
    (void)!write(ends[0], &byte, 1);
  }
  close(ends[0]);
}

}  // namespace

std::string ScratchPlace(const SandboxOptions& options) {
  return options.scratch_directory + "/mount";
}

void RunLauncherProcess(int socket, const SandboxOptions& options) {
  KeepOnly(socket, 3);
  FillStandardStreams();
  ResetSignals();
  signal(SIGCHLD, SIG_IGN);  // slot processes that end need no wait
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_NAME, "lre-launcher", 0, 0, 0);
  SystemCallFilters filters = MakeSystemCallFilters();
  Launching launching{options, ProgramOf(filters.slot), ProgramOf(filters.command)};
  for (;;) {
    Result<Packet> packet = ReceivePacket(3);
    if (!packet || packet->closed) _exit(0);
    StartSlot start;
    if (packet->bytes.size() != sizeof start || packet->fds.size() != 1) continue;
    std::memcpy(&start, packet->bytes.data(), sizeof start);
    ForkSlot(packet->fds[0].get(), start, launching);
  }
}

}  // namespace lre::sandbox
