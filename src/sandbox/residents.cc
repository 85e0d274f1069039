#include "sandbox/residents.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "sandbox/cgroup.h"
#include "sandbox/root.h"

namespace lre::sandbox {
namespace {

constexpr size_t kProcessesLookedAtMax = 1000;

Reply Refusal(Code code, std::string message) {
  Reply reply;
  reply.code = code;
  reply.message = std::move(message);
  return reply;
}

struct ShowJob {
  Plan* plan;
  const SpawnOptions* options;
  const SpawnRequest* request;
  bool done = false;
  Trouble trouble;
};

// A process of its own, because it takes the command's identity; only system calls, see root.h.
int ShowInChild(void* argument) {
  ShowJob& job = *static_cast<ShowJob*>(argument);
  job.done = EnterRoot(*job.plan, *job.options, *job.request, job.trouble);
  return 0;
}

std::string ReadAt(int directory, const std::string& path) {
  UniqueFd fd(openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(4096, '\0');
  ssize_t size = fd ? read(fd.get(), text.data(), text.size()) : 0;
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

std::vector<uint64_t> Numbers(const std::string& text) {
  std::vector<uint64_t> numbers;
  const char* at = text.c_str();
  for (char* end; *at != 0; at = end) {
    uint64_t value = std::strtoull(at, &end, 10);
    if (end == at) {
      ++end;
    } else {
      numbers.push_back(value);
    }
  }
  return numbers;
}

// `pid` and everything below it; in numbers of the host.
std::vector<uint64_t> ProcessTree(int host_root, pid_t first) {
  std::vector<uint64_t> tree = {static_cast<uint64_t>(first)};
  for (size_t i = 0; i < tree.size() && tree.size() < kProcessesLookedAtMax; ++i) {
    // Those that other threads than the first started are found as well when they end up with
    // pid 1.
    for (uint64_t child :
         Numbers(ReadAt(host_root, fmt::format("proc/{0}/task/{0}/children", tree[i]))))
      tree.push_back(child);
  }
  return tree;
}

// Adds what process `pid` used and has; nothing when it is gone.
void AddUsage(int host_root, uint64_t pid, Outcome& outcome) {
  std::string stat = ReadAt(host_root, fmt::format("proc/{}/stat", pid));
  size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == stat.npos || stat.size() < name_end + 4) return;
  std::vector<uint64_t> fields = Numbers(stat.substr(name_end + 3));  // from field 4, proc(5)
  if (fields.size() < 14) return;
  int64_t tick_ns = 1'000'000'000 / sysconf(_SC_CLK_TCK);
  outcome.user_cpu += Duration(static_cast<int64_t>(fields[10] + fields[12]) * tick_ns);
  outcome.system_cpu += Duration(static_cast<int64_t>(fields[11] + fields[13]) * tick_ns);
  std::vector<uint64_t> pages = Numbers(ReadAt(host_root, fmt::format("proc/{}/statm", pid)));
  if (pages.size() >= 3 && pages[1] > pages[2])
    outcome.memory_peak_bytes += static_cast<int64_t>(pages[1] - pages[2]) * sysconf(_SC_PAGESIZE);
}

}  // namespace

Residents::~Residents() {
  for (auto& [id, resident] : residents_) Kill(resident);
}

Reply Residents::Start(Plan& plan, const SpawnOptions& options, SpawnRequest& request,
                       SlotRoots& roots, int cgroups) {
  Resident resident{.home = fmt::format("resident-{}", request.id),
                    .target = std::string(1, kWritableNames[plan.target_writable])};
  cgroups_ = cgroups;
  if (cgroups >= 0) resident.cgroup = fmt::format("{}-{}", getpid(), request.id);
  request.writable_home = resident.home.c_str();
  request.root = roots.namespaces();
  auto enter = [&] {
    if (resident.cgroup.empty()) return;
    // A slot's cgroup is that of its commands, one at a time. Where there can be no other the
    // process shares it.
    Result<SlotCgroup> cgroup = SlotCgroup::EnterAt(cgroups, resident.cgroup);
    if (cgroup)
      cgroup->Begin({.memory_bytes_max = plan.command.memory_bytes_max,
                     .processes_max = options.processes_max});
  };
  Reply reply = SpawnResident(plan, options, request, enter, resident.first);
  resident.mounts = roots.Give();
  if (reply.code != Code::kOk) {
    (void)RemoveTreeAt(options.memory_fd, resident.home);
    if (!resident.cgroup.empty()) SlotCgroup::RemoveAt(cgroups, resident.cgroup);
    return reply;
  }
  residents_.emplace(request.id, std::move(resident));
  return reply;
}

const Residents::Resident* Residents::Find(const Request& request) const {
  auto it = residents_.find(request.resident);
  return it == residents_.end() ? nullptr : &it->second;
}

Reply Residents::Show(Plan& plan, const SpawnOptions& options, const Request& request,
                      int host_fd) {
  const Resident* resident = Find(request);
  if (resident == nullptr) return Refusal(Code::kInternal, "no such process");
  std::string name = MemoryName(request.id);
  SpawnRequest spawn{
      .id = request.id, .root = {host_fd, resident->mounts.get()}, .memory_name = name.c_str()};
  ShowJob job{.plan = &plan, .options = &options, .request = &spawn, .trouble = {}};
  constexpr size_t kStackBytes = 256 << 10;
  auto stack = std::make_unique<char[]>(kStackBytes);
  pid_t child =
      clone(ShowInChild, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &job);
  if (child < 0)
    return Refusal(Code::kInternal, fmt::format("start a process: {}", strerror(errno)));
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (job.done) return {};
  (void)RemoveTreeAt(options.memory_fd, name);
  return Refusal(Code::kInternal, fmt::format("sandbox: {} {}: {}",
                                              job.trouble.what == nullptr ? "" : job.trouble.what,
                                              job.trouble.path == nullptr ? "" : job.trouble.path,
                                              strerror(job.trouble.error)));
}

// Removing a directory or file takes down what other namespaces have mounted on it.
Reply Residents::Hide(const SpawnOptions& options, const Request& request) const {
  const Resident* resident = Find(request);
  if (resident == nullptr) return Refusal(Code::kInternal, "no such process");
  std::string path = resident->home + "/" + resident->target;
  UniqueFd target(openat(options.memory_fd, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* list = target ? fdopendir(dup(target.get())) : nullptr;
  if (list == nullptr)
    return Refusal(Code::kInternal, fmt::format("{}: {}", path, strerror(errno)));
  Status status;
  while (const dirent* entry = readdir(list)) {
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    Status removed = RemoveTreeAt(target.get(), std::string(name));
    if (!removed.ok()) status = removed;
  }
  closedir(list);
  return status.ok() ? Reply() : Refusal(status.code(), status.message());
}

Reply Residents::Usage(const Request& request, int host_root) const {
  const Resident* resident = Find(request);
  if (resident == nullptr) return Refusal(Code::kInternal, "no such process");
  Reply reply;
  // Without pid 1, which is ours.
  for (uint64_t pid : ProcessTree(host_root, resident->first)) {
    if (pid != static_cast<uint64_t>(resident->first)) AddUsage(host_root, pid, reply.outcome);
  }
  return reply;
}

void Residents::Kill(const Resident& resident) {
  kill(resident.first, SIGKILL);
  while (waitpid(resident.first, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Reply Residents::Stop(const SpawnOptions& options, const Request& request) {
  auto node = residents_.extract(request.resident);
  if (node.empty()) return Refusal(Code::kInternal, "no such process");
  const Resident& resident = node.mapped();
  Kill(resident);
  (void)RemoveTreeAt(options.memory_fd, resident.home);
  if (!resident.cgroup.empty()) SlotCgroup::RemoveAt(cgroups_, resident.cgroup);
  return {};
}

}  // namespace lre::sandbox
