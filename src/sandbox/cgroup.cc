#include "sandbox/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace lre::sandbox {
namespace {

constexpr const char* kPrefix = "lre-slot-";

bool Put(int fd, const std::string& text) {
  return fd >= 0 && pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

std::string Get(int fd) {
  char text[4096];
  ssize_t size = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
  return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
}

std::string LimitText(uint64_t limit) { return limit == 0 ? "max" : fmt::to_string(limit); }

}  // namespace

Status PrepareCgroup(const std::string& directory) {
  UniqueFd control(open((directory + "/cgroup.subtree_control").c_str(), O_WRONLY | O_CLOEXEC));
  if (!control) return ErrnoStatus(errno, directory + "/cgroup.subtree_control");
  for (const char* controller : {"+memory", "+pids", "+cpu", "+io"})
    (void)Put(control.get(), controller);
  DIR* list = opendir(directory.c_str());
  if (list == nullptr) return ErrnoStatus(errno, directory);
  while (const dirent* entry = readdir(list)) {
    // Refused while a process is in it.
    if (std::string_view(entry->d_name).starts_with(kPrefix))
      rmdir((directory + "/" + entry->d_name).c_str());
  }
  closedir(list);
  return {};
}

Result<SlotCgroup> SlotCgroup::Enter(const std::string& directory, const std::string& name) {
  UniqueFd fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, directory);
  return EnterAt(fd.get(), name);
}

void SlotCgroup::RemoveAt(int directory, const std::string& name) {
  unlinkat(directory, (kPrefix + name).c_str(), AT_REMOVEDIR);
}

Result<SlotCgroup> SlotCgroup::EnterAt(int directory, const std::string& name) {
  std::string path = kPrefix + name;
  if (mkdirat(directory, path.c_str(), 0755) != 0 && errno != EEXIST)
    return ErrnoError(errno, path);
  auto open_file = [&](const char* file, int flags) {
    return UniqueFd(openat(directory, (path + "/" + file).c_str(), flags | O_CLOEXEC));
  };
  UniqueFd processes = open_file("cgroup.procs", O_WRONLY);
  if (!processes || !Put(processes.get(), "0")) return ErrnoError(errno, path + "/cgroup.procs");
  SlotCgroup cgroup;
  cgroup.memory_max_ = open_file("memory.max", O_WRONLY);
  cgroup.swap_max_ = open_file("memory.swap.max", O_WRONLY);
  cgroup.memory_events_ = open_file("memory.events", O_RDONLY);
  cgroup.memory_peak_ = open_file("memory.peak", O_RDWR);
  cgroup.processes_max_ = open_file("pids.max", O_WRONLY);
  cgroup.io_stat_ = open_file("io.stat", O_RDONLY);
  (void)Put(open_file("cpu.weight", O_WRONLY).get(), "100");
  return cgroup;
}

void SlotCgroup::Begin(const Limits& limits) {
  if (!limits_set_ || limits.memory_bytes_max != limits_.memory_bytes_max) {
    (void)Put(memory_max_.get(), LimitText(limits.memory_bytes_max));
    // Swapping would only make it slow before it fails.
    (void)Put(swap_max_.get(), limits.memory_bytes_max == 0 ? "max" : "0");
  }
  if (!limits_set_ || limits.processes_max != limits_.processes_max)
    (void)Put(processes_max_.get(), LimitText(limits.processes_max));
  limits_ = limits;
  limits_set_ = true;
  peak_known_ = Put(memory_peak_.get(), "0");  // since Linux 6.12
  kills_before_ = MemoryKills();
  transferred_before_ = TransferredEver();
}

// One line for each device: "8:0 rbytes=1 wbytes=2 rios=3 ...".
SlotCgroup::Transfer SlotCgroup::TransferredEver() const {
  Transfer transfer;
  std::string text = Get(io_stat_.get());
  auto sum = [&](std::string_view name) {
    int64_t total = 0;
    for (size_t at = 0; (at = text.find(name, at)) != text.npos; at += name.size())
      total += std::strtoll(text.c_str() + at + name.size(), nullptr, 10);
    return total;
  };
  transfer.read_bytes = sum(" rbytes=");
  transfer.write_bytes = sum(" wbytes=");
  return transfer;
}

std::optional<SlotCgroup::Transfer> SlotCgroup::Transferred() const {
  if (!io_stat_) return std::nullopt;
  Transfer now = TransferredEver();
  return Transfer{now.read_bytes - transferred_before_.read_bytes,
                  now.write_bytes - transferred_before_.write_bytes};
}

uint64_t SlotCgroup::MemoryKills() const {
  std::string text = "\n" + Get(memory_events_.get());
  size_t at = text.find("\noom_kill ");
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at + 10, nullptr, 10);
}

bool SlotCgroup::RanOutOfMemory() const { return MemoryKills() > kills_before_; }

std::optional<int64_t> SlotCgroup::MemoryPeakBytes() const {
  if (!peak_known_) return std::nullopt;
  return std::strtoll(Get(memory_peak_.get()).c_str(), nullptr, 10);
}

}  // namespace lre::sandbox
