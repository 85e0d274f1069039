#include "worker/persistent_processes.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"

namespace lre::worker {

using sandbox::Ending;
using sandbox::Outcome;

namespace {

constexpr size_t kErrorsKeptBytes = 16 << 10;
constexpr size_t kKeysWithFailuresMax = 1000;
constexpr Duration kLookInterval = std::chrono::milliseconds(200);  // at the memory in use

// A write to a process that is gone must not end the program; the signal stays pending.
void BlockPipeSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

PersistentBudget::PersistentBudget(Metrics& metrics)
    : requests(metrics.AddCounter("lre_worker_persistent_requests_total",
                                  "Actions that a persistent process ran")),
      starts(metrics.AddCounter("lre_worker_persistent_starts_total",
                                "Persistent processes that were started")),
      failures(metrics.AddCounter("lre_worker_persistent_failures_total",
                                  "Persistent processes that failed; their actions were run again "
                                  "without")),
      processes_(metrics.AddGauge("lre_worker_persistent_processes",
                                  "Persistent processes that are there")) {}

bool PersistentBudget::Take(int processes_max) {
  int count = count_.load();
  do {
    if (count >= processes_max) return false;
  } while (!count_.compare_exchange_weak(count, count + 1));
  processes_.Add(1);
  return true;
}

class PersistentProcesses::Process {
 public:
  Process(std::string key, WorkProtocol protocol, std::unique_ptr<sandbox::Resident> resident,
          PersistentBudget& budget)
      : key(std::move(key)),
        protocol_(protocol),
        resident_(std::move(resident)),
        reader_(protocol),
        budget_(budget) {}
  ~Process() { budget_.GiveBack(); }

  // The answer to `work`, or why there is none. An outcome other than kExited, and an error, leave
  // a process that is of no use.
  struct Limits {
    const Clock& clock;
    Duration timeout;
    uint64_t memory_bytes_max, memory_files_bytes_max;
    int stop_fd;
  };
  Result<Outcome> Serve(const blaze::worker::WorkRequest& work, const Limits& limits);
  bool IsGone() const {
    pollfd state{resident_->output_fd(), POLLIN, 0};
    return poll(&state, 1, 0) != 0;  // it has ended, or prints what nobody asked for
  }
  sandbox::Resident& resident() { return *resident_; }
  Status Trouble(const Status& status) const {
    return Status(Code::kInternal, errors_.empty()
                                       ? status.message()
                                       : fmt::format("{}; it said: {}", status.message(), errors_));
  }

  const std::string key;
  std::shared_ptr<const void> hold;
  Instant idle_since{};
  int requests = 0;
  uint64_t memory_bytes = 0;  // after the last request

 private:
  enum class Look { kFine, kTooMuch, kTooManyFiles };
  Status Write(std::string_view& left) const;
  Status Read();
  void ReadErrors();
  Result<Look> LookAtMemory(const Limits& limits);

  const WorkProtocol protocol_;
  const std::unique_ptr<sandbox::Resident> resident_;
  ResponseReader reader_;
  PersistentBudget& budget_;
  std::string errors_;  // the end of what it wrote to stderr
  sandbox::Resident::Usage used_;
};

Status PersistentProcesses::Process::Write(std::string_view& left) const {
  while (!left.empty()) {
    ssize_t size = write(resident_->input_fd(), left.data(), left.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return {};
    if (size < 0) return ErrorStatus(Code::kInternal, "the process ended");
    left.remove_prefix(static_cast<size_t>(size));
  }
  return {};
}

Status PersistentProcesses::Process::Read() {
  char buffer[1 << 16];
  for (;;) {
    ssize_t size = read(resident_->output_fd(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return {};
    if (size <= 0) {
      ReadErrors();
      return ErrorStatus(Code::kInternal, "the process ended without an answer");
    }
    reader_.Append({buffer, static_cast<size_t>(size)});
    if (static_cast<size_t>(size) < sizeof buffer) return {};
  }
}

void PersistentProcesses::Process::ReadErrors() {
  char buffer[1 << 12];
  for (ssize_t size; (size = read(resident_->error_fd(), buffer, sizeof buffer)) > 0;) {
    errors_.append(buffer, static_cast<size_t>(size));
    if (errors_.size() > kErrorsKeptBytes) errors_.erase(0, errors_.size() - kErrorsKeptBytes);
  }
}

Result<PersistentProcesses::Process::Look> PersistentProcesses::Process::LookAtMemory(
    const Limits& limits) {
  if (resident_->MemoryFilesBytes() > limits.memory_files_bytes_max) return Look::kTooManyFiles;
  TRY_ASSIGN(sandbox::Resident::Usage usage, resident_->GetUsage());
  memory_bytes = static_cast<uint64_t>(usage.memory_bytes);
  return memory_bytes > limits.memory_bytes_max ? Look::kTooMuch : Look::kFine;
}

Result<Outcome> PersistentProcesses::Process::Serve(const blaze::worker::WorkRequest& work,
                                                    const Limits& limits) {
  std::string bytes = EncodeWorkRequest(protocol_, work);
  std::string_view left = bytes;
  Instant start = limits.clock.Now(), look_at = start + kLookInterval;
  Instant end_at = limits.timeout > Duration(0) ? start + limits.timeout : Instant::max();
  Outcome outcome;
  std::optional<blaze::worker::WorkResponse> response;
  while (!response) {
    TRY(Write(left));
    pollfd polls[4] = {{resident_->output_fd(), POLLIN, 0},
                       {resident_->error_fd(), POLLIN, 0},
                       {limits.stop_fd, POLLIN, 0},
                       {left.empty() ? -1 : resident_->input_fd(), POLLOUT, 0}};
    Duration wait = std::max(std::min(look_at, end_at) - limits.clock.Now(), Duration(0));
    timespec time{wait.count() / 1'000'000'000, wait.count() % 1'000'000'000};
    if (ppoll(polls, 4, &time, nullptr) < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (polls[1].revents != 0) ReadErrors();
    if (polls[0].revents != 0) {
      TRY(Read());
      TRY_ASSIGN(response, reader_.Next());
    } else if (polls[2].revents != 0) {
      outcome.ending = Ending::kCancelled;
      return outcome;
    } else if (limits.clock.Now() >= end_at) {
      outcome.ending = Ending::kTimedOut;
      outcome.signal = SIGKILL;
      outcome.exit_code = 128 + SIGKILL;
      outcome.wall = limits.clock.Now() - start;
      outcome.stderr_kept = errors_;
      return outcome;
    } else if (limits.clock.Now() >= look_at) {
      TRY_ASSIGN(Look look, LookAtMemory(limits));
      if (look == Look::kTooMuch)
        return Error(Code::kInternal, "the process used {} bytes of memory, more than {}",
                     memory_bytes, limits.memory_bytes_max);
      if (look == Look::kTooManyFiles) {
        outcome.ending = Ending::kOutgrewMemory;
        return outcome;
      }
      look_at = limits.clock.Now() + kLookInterval;
    }
  }
  if (response->request_id() != 0 || response->was_cancelled() || !left.empty())
    return Error(Code::kInternal, "the process answered something else than what it was asked");
  outcome.wall = limits.clock.Now() - start;
  outcome.exit_code = response->exit_code();
  outcome.stderr_kept = std::move(*response->mutable_output());
  TRY_ASSIGN(sandbox::Resident::Usage usage, resident_->GetUsage());
  outcome.user_cpu = usage.user_cpu - used_.user_cpu;
  outcome.system_cpu = usage.system_cpu - used_.system_cpu;
  outcome.memory_peak_bytes = usage.memory_bytes;
  used_ = usage;
  memory_bytes = static_cast<uint64_t>(usage.memory_bytes);
  errors_.clear();
  ++requests;
  return outcome;
}

PersistentProcesses::PersistentProcesses(sandbox::Launcher& launcher, const Clock& clock,
                                         PersistentBudget& budget, PersistentOptions options)
    : launcher_(launcher), clock_(clock), budget_(budget), options_(options) {}
PersistentProcesses::~PersistentProcesses() = default;

Result<std::unique_ptr<PersistentProcesses::Process>> PersistentProcesses::Start(
    const PersistentRequest& request) {
  if (!budget_.Take(options_.processes_max)) {
    // One of this slot's own makes room; those of others are theirs.
    if (processes_.empty())
      return Error(Code::kFailedPrecondition, "the worker has {} persistent processes already",
                   options_.processes_max);
    processes_.pop_back();
    if (!budget_.Take(options_.processes_max))
      return Error(Code::kFailedPrecondition, "the worker has {} persistent processes already",
                   options_.processes_max);
  }
  Result<std::unique_ptr<sandbox::Resident>> resident = launcher_.StartResident(request.command);
  if (!resident) {
    budget_.GiveBack();
    return std::unexpected(resident.error());
  }
  budget_.starts.Add();
  auto process =
      std::make_unique<Process>(request.key, request.protocol, std::move(*resident), budget_);
  process->hold = request.hold;
  return process;
}

// One that is shown the request's inputs; nothing of it is left when it cannot be.
Result<PersistentProcesses::Process*> PersistentProcesses::Find(const PersistentRequest& request) {
  auto it = std::find_if(processes_.begin(), processes_.end(),
                         [&](const auto& process) { return process->key == request.key; });
  if (it != processes_.end() &&
      ((*it)->IsGone() || !(*it)->resident().Show(request.command.overlays.at(0)).ok())) {
    processes_.erase(it);
    it = processes_.end();
  }
  if (it == processes_.end()) {
    TRY_ASSIGN(std::unique_ptr<Process> process, Start(request));
    processes_.push_front(std::move(process));
  } else {
    processes_.splice(processes_.begin(), processes_, it);
  }
  return processes_.front().get();
}

void PersistentProcesses::Drop(const Process* process) {
  processes_.remove_if([&](const auto& each) { return each.get() == process; });
}

void PersistentProcesses::CountFailure(const std::string& key) {
  budget_.failures.Add();
  if (failures_.size() >= kKeysWithFailuresMax) failures_.clear();
  ++failures_[key];
}

Result<Outcome> PersistentProcesses::Run(const PersistentRequest& request, std::stop_token stop) {
  auto failures = failures_.find(request.key);
  if (failures != failures_.end() && failures->second >= options_.failures_max)
    return Error(Code::kFailedPrecondition, "processes of this tool failed {} times in a row",
                 failures->second);
  BlockPipeSignal();
  UniqueFd stop_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd) return ErrnoError(errno, "eventfd");
  std::stop_callback on_stop(stop, [&] { eventfd_write(stop_fd.get(), 1); });
  Result<Process*> found = Find(request);
  if (!found) {
    if (found.error().code() != Code::kFailedPrecondition) CountFailure(request.key);
    return std::unexpected(found.error());
  }
  Process& process = **found;
  Result<Outcome> outcome =
      process.Serve(request.work, {.clock = clock_,
                                   .timeout = request.command.timeout,
                                   .memory_bytes_max = options_.memory_bytes_max,
                                   .memory_files_bytes_max = request.command.memory_files_bytes_max,
                                   .stop_fd = stop_fd.get()});
  if (outcome && outcome->ending == Ending::kExited) {
    auto files = process.resident().Hide();
    if (files) outcome->files = std::move(*files);
    if (!files) outcome = std::unexpected(files.error());
  }
  if (!outcome || outcome->ending != Ending::kExited) {
    if (!outcome) {
      CountFailure(request.key);
      outcome = std::unexpected(process.Trouble(outcome.error()));
    }
    Drop(&process);
    return outcome;
  }
  failures_.erase(request.key);
  budget_.requests.Add();
  if (request.command.on_output && !outcome->stderr_kept.empty())
    request.command.on_output(true, outcome->stderr_kept);
  process.idle_since = clock_.Now();
  if (process.requests >= options_.requests_max || process.memory_bytes > options_.memory_bytes_max)
    Drop(&process);
  return outcome;
}

Instant PersistentProcesses::NextExpiry() const {
  Instant next = Instant::max();
  for (const auto& process : processes_)
    next = std::min(next, process->idle_since + options_.idle_max);
  return next;
}

void PersistentProcesses::Expire() {
  Instant now = clock_.Now();
  processes_.remove_if(
      [&](const auto& process) { return process->idle_since + options_.idle_max <= now; });
}

}  // namespace lre::worker
