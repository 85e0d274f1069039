#include "simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

namespace lre::scheduler {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// All but the last are offered by some worker.
const Properties kSets[] = {{{"OSFamily", "linux"}},
                            {{"OSFamily", "Linux"}, {"Pool", "large"}},
                            {},
                            {{"cores", "2"}},
                            {{"OSFamily", "linux"}, {"cores", "0.5"}, {"memory", "3GiB"}},
                            {{"cores", "4"}, {"memory", "1GiB"}, {"Pool", "either"}},
                            {{"OSFamily", "windows"}}};
constexpr size_t kServed = std::size(kSets) - 1;

Properties Offered(uint64_t kind) {
  if (kind == 0) {
    return {{"OSFamily", "linux"}, {"Pool", "large|either"}, {"cores", "4"}, {"memory", "8GiB"}};
  }
  if (kind == 1) return {{"OSFamily", "LINUX"}, {"Pool", "small"}};
  return {{"OSFamily", "linux"}, {"Pool", "either"}, {"cores", "5"}, {"memory", "4GiB"}};
}

}  // namespace

Simulation::Simulation(uint64_t seed, SimulationOptions options)
    : seed_(seed),
      options_(options),
      random_(seed),
      scheduler_options_(DrawOptions()),
      scheduler_(std::make_unique<Scheduler>(scheduler_options_)),
      now_(hours(1)) {}

size_t Simulation::OneOrTwoOr(size_t usual) {
  const uint64_t choice = random_.Below(6);
  return choice < 2 ? choice + 1 : usual;
}

SchedulerOptions Simulation::DrawOptions() {
  SchedulerOptions options;
  options.timeout_default = minutes(2);
  options.staging_max = minutes(1);
  if (seed_ % 4 == 0) return options;  // nothing but the usual
  options.queued_actions_max = OneOrTwoOr(options.queued_actions_max);
  options.workers_max = OneOrTwoOr(options.workers_max);
  options.slots_max = static_cast<int>(OneOrTwoOr(static_cast<size_t>(options.slots_max)));
  options.clients_max = OneOrTwoOr(options.clients_max);
  options.property_sets_max = OneOrTwoOr(options.property_sets_max);
  options.finished_operations_max = OneOrTwoOr(options.finished_operations_max);
  options.attempts_max = static_cast<int>(OneOrTwoOr(static_cast<size_t>(options.attempts_max)));
  options.quarantined_actions_max = OneOrTwoOr(options.quarantined_actions_max);
  options.client_grace = seconds(OneOrTwoOr(60));
  options.reconnect_grace = seconds(OneOrTwoOr(5));
  options.worker_grace = seconds(OneOrTwoOr(10));
  options.cancel_grace = seconds(OneOrTwoOr(30));
  options.reserve_after = seconds(OneOrTwoOr(10));
  options.locality_entries_max = OneOrTwoOr(options.locality_entries_max);
  options.learned_sizes_max = OneOrTwoOr(options.learned_sizes_max);
  options.locality_load_max = static_cast<int>(OneOrTwoOr(3)) - 1;
  options.locality_lookahead = static_cast<int>(OneOrTwoOr(9)) - 1;
  return options;
}

Duration Simulation::Between(Duration low, Duration high) {
  return low + Duration(random_.Below(static_cast<uint64_t>((high - low).count()) + 1));
}

void Simulation::After(Duration delay, std::function<void()> what) {
  later_.push({now_ + delay, next_sequence_++, std::move(what)});
}

void Simulation::Step(const Event& event) {
  steps_++;
  for (const Effect& effect : scheduler_->Step(now_, event)) Handle(effect);
}

void Simulation::Run() {
  for (int i = 0; i < options_.workers; i++)
    After(Between(seconds(0), seconds(20)), [this] { StartWorker(); });
  After(seconds(1), [this] { ClientArrives(); });
  After(seconds(60), [this] { Trouble(); });
  const Instant load_end = now_ + options_.load;
  const Instant end = load_end + hours(1);
  while (now_ < end && !testing::Test::HasFailure()) {
    const std::optional<Instant> deadline = scheduler_->NextDeadline();
    Instant next = end;
    if (!later_.empty()) next = std::min(next, later_.top().due);
    if (deadline) next = std::min(next, std::max(now_, *deadline));
    now_ = std::max(now_, next);
    if (now_ >= load_end) loading_ = false;
    if (deadline && *deadline <= now_) Step(Tick());
    while (!later_.empty() && later_.top().due <= now_) {
      std::function<void()> what = later_.top().what;
      later_.pop();
      what();
    }
  }
  if (!testing::Test::HasFailure()) CheckSettled();
  EXPECT_FALSE(testing::Test::HasFailure()) << "replay with LRE_SIM_SEED=" << seed_;
}

// --- Clients ---

void Simulation::ClientArrives() {
  if (!loading_) return;
  // Bursts and pauses.
  After(random_.OneIn(50) ? Between(seconds(10), minutes(2)) : Between(Duration(0), seconds(1)),
        [this] { ClientArrives(); });
  const ClientId id = next_client_++;
  Client& client = clients_[id];
  const uint64_t action = random_.Below(200);
  client.action = "action" + std::to_string(action);
  ActionRequest request;
  request.action = ComputeDigest(DigestFunction::kSha256, client.action);
  request.properties = kSets[action < 5 ? kServed : action % kServed];  // part of the action
  request.priority = static_cast<int32_t>(random_.Below(5)) - 2;
  request.invocation = std::to_string(random_.Below(4));
  request.partition = static_cast<uint32_t>(random_.Below(2));
  request.do_not_cache = random_.OneIn(10);
  request.timeout = random_.OneIn(100) ? hours(24) : seconds(random_.Below(100));
  request.kind = random_.Below(12);
  request.affinities = {1 + random_.Below(20), 100 + random_.Below(2)};
  request.payload = std::make_shared<std::string>(client.action);
  client.request = std::make_shared<const ActionRequest>(std::move(request));
  Ask(id);
  if (random_.OneIn(8)) {
    After(Between(Duration(0), minutes(2)), [this, id] { ClientLeaves(id); });
  }
  if (random_.OneIn(30)) {
    After(Between(Duration(0), minutes(1)),
          [this, name = clients_[id].operation] { Step(CancelRequested{name}); });
  }
  if (random_.OneIn(30)) {
    After(Between(Duration(0), minutes(9)),
          [this, name = clients_[id].operation] { Step(OperationDeleted{name}); });
  }
}

void Simulation::Ask(ClientId id) {
  Client& client = clients_.at(id);
  client.operation = "operations/" + std::to_string(next_operation_++);
  Step(Enqueue{client.operation, client.request, id});
}

void Simulation::ClientLeaves(ClientId id) {
  Client& client = clients_.at(id);
  if (client.answers == 0) client.left = true;
  Step(ClientLeft{id});
  if (random_.OneIn(2)) return;
  After(Between(Duration(0), minutes(2)),
        [this, operation = client.operation, action = client.action] {
          const ClientId again = next_client_++;
          clients_[again].operation = operation;
          clients_[again].action = action;
          Step(ClientAttached{operation, again});
        });
}

void Simulation::OnAnswer(ClientId id, const OperationName&, const Status& status,
                          const std::shared_ptr<const void>& answer) {
  answers_++;
  Client& client = clients_.at(id);
  EXPECT_FALSE(client.left) << "an answer to client " << id << ", which left";
  EXPECT_EQ(++client.answers, 1) << "client " << id << " got a second answer";
  if (status.ok()) {
    ASSERT_TRUE(answer);
    EXPECT_EQ(*static_cast<const std::string*>(answer.get()), client.action);
  } else {
    EXPECT_FALSE(status.message().empty());
    // What no worker offers is never given to one.
    const bool given = status.message().find("attempts without a result") != std::string::npos;
    EXPECT_FALSE(given && client.request && client.request->properties == kSets[kServed]);
  }
}

// --- Effects ---

void Simulation::Handle(const Effect& effect) {
  if (const auto* assign = std::get_if<Assign>(&effect)) {
    assigns_++;
    auto& [worker, number] = believed_[assign->attempt.operation];
    EXPECT_GT(assign->attempt.number, number) << "attempt numbers go up";
    // Whoever ran it before must have been given up: its link is broken or it was told to stop.
    auto before = workers_.find(worker);
    if (before != workers_.end()) {
      auto attempt = before->second.attempts.find({assign->attempt.operation, number});
      const bool given_up = attempt == before->second.attempts.end() || attempt->second.finished ||
                            attempt->second.cancelled || before->second.link == 0 ||
                            before->second.link != server_links_[worker];
      EXPECT_TRUE(given_up) << assign->attempt.operation << " runs on " << worker << " and on "
                            << assign->worker;
    }
    worker = assign->worker;
    number = assign->attempt.number;
    Deliver(assign->worker, server_links_[assign->worker],
            [this, assign = *assign](Worker& to) { OnAssign(to, assign); });
  } else if (const auto* cancel = std::get_if<Cancel>(&effect)) {
    // From here on it is given up, even while the message is under way.
    auto worker = workers_.find(cancel->worker);
    if (worker != workers_.end() && worker->second.attempts.contains(cancel->attempt)) {
      worker->second.attempts[cancel->attempt].cancelled = true;
    }
    Deliver(cancel->worker, server_links_[cancel->worker],
            [this, attempt = cancel->attempt](Worker& to) { OnCancel(to, attempt); });
  } else if (const auto* acknowledge = std::get_if<Acknowledge>(&effect)) {
    Deliver(acknowledge->worker, server_links_[acknowledge->worker],
            [attempt = acknowledge->attempt](Worker& to) {
              to.unacknowledged.erase(attempt);
              to.attempts.erase(attempt);
            });
  } else if (const auto* close = std::get_if<CloseWorker>(&effect)) {
    const uint64_t link = std::exchange(server_links_[close->worker], 0);
    Deliver(close->worker, link, [this, id = close->worker](Worker&) { Break(id); });
  } else if (const auto* answer = std::get_if<Answer>(&effect)) {
    OnAnswer(answer->client, answer->operation, answer->status, answer->answer);
  } else if (const auto* unknown = std::get_if<UnknownOperation>(&effect)) {
    OnUnknown(unknown->client, unknown->operation);
  } else if (const auto* stage = std::get_if<StageChanged>(&effect)) {
    Client& client = clients_.at(stage->client);
    EXPECT_FALSE(client.left);
    EXPECT_EQ(client.answers, 0) << "a stage after the answer";
    client.operation = stage->operation;
  } else if (const auto* publish = std::get_if<Publish>(&effect)) {
    OnPublish(*publish);
  }
}

void Simulation::OnPublish(const Publish& publish) {
  const bool fails = random_.OneIn(50);
  After(Between(Duration(0), milliseconds(20)), [this, publish, fails, server = generation_] {
    if (server != generation_) return;
    Step(fails ? Published{publish.attempt, Status(Code::kInternal, "blob absent"), true, nullptr}
               : Published{publish.attempt, Status(), false, publish.answer});
  });
}

void Simulation::OnUnknown(ClientId id, const OperationName& name) {
  Client& client = clients_.at(id);
  if (!client.request || generation_ == 0) {
    return OnAnswer(id, name, Status(Code::kNotFound, "unknown"), nullptr);
  }
  // As clients do when the server was restarted.
  After(Between(Duration(0), seconds(1)), [this, id, server = generation_] {
    const Client& again = clients_.at(id);
    if (!again.left && again.answers == 0 && server == generation_) Ask(id);
  });
}

void Simulation::Restart() {
  recovered_ += scheduler_->Stats(now_).recovered;
  generation_++;
  scheduler_ = std::make_unique<Scheduler>(scheduler_options_);
  for (auto& [_, link] : server_links_) link = 0;
  std::vector<WorkerId> linked;
  for (const auto& [id, worker] : workers_) {
    if (worker.link != 0) linked.push_back(id);
  }
  for (const WorkerId& id : linked) Break(id);
  for (const auto& [id, client] : clients_) {
    if (client.left || client.answers > 0) continue;
    After(Between(Duration(0), seconds(5)), [this, id, server = generation_] {
      const Client& again = clients_.at(id);
      if (!again.left && again.answers == 0 && server == generation_) {
        Step(ClientAttached{again.operation, id});
      }
    });
  }
}

// --- Workers ---

void Simulation::StartWorker() {
  const WorkerId id = "worker" + std::to_string(next_worker_++);
  Worker& worker = workers_[id];
  worker.id = id;
  worker.slots = 1 + static_cast<int>(random_.Below(4));
  worker.properties = Offered(random_.Below(3));
  Connect(id);
}

void Simulation::Connect(const WorkerId& id) {
  auto found = workers_.find(id);
  if (found == workers_.end() || found->second.link != 0) return;
  Worker& worker = found->second;
  worker.link = next_link_++;
  worker.draining = false;
  WorkerJoined joined{id, "name of " + id, worker.properties, worker.slots, {}};
  for (const auto& [attempt, what] : worker.attempts) {
    joined.running.push_back(attempt);
    if (what.cancelled || !what.request) continue;
    auto held = std::make_shared<ActionRequest>(*what.request);
    held->memory_bytes = what.memory_bytes;
    joined.held[attempt] = std::move(held);
  }
  const uint64_t link = worker.link;
  last_delivery_[link] = now_;
  const Duration delay = Between(Duration(0), milliseconds(50));
  last_delivery_[link] = now_ + delay;
  After(delay, [this, id, link, joined] {
    if (!workers_.contains(id) || workers_.at(id).link != link) return;
    server_links_[id] = link;
    Step(joined);
  });
  std::vector<WorkerReported> again;
  for (const auto& [_, report] : worker.unacknowledged) again.push_back(report);
  for (WorkerReported& report : again) Tell(id, std::move(report));
  After(seconds(5), [this, id, link] { Heartbeat(id, link); });
}

void Simulation::Heartbeat(const WorkerId& id, uint64_t link) {
  auto worker = workers_.find(id);
  if (worker == workers_.end() || worker->second.link != link) return;
  Tell(id, WorkerHeard{id});
  After(seconds(5), [this, id, link] { Heartbeat(id, link); });
}

// A message of a worker on its present link: in order, lost when the link breaks under way.
void Simulation::Tell(const WorkerId& id, Event event) {
  const uint64_t link = workers_.at(id).link;
  if (link == 0) return;
  Instant& last = last_delivery_[link];
  last = std::max(last, now_ + Between(Duration(0), milliseconds(50)));
  After(last - now_, [this, id, link, event = std::move(event)] {
    auto worker = workers_.find(id);
    if (worker == workers_.end() || worker->second.link != link || server_links_[id] != link)
      return;
    Step(event);
  });
}

void Simulation::Deliver(const WorkerId& id, uint64_t link, std::function<void(Worker&)> what) {
  if (link == 0) return;
  Instant& last = last_delivery_[link];
  last = std::max(last, now_ + Between(Duration(0), milliseconds(50)));
  After(last - now_, [this, id, link, what = std::move(what)] {
    auto worker = workers_.find(id);
    if (worker != workers_.end() && worker->second.link == link) what(worker->second);
  });
}

void Simulation::Break(const WorkerId& id) {
  auto found = workers_.find(id);
  if (found == workers_.end() || found->second.link == 0) return;
  breaks_++;
  const uint64_t link = std::exchange(found->second.link, 0);
  // The server hears of it soon, or only through silence.
  if (!random_.OneIn(4)) {
    After(Between(Duration(0), seconds(1)), [this, id, link] {
      if (server_links_[id] != link) return;
      server_links_[id] = 0;
      Step(WorkerLost{id});
    });
  }
  After(Between(milliseconds(100), seconds(20)), [this, id] { Connect(id); });
}

void Simulation::Crash(const WorkerId& id) {
  if (!workers_.contains(id)) return;
  crashes_++;
  Break(id);
  workers_.erase(id);
  After(Between(seconds(1), seconds(60)), [this] { StartWorker(); });
}

void Simulation::Trouble() {
  if (!loading_) return;
  After(Between(seconds(1), seconds(90)), [this] { Trouble(); });
  if (random_.OneIn(12)) return Restart();
  if (workers_.empty()) return;
  auto at = workers_.begin();
  std::advance(at, random_.Below(workers_.size()));
  const WorkerId id = at->first;
  switch (random_.Below(4)) {
    case 0:
      return Crash(id);
    case 1: {  // drains, then goes
      Tell(id, WorkerDraining{id});
      at->second.draining = true;
      After(seconds(60), [this, id] { Crash(id); });
      return;
    }
    default:
      return Break(id);
  }
}

void Simulation::OnAssign(Worker& worker, const Assign& assign) {
  Attempt& attempt = worker.attempts[assign.attempt];
  int live = 0;
  for (const auto& [_, one] : worker.attempts) live += !one.finished && !one.cancelled;
  EXPECT_LE(live, worker.slots) << worker.id << " has too few slots";
  EXPECT_LE(live, scheduler_options_.slots_max);
  worker.attempts[assign.attempt].memory_bytes = assign.memory_bytes;
  worker.attempts[assign.attempt].request = assign.request;
  CheckRoom(worker);
  CheckServes(worker, *assign.request);
  attempt.finished = false;
  const std::string& action = *static_cast<const std::string*>(assign.request->payload.get());
  if (action == "action13") {  // kills its worker
    After(milliseconds(100), [this, id = worker.id] { Crash(id); });
    return;
  }
  if (random_.OneIn(60)) return;  // hangs until it is cancelled
  const Duration time =
      random_.OneIn(10) ? Between(seconds(1), minutes(2)) : Between(milliseconds(1), seconds(3));
  After(time, [this, id = worker.id, assign] { Finish(id, assign); });
}

void Simulation::Finish(const WorkerId& id, const Assign& assign) {
  auto worker = workers_.find(id);
  if (worker == workers_.end()) return;
  auto attempt = worker->second.attempts.find(assign.attempt);
  if (attempt == worker->second.attempts.end() || attempt->second.finished) return;
  attempt->second.finished = true;
  WorkerReported report{id, assign.attempt, Status(), false, assign.request->payload, {}, false};
  report.usage = {static_cast<int64_t>(random_.Below(uint64_t{6} << 30)),
                  milliseconds(random_.Below(4000)), milliseconds(1 + random_.Below(1000))};
  if (attempt->second.cancelled) {
    report.status = Status(Code::kCancelled, "stopped");
  } else if (random_.OneIn(20)) {
    report.status = Status(Code::kInternal, "disk full");
    report.retryable = true;
  } else if (random_.OneIn(20)) {
    report.status = Status(Code::kResourceExhausted, "out of memory");
    report.retryable = random_.OneIn(2);
    report.out_of_memory = true;
  } else if (random_.OneIn(20)) {
    report.status = Status(Code::kFailedPrecondition, "inputs missing");
  }
  worker->second.unacknowledged[assign.attempt] = report;
  Tell(id, report);
}

void Simulation::OnCancel(Worker& worker, const AttemptId& attempt) {
  auto found = worker.attempts.find(attempt);
  if (found != worker.attempts.end() && found->second.finished) return;  // its report is under way
  worker.attempts[attempt].cancelled = true;
  const Duration time =
      random_.OneIn(20) ? Between(seconds(1), minutes(2)) : Between(Duration(0), seconds(1));
  After(time, [this, id = worker.id, attempt] {
    auto owner = workers_.find(id);
    if (owner == workers_.end()) return;
    auto stopped = owner->second.attempts.find(attempt);
    if (stopped == owner->second.attempts.end() || stopped->second.finished) return;
    stopped->second.finished = true;
    WorkerReported report{id, attempt, Status(Code::kCancelled, "stopped"), false, nullptr,
                          {}, false};
    owner->second.unacknowledged[attempt] = report;
    Tell(id, report);
  });
}

}  // namespace lre::scheduler
