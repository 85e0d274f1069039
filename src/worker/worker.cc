#include "worker/worker.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <variant>

#include "base/file.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/random.h"
#include "base/thread_group.h"
#include "google/rpc/error_details.pb.h"
#include "reapi/error_details.h"
#include "worker/executor.h"
#include "worker/live_updates.h"

namespace lre::worker {
namespace {

constexpr int kProtocolVersion = 1;
constexpr size_t kEventsMax = 100000;
constexpr Duration kLookInterval = std::chrono::milliseconds(100);  // at what the slots tell

using AttemptKey = std::pair<std::string, int64_t>;
AttemptKey KeyOf(const v1::Attempt& attempt) { return {attempt.operation(), attempt.number()}; }

Duration FromMessage(const google::protobuf::Duration& message, Duration fallback) {
  Duration duration = std::chrono::seconds(message.seconds()) + Duration(message.nanos());
  return duration > Duration(0) ? duration : fallback;
}

// When a server that has no place for us wants to be asked again.
Duration RetryDelayOf(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    google::rpc::RetryInfo info;
    if (detail.UnpackTo(&info)) return FromMessage(info.retry_delay(), Duration(0));
  }
  return Duration(0);
}

// What the link thread is told. `link` is the number of the connection a message came from.
struct Received {
  uint64_t link;
  v1::ToWorker message;
};
struct LinkClosed {
  uint64_t link;
  Status status;
};
struct Ended {
  std::vector<v1::FromWorker> outputs;  // not sent yet
  v1::Report report;
};
struct DrainAsked {
  std::string reason;
};
using Event = std::variant<Received, LinkClosed, Ended, DrainAsked>;

// An attempt that the server has not been told the end of, or not acknowledged. `assignment` is
// what a server that was started anew needs to take it over: without the command, but for its
// platform.
struct Held {
  v1::Assignment assignment;
  std::stop_source stop;
  std::optional<v1::Report> report;
};

struct Task {
  v1::Assignment assignment;
  std::stop_source stop;
};

class LinkedWorker final : public Worker {
 public:
  LinkedWorker(WorkerParts parts, WorkerOptions options, std::unique_ptr<FileCache> files)
      : parts_(parts),
        options_(std::move(options)),
        id_(RandomUuid()),
        files_(std::move(files)),
        directories_(parts.cas, {.size_bytes_max = options_.directory_cache_bytes_max}),
        mounts_(parts.store_paths, options_.find_userland, AllMounts(options_)),
        persistent_(parts.metrics),
        live_({.slots = options_.slots}),
        actions_(
            parts.metrics.AddCounter("lre_worker_actions_total", "Actions that this worker ran")),
        failures_(parts.metrics.AddCounter("lre_worker_failures_total",
                                           "Actions that this worker could not run to their end")),
        events_(kEventsMax),
        tasks_(kEventsMax) {
    for (int slot = 0; slot < options_.slots; ++slot)
      threads_.Add(fmt::format("slot-{}", slot), [this, slot](std::stop_token) { RunSlot(slot); });
    link_thread_.Add("worker-link", [this](std::stop_token stop) { RunLink(stop); });
  }

  ~LinkedWorker() override {
    link_thread_.Stop();
    for (auto& [key, held] : running_) held.stop.request_stop();
    ending_ = true;
    tasks_.Close();
    threads_.Stop();
    link_.reset();
  }

  void Drain(std::string reason) override { events_.Push(DrainAsked{std::move(reason)}); }

  Status WaitForEnd(std::stop_token stop) override {
    std::unique_lock lock(end_mutex_);
    end_changed_.wait(lock, stop, [&] { return end_.has_value(); });
    return end_ ? *end_ : ErrorStatus(Code::kCancelled, "waiting for the worker was stopped");
  }

 private:
  static std::vector<sandbox::Mount> AllMounts(const WorkerOptions& options) {
    std::vector<sandbox::Mount> mounts = EtcMounts();
    mounts.insert(mounts.end(), options.extra_mounts.begin(), options.extra_mounts.end());
    return mounts;
  }

  // --- Slots ---
  void RunSlot(int slot) {
    Executor executor({parts_.cas, parts_.launcher, *files_, directories_, mounts_, large_actions_,
                       persistent_, parts_.clock},
                      {.directory = fmt::format("{}/slot{}", options_.directory, slot),
                       .worker_name = options_.name,
                       .slot = slot,
                       .isolation = options_.isolation,
                       .stdout_bytes_max = options_.stdout_bytes_max,
                       .memory_files_bytes_max = options_.memory_files_bytes_max,
                       .memory_bytes_max = options_.action_memory_bytes_max,
                       .adopt_outputs = options_.adopt_outputs,
                       .store_prefix = options_.store_prefix,
                       .disk_free_bytes_min = options_.disk_free_bytes_min,
                       .network_allowed = options_.network_allowed,
                       .persistent = options_.persistent,
                       .patience = options_.patience});
    for (;;) {
      Instant expiry = executor.NextExpiry();
      // Not the group's stop token: Close lets each slot end after its task was cancelled.
      std::optional<Task> task = tasks_.Pop(
          std::stop_token(), expiry == Instant::max() ? std::nullopt : std::optional(expiry));
      if (!task && ending_) return;
      if (!task) {
        executor.Expire();
        continue;
      }
      live_.Begin(slot, task->assignment);
      v1::Report report = executor.Run(
          task->assignment,
          {.progress = [&](v1::Progress progress) { live_.SetProgress(slot, std::move(progress)); },
           .output = [&](bool is_stderr,
                         std::string_view bytes) { live_.Append(slot, is_stderr, bytes); }},
          task->stop.get_token());
      events_.Push(Ended{live_.End(slot), std::move(report)});
      executor.CleanUp();
    }
  }

  // --- The link thread ---
  void RunLink(std::stop_token stop) {
    Connect();
    while (!stop.stop_requested() && !finished_) {
      std::optional<Event> event = events_.Pop(stop, NextDeadline());
      if (event) std::visit([this](auto& e) { Handle(e); }, *event);
      Tick();
    }
    link_.reset();
  }

  Instant NextDeadline() const {
    if (!link_) return reconnect_at_;
    return std::min({heartbeat_at_, silent_at_, look_at_});
  }

  void Tick() {
    if (finished_) return;
    Instant now = parts_.clock.Now();
    if (!link_) {
      if (now >= reconnect_at_) Connect();
      return;
    }
    if (now >= look_at_) {
      for (const v1::FromWorker& message : live_.Take()) Send(message);
      look_at_ = running_.empty() ? Instant::max() : now + kLookInterval;
    }
    if (now >= silent_at_) {
      LoseLink(ErrorStatus(Code::kUnavailable, "the server was silent for too long"));
    } else if (now >= heartbeat_at_) {
      v1::FromWorker message;
      message.mutable_heartbeat()->set_sequence(++heartbeats_);
      Send(message);
      heartbeat_at_ = now + heartbeat_interval_;
    }
  }

  void Connect() {
    uint64_t number = ++link_number_;
    welcomed_ = false;
    Instant now = parts_.clock.Now();
    silent_at_ = now + options_.welcome_max;
    heartbeat_at_ = silent_at_;
    link_ = parts_.connector.Connect({.receive =
                                          [this, number](const v1::ToWorker& message) {
                                            events_.Push(Received{number, message});
                                          },
                                      .closed =
                                          [this, number](Status status) {
                                            events_.Push(LinkClosed{number, std::move(status)});
                                          }});
    v1::FromWorker message;
    v1::Hello& hello = *message.mutable_hello();
    hello.set_version(kProtocolVersion);
    hello.set_worker_id(id_);
    hello.set_name(options_.name);
    hello.set_slots(options_.slots);
    for (const auto& [name, value] : options_.properties) {
      auto* property = hello.mutable_platform()->add_properties();
      property->set_name(name);
      property->set_value(value);
    }
    // A report that was not acknowledged is still ours: the server may have lost the first copy.
    for (const auto* map : {&running_, &reports_}) {
      for (const auto& [key, held] : *map) {
        *hello.add_running() = held.assignment.attempt();
        bool stopped = held.report
                           ? held.report->status().code() == static_cast<int>(Code::kCancelled)
                           : held.stop.stop_requested();
        if (!stopped && held.assignment.has_action_digest()) *hello.add_held() = held.assignment;
      }
    }
    for (std::string& path : parts_.store_paths.Verified()) hello.add_store_paths(std::move(path));
    if (link_) link_->Send(message);
  }

  // `delay`: the server's wish, to come back no sooner.
  void LoseLink(const Status& status, Duration delay = {}) {
    if (!link_) return;
    link_.reset();
    Log(kWarning, "worker_link_lost", {{"worker", options_.name}, {"error", status.ToString()}});
    backoff_ = std::clamp(backoff_ * 2, options_.reconnect_min, options_.reconnect_max);
    // Spread over half the delay, so that a restarted server does not meet all workers at once.
    Duration spread = std::max(backoff_, delay) / 2;
    reconnect_at_ = parts_.clock.Now() + std::max(backoff_ / 2, delay) +
                    Duration(jitter_.Below(static_cast<uint64_t>(spread.count()) + 1));
    welcomed_ = false;
  }

  void Send(const v1::FromWorker& message) {
    if (link_ && welcomed_) link_->Send(message);
  }

  void Handle(Received& received) {
    if (received.link != link_number_ || !link_) return;
    silent_at_ = parts_.clock.Now() + silence_max_;
    v1::ToWorker& message = received.message;
    switch (message.message_case()) {
      case v1::ToWorker::kWelcome:
        return OnWelcome(message.welcome());
      case v1::ToWorker::kAssignment:
        return OnAssignment(*message.mutable_assignment());
      case v1::ToWorker::kCancel:
        return CancelAttempt(KeyOf(message.cancel().attempt()));
      case v1::ToWorker::kAcknowledge:
        reports_.erase(KeyOf(message.acknowledge().attempt()));
        return FinishDrain();
      case v1::ToWorker::kQuit: {
        Status status = reapi::FromRpcStatus(message.quit().status());
        if (status.ok()) status = ErrorStatus(Code::kUnavailable, "the server ended the link");
        // A server that is going away comes back; one that does not want us will not.
        if (status.code() == Code::kUnavailable)
          return LoseLink(status, RetryDelayOf(message.quit().status()));
        return Finish(status);
      }
      default:
        return;  // heartbeats, and messages of later versions
    }
  }

  void Handle(LinkClosed& closed) {
    if (closed.link == link_number_) LoseLink(closed.status);
  }

  void Handle(Ended& ended) {
    AttemptKey key = KeyOf(ended.report.attempt());
    bool dropped = dropped_.erase(key) != 0;
    auto node = running_.extract(key);
    actions_.Add();
    if (ended.report.status().code() != 0) failures_.Add();
    if (!dropped) {
      for (const v1::FromWorker& output : ended.outputs) Send(output);
      node.mapped().report = std::move(ended.report);
      SendReport(*node.mapped().report);
      reports_.insert(std::move(node));
    }
    FinishDrain();
  }

  void SendReport(const v1::Report& report) {
    v1::FromWorker message;
    *message.mutable_report() = report;
    Send(message);
  }

  void Handle(DrainAsked& drain) {
    draining_ = std::move(drain.reason);
    SendDrain();
    FinishDrain();
  }

  void SendDrain() {
    v1::FromWorker message;
    message.mutable_drain()->set_reason(*draining_);
    Send(message);
  }

  void OnWelcome(const v1::Welcome& welcome) {
    if (welcome.version() != kProtocolVersion)
      return Finish(
          ErrorStatus(Code::kFailedPrecondition,
                      "the server speaks version {} of the worker protocol, this worker {}",
                      welcome.version(), kProtocolVersion));
    welcomed_ = true;
    backoff_ = Duration(0);
    heartbeat_interval_ = FromMessage(welcome.heartbeat_interval(), heartbeat_interval_);
    silence_max_ = FromMessage(welcome.silence_max(), silence_max_);
    silent_at_ = parts_.clock.Now() + silence_max_;
    heartbeat_at_ = parts_.clock.Now() + heartbeat_interval_;
    Log(kInfo, "worker_joined", {{"worker", options_.name}, {"slots", options_.slots}});
    for (const v1::Attempt& attempt : welcome.drop()) {
      AttemptKey key = KeyOf(attempt);
      reports_.erase(key);
      if (running_.contains(key)) {
        dropped_.insert(key);
        CancelAttempt(key);
      }
    }
    for (const auto& [key, held] : reports_) SendReport(*held.report);
    if (draining_) SendDrain();
    FinishDrain();
  }

  void OnAssignment(v1::Assignment& assignment) {
    AttemptKey key = KeyOf(assignment.attempt());
    if (running_.contains(key) || reports_.contains(key)) return;  // told twice
    // What was told to stop does not count: the server has given its slot away already.
    auto active = std::count_if(running_.begin(), running_.end(), [](const auto& running) {
      return !running.second.stop.stop_requested();
    });
    if (active >= options_.slots || draining_) {
      v1::Report report;
      *report.mutable_attempt() = assignment.attempt();
      reapi::ToRpcStatus(
          ErrorStatus(Code::kUnavailable, "worker {} has no free slot", options_.name),
          report.mutable_status());
      report.set_retryable(true);
      SendReport(report);
      Held held = Hold(assignment);
      held.report = std::move(report);
      reports_.emplace(key, std::move(held));
      return;
    }
    Held held = Hold(assignment);
    Task task{std::move(assignment), held.stop};
    running_.emplace(key, std::move(held));
    if (look_at_ == Instant::max()) look_at_ = parts_.clock.Now() + kLookInterval;
    tasks_.Push(std::move(task));
  }

  static Held Hold(v1::Assignment& assignment) {
    v1::Assignment lean;
    // Not copied only to be thrown away.
    std::unique_ptr<build::bazel::remote::execution::v2::Command> command(
        assignment.release_command());
    lean = assignment;
    if (command && command->has_platform())
      *lean.mutable_command()->mutable_platform() = command->platform();
    if (command) assignment.set_allocated_command(command.release());
    return {std::move(lean), {}, {}};
  }

  void CancelAttempt(const AttemptKey& key) {
    if (auto it = running_.find(key); it != running_.end()) it->second.stop.request_stop();
  }

  void FinishDrain() {
    if (draining_ && running_.empty() && reports_.empty()) Finish({});
  }

  void Finish(Status status) {
    finished_ = true;
    if (!status.ok())
      Log(kError, "worker_ended", {{"worker", options_.name}, {"error", status.ToString()}});
    for (auto& [key, held] : running_) held.stop.request_stop();
    {
      std::lock_guard lock(end_mutex_);
      end_ = std::move(status);
    }
    end_changed_.notify_all();
  }

  const WorkerParts parts_;
  const WorkerOptions options_;
  const std::string id_;
  const std::unique_ptr<FileCache> files_;
  DirectoryCache directories_;
  RootMounts mounts_;
  LargeActions large_actions_;
  PersistentBudget persistent_;
  std::atomic<bool> ending_ = false;
  LiveUpdates live_;
  Counter& actions_;
  Counter& failures_;

  std::mutex end_mutex_;
  std::condition_variable_any end_changed_;
  std::optional<Status> end_;

  // Of the link thread.
  std::unique_ptr<Link> link_;
  uint64_t link_number_ = 0;
  bool welcomed_ = false, finished_ = false;
  std::optional<std::string> draining_;
  int64_t heartbeats_ = 0;
  Duration heartbeat_interval_ = std::chrono::seconds(5), silence_max_ = std::chrono::seconds(30);
  Duration backoff_{};
  Instant heartbeat_at_{}, silent_at_{}, reconnect_at_{}, look_at_ = Instant::max();
  std::map<AttemptKey, Held> running_;
  std::map<AttemptKey, Held> reports_;  // sent, not acknowledged
  std::set<AttemptKey> dropped_;        // running, and nobody waits for the report
  Random jitter_{std::hash<std::string>()(id_)};

  Mailbox<Event> events_;
  Mailbox<Task> tasks_;
  ThreadGroup threads_;
  ThreadGroup link_thread_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> DefaultProperties() {
#if defined(__aarch64__)
  return {{"ISA", "arm-a64"}, {"OSFamily", "linux"}};
#else
  return {{"ISA", "x86-64"}, {"OSFamily", "linux"}};
#endif
}

Result<std::unique_ptr<Worker>> Worker::Start(WorkerParts parts, WorkerOptions options) {
  if (options.slots < 1)
    return Error(Code::kInvalidArgument, "a worker with {} slots", options.slots);
  if (options.name.empty()) {
    char name[256] = {};
    gethostname(name, sizeof name - 1);
    options.name = name;
  }
  if (options.properties.empty()) options.properties = DefaultProperties();
  if (options.network_allowed) options.properties.emplace_back("network", "host");
  TRY(SystemFiles().MakeDirectories(options.directory));
  TRY_ASSIGN(auto files, FileCache::Open(parts.cas, {.directory = options.directory + "/files",
                                                     .size_bytes_max = options.cache_bytes_max,
                                                     .owner = parts.launcher.file_owner(),
                                                     .store_prefix = options.store_prefix}));
  for (int slot = 0; slot < options.slots; ++slot)
    TRY(RemoveTree(fmt::format("{}/slot{}", options.directory, slot)));
  return std::unique_ptr<Worker>(new LinkedWorker(parts, std::move(options), std::move(files)));
}

}  // namespace lre::worker
