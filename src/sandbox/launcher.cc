// The program's side of the sandbox: starts the launcher process, keeps one connection per slot
// process, and carries the bytes of stdout and stderr from pipes into their files.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <tuple>

#include "base/check.h"
#include "base/guarded.h"
#include "sandbox/cgroup.h"
#include "sandbox/launcher_process.h"
#include "sandbox/message.h"
#include "sandbox/plan.h"
#include "sandbox/sandbox.h"
#include "sandbox/slot.h"

namespace lre::sandbox {
namespace {

// One output stream: what comes out of the pipe is kept, or goes into the file, up to a bound.
class Output {
 public:
  static Result<Output> Open(const Command& command, bool is_stderr) {
    Output output;
    output.command_ = &command;
    output.is_stderr_ = is_stderr;
    output.left_ = command.output_bytes_max;
    if (command.output_kept_bytes_max == 0) TRY(output.OpenFile());
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
    output.read_end_ = UniqueFd(ends[0]);
    output.write_end_ = UniqueFd(ends[1]);
    // Ours does not block; theirs must (the two ends have flags of their own).
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return output;
  }
  int read_fd() const { return read_end_.get(); }  // -1 once ended
  int write_fd() const { return write_end_.get(); }
  void CloseWriteEnd() { write_end_.Reset(); }
  bool truncated() const { return truncated_; }
  bool in_file() const { return static_cast<bool>(file_); }
  std::string TakeKept() { return std::move(kept_); }

  // Moves what is there now.
  Status Drain() {
    char buffer[1 << 16];
    while (read_end_) {
      ssize_t size = read(read_end_.get(), buffer, sizeof buffer);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) return {};
      if (size <= 0) {
        read_end_.Reset();
        return {};
      }
      uint64_t wanted = std::min<uint64_t>(left_, static_cast<uint64_t>(size));
      truncated_ |= wanted < static_cast<uint64_t>(size);
      left_ -= wanted;
      TRY(Take({buffer, wanted}));
      if (static_cast<size_t>(size) < sizeof buffer) return {};
    }
    return {};
  }

 private:
  Status OpenFile() {
    const std::string& path = is_stderr_ ? command_->stderr_path : command_->stdout_path;
    file_ = UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    return file_ ? Status() : ErrnoStatus(errno, path);
  }
  Status Take(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (command_->on_output) command_->on_output(is_stderr_, bytes);
    if (!file_) {
      if (kept_.size() + bytes.size() <= command_->output_kept_bytes_max) {
        kept_ += bytes;
        return {};
      }
      TRY(OpenFile());
      TRY(Write(kept_));
      kept_ = {};
    }
    return Write(bytes);
  }
  Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = write(file_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "write output of the command");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return {};
  }

  const Command* command_ = nullptr;
  bool is_stderr_ = false;
  UniqueFd file_, read_end_, write_end_;
  std::string kept_;
  uint64_t left_ = 0;
  bool truncated_ = false;
};

// Slot number, namespaces, host network: what a slot process is made for.
using SlotKey = std::tuple<int, bool, bool>;

class ProcessLauncher final : public Launcher {
 public:
  ProcessLauncher(pid_t pid, UniqueFd socket, SandboxOptions options,
                  std::unique_ptr<TempDir> scratch)
      : pid_(pid),
        options_(std::move(options)),
        scratch_(std::move(scratch)),
        socket_(std::move(socket)) {}

  ~ProcessLauncher() override {
    slots_.With([](auto& slots) { slots.clear(); });  // ends what runs
    socket_.With([](UniqueFd& socket) { socket.Reset(); });
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  Result<Outcome> Run(const Command& command, std::stop_token stop) override {
    TRY(CheckCommand(command));
    if (command.slot < 0 || command.slot >= options_.slots)
      return Error(Code::kInvalidArgument, "slot {} of a sandbox with {} slots", command.slot,
                   options_.slots);
    bool namespaces = command.isolation == Isolation::kNamespaces;
    std::shared_ptr<Slot> slot = FindSlot({command.slot, namespaces, command.network});
    std::lock_guard running(slot->running);
    if (!slot->socket) TRY(StartSlotProcess({namespaces, command.network || !namespaces}, *slot));
    Result<Outcome> outcome = RunIn(*slot, command, stop);
    return outcome;
  }

  Result<std::unique_ptr<Resident>> StartResident(const Command& command) override {
    TRY(CheckCommand(command));
    if (command.slot < 0 || command.slot >= options_.slots ||
        command.isolation != Isolation::kNamespaces || command.overlays.size() != 1 ||
        !command.overlays[0].by_entry)
      return Error(Code::kInvalidArgument, "this command cannot stay in slot {}", command.slot);
    std::shared_ptr<Slot> slot = FindSlot({command.slot, true, command.network});
    std::lock_guard running(slot->running);
    if (!slot->socket) TRY(StartSlotProcess({true, command.network}, *slot));
    return StartSlotResident(slot, command);
  }

  uint32_t file_owner() const override {
    return geteuid() == 0 ? options_.root_runs_as : geteuid();
  }
  bool overlay_allowed() const override { return overlay_allowed_; }
  bool memory_overlay_allowed() const override { return memory_overlay_allowed_; }
  void ProbeOverlays();

 private:
  std::shared_ptr<Slot> FindSlot(SlotKey key) {
    return slots_.With([&](auto& slots) {
      auto& slot = slots[key];
      if (!slot) slot = std::make_shared<Slot>();
      return slot;
    });
  }

  Status StartSlotProcess(StartSlot start, Slot& slot) {
    TRY_ASSIGN(SocketPair pair, MakeSocketPair());
    std::string_view bytes(reinterpret_cast<const char*>(&start), sizeof start);
    TRY(socket_.With(
        [&](UniqueFd& socket) { return SendPacket(socket.get(), bytes, {pair.theirs.get()}); }));
    pair.theirs.Reset();
    TRY_ASSIGN(Packet packet, ReceivePacket(pair.ours.get()));
    if (packet.closed)
      return ErrorStatus(Code::kInternal, "the sandbox's slot process did not start");
    TRY_ASSIGN(Reply ready, UnpackReply(packet.bytes));
    if (ready.code != Code::kOk)
      return ErrorStatus(Code::kInternal, "sandbox: {}; `lre doctor` says what to do",
                         ready.message);
    slot.memory.reset();
    if (!packet.fds.empty())
      slot.memory = std::make_shared<const UniqueFd>(std::move(packet.fds[0]));
    slot.socket = std::move(pair.ours);
    ++slot.generation;
    return {};
  }

  Result<Outcome> RunIn(Slot& slot, const Command& command, std::stop_token stop) {
    TRY_ASSIGN(Output out, Output::Open(command, false));
    TRY_ASSIGN(Output err, Output::Open(command, true));
    UniqueFd cancel(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!cancel) return ErrnoError(errno, "eventfd");
    Request request{RequestKind::kRun, ++slot.last_id};
    if (Status sent =
            SendCommand(slot.socket.get(), request, command, {out.write_fd(), err.write_fd()});
        !sent.ok()) {
      slot.socket.Reset();
      return std::unexpected(sent);
    }
    out.CloseWriteEnd();
    err.CloseWriteEnd();
    std::stop_callback on_stop(stop, [&] { eventfd_write(cancel.get(), 1); });
    Result<Reply> reply = Await(slot, request.id, {&out, &err}, cancel.get());
    if (!reply) {
      slot.socket.Reset();  // the next run starts another slot process
      return std::unexpected(reply.error());
    }
    if (reply->code != Code::kOk) return std::unexpected(Status(reply->code, reply->message));
    Outcome outcome = std::move(reply->outcome);
    bool in_memory = std::any_of(command.overlays.begin(), command.overlays.end(),
                                 [](const Command::Overlay& o) { return o.upper.empty(); });
    if (in_memory)
      outcome.files = std::make_unique<MemoryFiles>(slot.memory, MemoryName(request.id));
    TRY(out.Drain());
    TRY(err.Drain());
    outcome.output_truncated = out.truncated() || err.truncated();
    outcome.stdout_in_file = out.in_file();
    outcome.stderr_in_file = err.in_file();
    outcome.stdout_kept = out.TakeKept();
    outcome.stderr_kept = err.TakeKept();
    return outcome;
  }

  // Carries output until the reply of run `id` comes.
  Result<Reply> Await(Slot& slot, uint64_t id, std::array<Output*, 2> outputs, int cancel) {
    bool cancelled = false;
    Status output_status;
    for (;;) {
      pollfd polls[4] = {{slot.socket.get(), POLLIN, 0},
                         {outputs[0]->read_fd(), POLLIN, 0},
                         {outputs[1]->read_fd(), POLLIN, 0},
                         {cancelled ? -1 : cancel, POLLIN, 0}};
      if (poll(polls, 4, -1) < 0) continue;
      for (int i = 0; i < 2; ++i) {
        if (polls[i + 1].revents == 0) continue;
        Status drained = outputs[i]->Drain();
        if (drained.ok()) continue;
        // The disk is full or worse: end the command; what it printed is lost.
        output_status = drained;
        eventfd_write(cancel, 1);
      }
      if (polls[3].revents != 0) {
        cancelled = true;
        Request request{RequestKind::kCancel, id};
        TRY(SendPacket(slot.socket.get(), AsBytes(request)));
      }
      if (polls[0].revents == 0) continue;
      TRY_ASSIGN(Packet packet, ReceivePacket(slot.socket.get()));
      if (packet.closed) return Error(Code::kInternal, "the sandbox's slot process ended");
      TRY_ASSIGN(Reply reply, UnpackReply(packet.bytes));
      if (reply.id != id) continue;
      TRY(output_status);
      return reply;
    }
  }

  const pid_t pid_;
  const SandboxOptions options_;
  std::unique_ptr<TempDir> scratch_;  // when none was given; removed when the launcher is gone
  bool overlay_allowed_ = false, memory_overlay_allowed_ = false;  // constant after Start
  Guarded<UniqueFd> socket_;
  Guarded<std::map<SlotKey, std::shared_ptr<Slot>>> slots_;
};

// An overlay of empty directories over a program that does not exist: the answer is kNotFound when
// the kernel mounted it.
void ProcessLauncher::ProbeOverlays() {
  TempDir directory(options_.scratch_directory);
  for (const char* name : {"lower", "upper", "work"}) {
    std::string path = directory / name;
    if (!SystemFiles().MakeDirectories(path).ok()) return;
    if (geteuid() == 0 && chown(path.c_str(), file_owner(), file_owner()) != 0) return;
  }
  Command command;
  command.arguments = {"/nothing"};
  command.working_directory = "/";
  command.stdout_path = command.stderr_path = "/dev/null";
  auto mounts = [&](Command::Overlay overlay) {
    command.overlays = {std::move(overlay)};
    Result<Outcome> outcome = Run(command, {});
    return !outcome && outcome.error().code() == Code::kNotFound;
  };
  overlay_allowed_ =
      mounts({directory / "lower", directory / "upper", directory / "work", "/probe", {}});
  memory_overlay_allowed_ = mounts({directory / "lower", "", "", "/probe", {}});
}

// Whether our user namespace has `id` (a container may map one user only).
bool IsMapped(const char* map, uint32_t id) {
  Result<std::string> text = ReadFile(map);
  if (!text) return false;
  std::istringstream lines(*text);
  uint64_t inside, outside, count;
  while (lines >> inside >> outside >> count) {
    if (id >= inside && id - inside < count) return true;
  }
  return false;
}

}  // namespace

MemoryFiles::MemoryFiles(std::shared_ptr<const UniqueFd> slot, std::string name)
    : slot_(std::move(slot)),
      name_(std::move(name)),
      upper_(fmt::format("/proc/self/fd/{}/{}/upper", slot_->get(), name_)) {}
MemoryFiles::~MemoryFiles() { (void)RemoveTreeAt(slot_->get(), name_); }

Result<std::unique_ptr<Launcher>> Launcher::Start(SandboxOptions options) {
  if (options.slots < 1)
    return Error(Code::kInvalidArgument, "a sandbox with {} slots", options.slots);
  if (geteuid() == 0 && !(IsMapped("/proc/self/uid_map", options.root_runs_as) &&
                          IsMapped("/proc/self/gid_map", options.root_runs_as)))
    options.root_runs_as = 0;
  std::unique_ptr<TempDir> scratch;
  if (options.scratch_directory.empty()) {
    scratch = std::make_unique<TempDir>();
    options.scratch_directory = scratch->path();
  }
  TRY(SystemFiles().MakeDirectories(ScratchPlace(options)));
  if (!options.cgroup_directory.empty()) TRY(PrepareCgroup(options.cgroup_directory));
  TRY_ASSIGN(SocketPair pair, MakeSocketPair());
  // Not fork(): there is one thread, and the handlers of fork would start those of a sanitizer
  // again.
  pid_t pid = _Fork();
  if (pid < 0) return ErrnoError(errno, "fork");
  if (pid == 0) RunLauncherProcess(pair.theirs.get(), options);
  pair.theirs.Reset();
  auto launcher = std::make_unique<ProcessLauncher>(pid, std::move(pair.ours), std::move(options),
                                                    std::move(scratch));
  launcher->ProbeOverlays();
  return launcher;
}

Status CheckSandboxSupport() {
  auto launcher = Launcher::Start({});
  if (!launcher) return launcher.error();
  Command command;
  command.arguments = {"/nothing"};
  command.working_directory = "/";
  command.stdout_path = command.stderr_path = "/dev/null";
  Result<Outcome> outcome = (*launcher)->Run(command, {});
  // The root was made and entered when the only trouble is that the program is not in it.
  if (outcome || outcome.error().code() == Code::kNotFound) return {};
  std::string advice =
      "the kernel or the container forbids unprivileged user namespaces: set "
      "kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0 and "
      "kernel.apparmor_restrict_unprivileged_userns=0 (sysctl), or run the container with a "
      "seccomp profile that allows clone and mount";
  return ErrorStatus(Code::kFailedPrecondition, "{}: {}", outcome.error().message(), advice);
}

}  // namespace lre::sandbox
