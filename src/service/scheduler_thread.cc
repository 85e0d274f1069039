// One loop: take work from the mailbox (or wake for a deadline), step the scheduler, carry out the
// effects in order. Work is a function on the state, so an event and what must happen right before
// or after it (registering a receiver, forgetting one) cannot be torn apart.
#include "service/scheduler_thread.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "reapi/retry_delay.h"

namespace lre::service {

using scheduler::ClientId;
using scheduler::OperationName;
using scheduler::WorkerId;

namespace {
// How old the metrics may be.
constexpr Duration kMetricsAge = std::chrono::seconds(1);
// Clients choose the properties, and a metric stays: further sets are counted together.
constexpr size_t kQueueMetricsMax = 100;

// As the value of a label.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return escaped;
}

Status ShuttingDown() {
  return Status(Code::kUnavailable, "the scheduler is shutting down: try again");
}
}  // namespace

struct SchedulerThread::State {
  struct Link {
    WorkerId worker;
    std::shared_ptr<WorkerPeer> peer;
  };

  State(SchedulerThread& owner, Metrics& metrics);
  void Step(const scheduler::Event& event);
  void Forget(LinkId link);
  WorkerPeer* PeerOf(const WorkerId& worker);
  std::shared_ptr<ClientStream> TakeClient(ClientId client);

  void Carry(const scheduler::Assign& effect);
  void Carry(const scheduler::Cancel& effect);
  void Carry(const scheduler::Acknowledge& effect);
  void Carry(const scheduler::CloseWorker& effect);
  void Carry(const scheduler::StageChanged& effect);
  void Carry(const scheduler::Answer& effect);
  void Carry(const scheduler::UnknownOperation& effect);
  void Carry(const scheduler::Publish& effect);

  void RunDue();
  std::optional<Instant> NextWake() const;
  struct QueueMetrics {
    Gauge* actions = nullptr;
    Gauge* wait_seconds = nullptr;
    Gauge* estimate_seconds = nullptr;
    uint64_t dispatched = 0;
    double per_second = 0;  // of late
    size_t queued = 0;      // as of this update
    uint64_t dispatched_now = 0;
    Duration oldest_wait{};
  };
  void UpdateMetrics();
  void UpdateQueueMetrics(const scheduler::SchedulerStats& stats, double seconds);
  QueueMetrics& QueueMetricsOf(const std::string& properties);
  void Shut();

  SchedulerThread& owner;
  Metrics& metrics;
  std::map<std::string, QueueMetrics> queue_metrics;  // by the text of the properties
  scheduler::Scheduler scheduler;
  std::unordered_map<ClientId, std::shared_ptr<ClientStream>> clients;
  std::unordered_map<LinkId, Link> links;
  std::unordered_map<WorkerId, LinkId> current;  // the newest link of each worker
  std::multimap<Instant, std::function<void()>> later;

  Gauge &queued, &executing, &finished, &waiting, &workers, &slots, &slots_busy;
  Counter &stale_reports, &attempts_lost, &recovered, &merged, &out_of_memory, &completed;
  scheduler::SchedulerStats counted;  // what the counters hold already
  Instant metrics_at{};
  bool metrics_stale = true;
};

SchedulerThread::State::State(SchedulerThread& owner, Metrics& metrics)
    : owner(owner),
      metrics(metrics),
      scheduler(owner.options_.scheduler),
      queued(metrics.AddGauge("lre_scheduler_actions", "Actions by stage", "stage=\"queued\"")),
      executing(
          metrics.AddGauge("lre_scheduler_actions", "Actions by stage", "stage=\"executing\"")),
      finished(
          metrics.AddGauge("lre_scheduler_actions", "Actions by stage", "stage=\"completed\"")),
      waiting(metrics.AddGauge("lre_scheduler_clients", "Streams of Execute and WaitExecution")),
      workers(metrics.AddGauge("lre_scheduler_workers", "Workers that are connected")),
      slots(metrics.AddGauge("lre_scheduler_slots", "Slots of all workers")),
      slots_busy(metrics.AddGauge("lre_scheduler_slots_busy", "Slots that run an action")),
      stale_reports(metrics.AddCounter("lre_scheduler_stale_reports_total",
                                       "Reports of attempts other than the one assigned")),
      attempts_lost(metrics.AddCounter("lre_scheduler_attempts_lost_total",
                                       "Attempts that ended without a report")),
      recovered(metrics.AddCounter("lre_scheduler_attempts_recovered_total",
                                   "Attempts taken over that ran before the server started")),
      merged(metrics.AddCounter("lre_scheduler_merged_total",
                                "Requests that joined an identical action in flight")),
      out_of_memory(metrics.AddCounter("lre_scheduler_out_of_memory_total",
                                       "Attempts that were killed for want of memory")),
      completed(metrics.AddCounter("lre_scheduler_answers_total", "Answers to clients")) {}

void SchedulerThread::State::Step(const scheduler::Event& event) {
  metrics_stale = true;
  for (const scheduler::Effect& effect : scheduler.Step(owner.clock_.Now(), event)) {
    std::visit([&](const auto& one) { Carry(one); }, effect);
  }
}

WorkerPeer* SchedulerThread::State::PeerOf(const WorkerId& worker) {
  auto link = current.find(worker);
  return link == current.end() ? nullptr : links.at(link->second).peer.get();
}

std::shared_ptr<ClientStream> SchedulerThread::State::TakeClient(ClientId client) {
  auto node = clients.extract(client);
  return node.empty() ? nullptr : std::move(node.mapped());
}

void SchedulerThread::State::Forget(LinkId link) {
  auto found = links.find(link);
  if (found == links.end()) return;
  auto newest = current.find(found->second.worker);
  if (newest != current.end() && newest->second == link) current.erase(newest);
  links.erase(found);
}

void SchedulerThread::State::Carry(const scheduler::Assign& effect) {
  if (WorkerPeer* peer = PeerOf(effect.worker)) peer->OnAssign(effect);
}
void SchedulerThread::State::Carry(const scheduler::Cancel& effect) {
  if (WorkerPeer* peer = PeerOf(effect.worker)) peer->OnCancel(effect);
}
void SchedulerThread::State::Carry(const scheduler::Acknowledge& effect) {
  if (WorkerPeer* peer = PeerOf(effect.worker)) peer->OnAcknowledge(effect);
}
void SchedulerThread::State::Carry(const scheduler::CloseWorker& effect) {
  auto link = current.find(effect.worker);
  if (link == current.end()) return;
  const std::shared_ptr<WorkerPeer> peer = links.at(link->second).peer;
  Log(kWarning, "worker_closed", {{"worker", effect.worker}, {"reason", effect.status.ToString()}});
  Forget(link->second);
  peer->OnClose(effect.retry_after > Duration(0)
                    ? reapi::WithRetryDelay(effect.status, effect.retry_after)
                    : effect.status);
}
void SchedulerThread::State::Carry(const scheduler::StageChanged& effect) {
  auto client = clients.find(effect.client);
  if (client != clients.end()) client->second->OnStage(effect);
}
void SchedulerThread::State::Carry(const scheduler::Answer& effect) {
  completed.Add();
  if (auto client = TakeClient(effect.client)) client->OnAnswer(effect);
}
void SchedulerThread::State::Carry(const scheduler::UnknownOperation& effect) {
  if (auto client = TakeClient(effect.client)) client->OnUnknown(effect.operation);
}
void SchedulerThread::State::Carry(const scheduler::Publish& effect) {
  owner.publisher_(effect, [mailbox = owner.mailbox_](scheduler::Published published) {
    mailbox->Push([published = std::move(published)](State& state) { state.Step(published); });
  });
}

void SchedulerThread::State::RunDue() {
  const Instant now = owner.clock_.Now();
  if (auto due = scheduler.NextDeadline(); due && *due <= now) Step(scheduler::Tick());
  while (!later.empty() && later.begin()->first <= now) {
    auto node = later.extract(later.begin());
    node.mapped()();
  }
  if (metrics_stale && now - metrics_at >= kMetricsAge) UpdateMetrics();
}

std::optional<Instant> SchedulerThread::State::NextWake() const {
  std::optional<Instant> wake = scheduler.NextDeadline();
  auto consider = [&](Instant instant) { wake = wake ? std::min(*wake, instant) : instant; };
  if (!later.empty()) consider(later.begin()->first);
  if (metrics_stale) consider(metrics_at + kMetricsAge);
  return wake;
}

void SchedulerThread::State::UpdateMetrics() {
  const Instant before = std::exchange(metrics_at, owner.clock_.Now());
  scheduler::SchedulerStats now = scheduler.Stats(metrics_at);
  metrics_stale = now.queued > 0;  // who waits, waits longer by itself
  UpdateQueueMetrics(now, std::chrono::duration<double>(metrics_at - before).count());
  queued.Set(static_cast<int64_t>(now.queued));
  executing.Set(static_cast<int64_t>(now.executing));
  finished.Set(static_cast<int64_t>(now.finished));
  waiting.Set(static_cast<int64_t>(now.clients));
  workers.Set(static_cast<int64_t>(now.workers));
  slots.Set(static_cast<int64_t>(now.slots));
  slots_busy.Set(static_cast<int64_t>(now.slots_busy));
  stale_reports.Add(now.stale_reports - counted.stale_reports);
  attempts_lost.Add(now.attempts_lost - counted.attempts_lost);
  recovered.Add(now.recovered - counted.recovered);
  merged.Add(now.merged - counted.merged);
  out_of_memory.Add(now.out_of_memory - counted.out_of_memory);
  counted = std::move(now);
}

SchedulerThread::State::QueueMetrics& SchedulerThread::State::QueueMetricsOf(
    const std::string& properties) {
  const bool room = queue_metrics.size() < kQueueMetricsMax || queue_metrics.contains(properties);
  QueueMetrics& queue = queue_metrics[room ? properties : "(others)"];
  if (queue.actions != nullptr) return queue;
  const std::string labels =
      fmt::format("properties=\"{}\"", room ? Escaped(properties) : "(others)");
  queue.actions = &metrics.AddGauge("lre_scheduler_queue_actions",
                                    "Actions that wait, by the properties they ask for", labels);
  queue.wait_seconds = &metrics.AddGauge("lre_scheduler_queue_oldest_wait_seconds",
                                         "How long the first of them has waited", labels);
  queue.estimate_seconds =
      &metrics.AddGauge("lre_scheduler_queue_wait_estimate_seconds",
                        "How long one more would wait, as fast as they start of late", labels);
  return queue;
}

void SchedulerThread::State::UpdateQueueMetrics(const scheduler::SchedulerStats& stats,
                                                double seconds) {
  for (auto& [_, queue] : queue_metrics) {
    queue.queued = 0;
    queue.dispatched_now = 0;
    queue.oldest_wait = Duration(0);
  }
  // Learned sizes split a set of properties into queues that read the same.
  for (const auto& one : stats.queues) {
    QueueMetrics& queue = QueueMetricsOf(one.properties);
    queue.queued += one.queued;
    queue.dispatched_now += one.dispatched;
    queue.oldest_wait = std::max(queue.oldest_wait, one.oldest_wait);
  }
  for (auto& [_, queue] : queue_metrics) {
    const uint64_t more =
        queue.dispatched_now > queue.dispatched ? queue.dispatched_now - queue.dispatched : 0;
    if (queue.queued > 0) queue.dispatched = queue.dispatched_now;
    if (seconds > 0) {
      // Halves in about five seconds.
      const double weight = 1 - std::exp(-seconds / 7);
      queue.per_second += (static_cast<double>(more) / seconds - queue.per_second) * weight;
    }
    const double waited = std::chrono::duration<double>(queue.oldest_wait).count();
    const double estimate =
        queue.per_second > 0.001 ? static_cast<double>(queue.queued) / queue.per_second : waited;
    queue.actions->Set(static_cast<int64_t>(queue.queued));
    queue.wait_seconds->Set(static_cast<int64_t>(waited));
    queue.estimate_seconds->Set(static_cast<int64_t>(estimate));
  }
}

void SchedulerThread::State::Shut() {
  const Status status = ShuttingDown();
  for (auto& [id, client] : std::exchange(clients, {})) {
    client->OnAnswer(scheduler::Answer{id, "", status, nullptr, nullptr});
  }
  current.clear();
  for (auto& [_, link] : std::exchange(links, {})) link.peer->OnClose(status);
}

SchedulerThread::SchedulerThread(SchedulerThreadOptions options, Publisher publisher,
                                 const Clock& clock, Metrics& metrics)
    : options_(std::move(options)),
      publisher_(std::move(publisher)),
      clock_(clock),
      log_streams_(clock, options_.log_streams),
      mailbox_(std::make_shared<Mailbox<Work>>(options_.mailbox_events_max)),
      state_(std::make_unique<State>(*this, metrics)) {
  threads_.Add("scheduler", [this](std::stop_token stop) { Run(std::move(stop)); });
}

SchedulerThread::~SchedulerThread() { Stop(); }

void SchedulerThread::Run(std::stop_token stop) {
  thread_.store(std::this_thread::get_id());
  while (!stop.stop_requested()) {
    std::optional<Instant> wake = state_->NextWake();
    if (wake) {
      // The mailbox waits on the machine's clock, which is not ours in tests.
      wake = SystemClock().Now() + std::max(Duration(0), *wake - clock_.Now());
    }
    if (std::optional<Work> work = mailbox_->Pop(stop, wake)) (*work)(*state_);
    state_->RunDue();
  }
}

void SchedulerThread::Post(Work work) {
  if (!stopped_.load()) mailbox_->Push(std::move(work));
}

void SchedulerThread::Stop() {
  threads_.Stop();
  if (stopped_.exchange(true)) return;
  // Nobody else touches the state now. What was posted before still counts.
  while (std::optional<Work> work = mailbox_->Pop({}, SystemClock().Now())) (*work)(*state_);
  state_->Shut();
  mailbox_->Close();
}

Result<ClientId> SchedulerThread::Execute(OperationName name, scheduler::ActionRequest request,
                                          std::shared_ptr<ClientStream> stream) {
  if (stopped_.load())
    return Error(Code::kUnavailable, "the scheduler is shutting down: try again");
  const ClientId client = next_id_++;
  scheduler::Enqueue event{std::move(name),
                           std::make_shared<const scheduler::ActionRequest>(std::move(request)),
                           client};
  const bool taken = mailbox_->TryPush(
      [event = std::move(event), stream = std::move(stream)](State& state) mutable {
        state.clients.emplace(event.client, std::move(stream));
        state.Step(event);
      });
  if (!taken) {
    return Error(Code::kResourceExhausted,
                 "{} events wait for the scheduler already (mailbox_events_max): try again later",
                 options_.mailbox_events_max);
  }
  return client;
}

ClientId SchedulerThread::Wait(OperationName name, std::shared_ptr<ClientStream> stream,
                               scheduler::Scope scope) {
  const ClientId client = next_id_++;
  if (stopped_.load()) {
    stream->OnAnswer({client, name, ShuttingDown(), nullptr, nullptr});
    return client;
  }
  Post([event = scheduler::ClientAttached{std::move(name), client, std::move(scope)},
        stream = std::move(stream)](State& state) mutable {
    state.clients.emplace(event.client, std::move(stream));
    state.Step(event);
  });
  return client;
}

void SchedulerThread::Leave(ClientId client) {
  Post([client](State& state) {
    if (state.TakeClient(client)) state.Step(scheduler::ClientLeft{client});
  });
}

void SchedulerThread::CancelOperation(OperationName name) {
  Post([event = scheduler::CancelRequested{std::move(name)}](State& state) { state.Step(event); });
}

void SchedulerThread::DeleteOperation(OperationName name) {
  Post([event = scheduler::OperationDeleted{std::move(name)}](State& state) { state.Step(event); });
}

void SchedulerThread::Join(LinkId link, scheduler::WorkerJoined joined,
                           std::shared_ptr<WorkerPeer> peer) {
  Post([link, event = std::move(joined), peer = std::move(peer)](State& state) mutable {
    std::shared_ptr<WorkerPeer> replaced;
    if (auto old = state.current.find(event.worker); old != state.current.end()) {
      replaced = state.links.at(old->second).peer;
      state.Forget(old->second);
    }
    state.current[event.worker] = link;
    state.links[link] = {event.worker, std::move(peer)};
    if (replaced) {
      replaced->OnClose(ErrorStatus(Code::kAborted, "worker {} has connected again", event.worker));
    }
    Log(kInfo, "worker_joined",
        {{"worker", event.worker}, {"name", event.name}, {"slots", event.slots}});
    state.Step(event);
  });
}

void SchedulerThread::FromWorker(LinkId link, scheduler::Event event) {
  Post([link, event = std::move(event)](State& state) {
    // A late event of a link that was replaced or closed is nobody's.
    if (state.links.contains(link)) state.Step(event);
  });
}

void SchedulerThread::LinkLost(LinkId link) {
  Post([link](State& state) {
    auto found = state.links.find(link);
    if (found == state.links.end()) return;
    const WorkerId worker = found->second.worker;
    state.Forget(link);
    Log(kInfo, "worker_link_lost", {{"worker", worker}});
    state.Step(scheduler::WorkerLost{worker});
  });
}

void SchedulerThread::DeclarePool(scheduler::PoolDeclared pool) {
  Post([event = std::move(pool)](State& state) { state.Step(event); });
}

void SchedulerThread::ClosePools() {
  Post([](State& state) { state.Step(scheduler::PoolsClosed()); });
}

bool SchedulerThread::Query(
    std::function<void(const scheduler::Scheduler& scheduler, Instant now)> look) {
  if (stopped_.load()) return false;
  return mailbox_->TryPush(
      [this, look = std::move(look)](State& state) { look(state.scheduler, clock_.Now()); });
}

void SchedulerThread::After(Duration delay, std::function<void()> work) {
  Post([this, delay, work = std::move(work)](State& state) mutable {
    state.later.emplace(clock_.Now() + delay, std::move(work));
  });
}

void SchedulerThread::Flush() {
  struct Done {
    std::mutex mutex;
    std::condition_variable_any ready;
    bool done = false;
  };
  if (thread_.load() == std::this_thread::get_id() || stopped_.load()) return;
  auto state = std::make_shared<Done>();
  // The function's end is what counts, also when it is dropped without having run.
  auto signal = std::shared_ptr<void>(nullptr, [state](void*) {
    {
      std::lock_guard lock(state->mutex);
      state->done = true;
    }
    state->ready.notify_all();
  });
  Post([signal = std::move(signal)](State&) {});
  std::unique_lock lock(state->mutex);
  // Work that was posted while the thread ended may never be looked at.
  while (!state->done && !stopped_.load()) {
    state->ready.wait_for(lock, std::chrono::milliseconds(100), [&] { return state->done; });
  }
}

}  // namespace lre::service
