#include "sandbox/slot_roots.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "sandbox/message.h"

namespace lre::sandbox {
namespace {

struct BuildJob {
  Plan* plan;
  const SpawnOptions* options;
  int host_fd;
  int socket;  // takes the mount namespace
  bool done = false;
  Trouble trouble;
};

bool SendDescriptor(int socket, int fd) {
  char byte = 0;
  iovec bytes{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, 0) == 1;
}

// A process of its own, so that the slot process keeps its user: only system calls, see root.h.
int BuildInChild(void* argument) {
  BuildJob& job = *static_cast<BuildJob*>(argument);
  if (setns(job.host_fd, CLONE_NEWNS) != 0) {
    job.trouble = {errno, "enter the host's mount namespace", nullptr};
    return 1;
  }
  int names = open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (!BuildRoot(*job.plan, *job.options, job.trouble)) return 1;
  int mounts = openat(names, "mnt", O_RDONLY | O_CLOEXEC);
  job.done = mounts >= 0 && SendDescriptor(job.socket, mounts);
  if (!job.done) job.trouble = {errno, "hand over the mount namespace", nullptr};
  return 0;
}

}  // namespace

Result<SlotRoots> SlotRoots::Open() {
  SlotRoots roots;
  roots.names_ = UniqueFd(open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!roots.names_) return ErrnoError(errno, "/proc/self/ns");
  roots.host_ = UniqueFd(openat(roots.names_.get(), "mnt", O_RDONLY | O_CLOEXEC));
  if (!roots.host_) return ErrnoError(errno, "/proc/self/ns/mnt");
  roots.host_root_ = UniqueFd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!roots.host_root_) return ErrnoError(errno, "/");
  return roots;
}

SlotRoots::Identities SlotRoots::Identify(const Plan& plan) const {
  Identities identities;
  for (const Step& step : plan.prepared) {
    if (step.kind != StepKind::kBind && step.kind != StepKind::kReadOnlyBind) continue;
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    UniqueFd fd(
        static_cast<int>(syscall(SYS_openat2, host_root_.get(), step.source, &how, sizeof how)));
    struct stat info {};
    if (fd) fstat(fd.get(), &info);  // absent: building says so
    identities.emplace_back(info.st_dev, info.st_ino);
  }
  return identities;
}

Result<UniqueFd> SlotRoots::Build(Plan& plan, const SpawnOptions& options) const {
  TRY_ASSIGN(SocketPair pair, MakeSocketPair());
  BuildJob job{.plan = &plan,
               .options = &options,
               .host_fd = host_.get(),
               .socket = pair.theirs.get(),
               .trouble = {}};
  constexpr size_t kStackBytes = 256 << 10;
  auto stack = std::make_unique<char[]>(kStackBytes);
  pid_t child =
      clone(BuildInChild, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &job);
  if (child < 0) return ErrnoError(errno, "start a process");
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  for (Step& step : plan.prepared) step.tree = -1;  // numbers of the child
  if (!job.done)
    return Error(Code::kInternal, "{} {}: {}", job.trouble.what == nullptr ? "" : job.trouble.what,
                 job.trouble.path == nullptr ? "" : job.trouble.path, strerror(job.trouble.error));
  TRY_ASSIGN(Packet packet, ReceivePacket(pair.ours.get()));
  if (packet.fds.size() != 1) return Error(Code::kInternal, "the mount namespace was lost");
  return std::move(packet.fds[0]);
}

Status SlotRoots::Copy(const Root& root) {
  current_.Reset();
  // Leaving the last namespace takes it apart.
  if (setns(root.mounts.get(), CLONE_NEWNS) != 0)
    return ErrnoStatus(errno, "enter a root's mount namespace");
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0)
    return ErrnoStatus(errno, "make mount and ipc namespaces");
  current_ = UniqueFd(openat(names_.get(), "mnt", O_RDONLY | O_CLOEXEC));
  return current_ ? Status() : ErrnoStatus(errno, "open the mount namespace");
}

Status SlotRoots::Enter(Plan& plan, const SpawnOptions& options) {
  Identities identities = Identify(plan);
  auto same = [&](const Root& root) { return root.key == plan.prepared_key; };
  if (current_ && same(roots_.front()) && roots_.front().identities == identities) return {};
  current_.Reset();
  auto it = std::find_if(roots_.begin(), roots_.end(), same);
  if (it != roots_.end() && it->identities != identities) {
    roots_.erase(it);
    it = roots_.end();
  }
  if (it != roots_.end()) {
    roots_.splice(roots_.begin(), roots_, it);
  } else {
    TRY_ASSIGN(UniqueFd mounts, Build(plan, options));
    if (roots_.size() >= kRootsMax) roots_.pop_back();
    roots_.push_front({plan.prepared_key, std::move(identities), std::move(mounts)});
  }
  return Copy(roots_.front());
}

void SlotRoots::Renew() {
  // When it cannot be, the next command tries again and says why.
  if (!roots_.empty() && !Copy(roots_.front()).ok()) current_.Reset();
}

}  // namespace lre::sandbox
