#include "rule_farm.h"

#include <gtest/gtest.h>

#include <utility>

namespace lre::scheduler {

RuleFarm::RuleFarm(uint64_t seed, SchedulerOptions options)
    : options_(std::move(options)),
      random_(seed),
      scheduler_(std::make_unique<Scheduler>(options_)) {}

Duration RuleFarm::Between(Duration low, Duration high) {
  return low + Duration(random_.Below(static_cast<uint64_t>((high - low).count()) + 1));
}

void RuleFarm::At(Instant when, std::function<void()> what) {
  later_.push({std::max(when, now_), next_sequence_++, std::move(what)});
}

void RuleFarm::RunFor(Duration time) {
  const Instant end = now_ + time;
  while (!testing::Test::HasFailure()) {
    Instant next = end;
    if (!later_.empty()) next = std::min(next, later_.top().due);
    const auto deadline = scheduler_->NextDeadline();
    if (deadline) next = std::min(next, std::max(now_, *deadline));
    now_ = std::max(now_, next);
    if (deadline && *deadline <= now_) Step(Tick());
    while (!later_.empty() && later_.top().due <= now_) {
      const std::function<void()> what = later_.top().what;
      later_.pop();
      what();
    }
    if (now_ >= end) return;
  }
}

void RuleFarm::Step(const Event& event) {
  for (const Effect& effect : scheduler_->Step(now_, event)) {
    if (const auto* assign = std::get_if<Assign>(&effect)) {
      OnAssign(*assign);
    } else if (const auto* cancel = std::get_if<Cancel>(&effect)) {
      cancelled_.insert(cancel->attempt.operation);
      const auto worker = workers_.find(cancel->worker);
      if (worker == workers_.end() || worker->second.running.erase(cancel->attempt) == 0) continue;
      At(now_ + std::chrono::milliseconds(10), [this, cancel = *cancel] {
        Report(cancel.worker, {cancel.worker, cancel.attempt, Status(Code::kCancelled, "stopped")});
      });
    } else if (const auto* publish = std::get_if<Publish>(&effect)) {
      At(now_, [this, publish = *publish, server = scheduler_.get()] {
        if (server != scheduler_.get()) return;
        Step(Published{publish.attempt, Status(), false, publish.answer});
      });
    } else if (const auto* answer = std::get_if<Answer>(&effect)) {
      Client& client = clients_.at(answer->client);
      EXPECT_FALSE(client.answered) << "a second answer about " << client.action;
      client.answered = now_;
      client.status = answer->status;
    } else if (const auto* unknown = std::get_if<UnknownOperation>(&effect)) {
      Client& client = clients_.at(unknown->client);
      EXPECT_FALSE(client.answered) << "a second answer about " << client.action;
      client.answered = now_;
      client.unknown = true;
    } else if (const auto* stage = std::get_if<StageChanged>(&effect)) {
      clients_.at(stage->client).operation = stage->operation;
    }
  }
}

ClientId RuleFarm::Enqueue(const Ask& ask) {
  const ClientId id = next_client_++;
  Client& client = clients_[id];
  client.action = ask.action;
  client.asked = now_;
  client.operation = "op" + std::to_string(id);
  ActionRequest request;
  request.action = ComputeDigest(DigestFunction::kSha256, ask.action);
  request.properties = ask.properties;
  request.partition = ask.partition;
  request.user = ask.user;
  request.invocation = ask.invocation;
  request.priority = ask.priority;
  request.affinities = ask.affinities;
  request.kind = ask.kind;
  request.payload = std::make_shared<std::string>(ask.action);
  Step(scheduler::Enqueue{client.operation,
                          std::make_shared<const ActionRequest>(std::move(request)), id});
  return id;
}

ClientId RuleFarm::Attach(ClientId lost) {
  const ClientId id = next_client_++;
  Client client;
  client.action = clients_.at(lost).action;
  client.operation = clients_.at(lost).operation;
  client.asked = now_;
  clients_[id] = client;
  Step(ClientAttached{client.operation, id});
  return id;
}

std::string RuleFarm::Executing() const {
  std::string letters;
  for (const auto& [_, client] : clients_) {
    if (client.answered || client.starts.empty()) continue;
    const auto view = scheduler_->Find(client.operation);
    if (view && view->stage == Stage::kExecuting) letters += client.action[0];
  }
  return letters;
}

void RuleFarm::Leave(ClientId client) {
  clients_.at(client).left = true;
  Step(ClientLeft{client});
}

void RuleFarm::AddWorker(const Kind& kind) {
  const WorkerId id = kind.name + "#" + std::to_string(next_worker_++);
  workers_[id].kind = kind;
  Join(id);
  if (kind.crash_every > Duration(0)) PlanCrash(id, kind.crash_every);
}

void RuleFarm::PlanCrash(const WorkerId& id, Duration every) {
  At(now_ + Between(Duration(0), 2 * every), [this, id] { Crash(id); });
}

void RuleFarm::Join(const WorkerId& id) {
  Worker& worker = workers_.at(id);
  worker.linked = true;
  WorkerJoined joined{id, worker.kind.name, worker.kind.properties, worker.kind.slots, {}, {}};
  for (const auto& [attempt, request] : worker.running) {
    joined.running.push_back(attempt);
    joined.held[attempt] = request;
  }
  Step(joined);
}

void RuleFarm::Crash(const WorkerId& id) {
  const auto worker = workers_.find(id);
  if (worker == workers_.end()) return;
  const Kind kind = worker->second.kind;
  workers_.erase(worker);
  crashes_++;
  Step(WorkerLost{id});
  At(now_ + kind.back_after, [this, kind] { AddWorker(kind); });
}

void RuleFarm::Restart() {
  scheduler_ = std::make_unique<Scheduler>(options_);
  for (auto& [id, worker] : workers_) {
    worker.linked = false;
    At(now_ + Between(Duration(0), std::chrono::seconds(3)), [this, id = id] {
      if (workers_.contains(id)) Join(id);
    });
  }
}

void RuleFarm::OnAssign(const Assign& assign) {
  const std::string& action = *static_cast<const std::string*>(assign.request->payload.get());
  const auto worker = workers_.find(assign.worker);
  if (worker == workers_.end()) return;  // it crashed; the scheduler has yet to hear of it
  const std::string& name = worker->second.kind.name;
  const Start start{now_, name, assign.memory_bytes};
  for (auto& [_, client] : clients_) {
    if (client.operation == assign.attempt.operation && !client.answered) {
      client.starts.push_back(start);
    }
  }
  EXPECT_LT(worker->second.running.size(), static_cast<size_t>(worker->second.kind.slots));
  worker->second.running[assign.attempt] = assign.request;
  started_.push_back({action, name, assign.memory_bytes});
  const Run what = run ? run(started_.back()) : Run();
  if (what.end == Run::End::kHangs) return;
  At(now_ + what.time,
     [this, id = assign.worker, assign, end = what.end] { End(id, assign, end); });
}

void RuleFarm::End(const WorkerId& id, const Assign& assign, Run::End end) {
  const auto found = workers_.find(id);
  if (found == workers_.end() || !found->second.running.contains(assign.attempt)) return;
  if (end == Run::End::kKillsWorker) return Crash(id);
  WorkerReported report{id, assign.attempt, Status(), false, assign.request->payload};
  if (end == Run::End::kOutOfMemory) {
    report.status = Status(Code::kResourceExhausted, "out of memory");
    report.out_of_memory = true;
    report.usage.memory_peak_bytes = int64_t{700} << 20;
  } else if (end == Run::End::kWorkersFault) {
    report.status = Status(Code::kInternal, "disk full");
    report.retryable = true;
  }
  Report(id, std::move(report));
}

void RuleFarm::Report(const WorkerId& id, WorkerReported report) {
  const auto worker = workers_.find(id);
  if (worker == workers_.end()) return;
  if (!worker->second.linked) {
    At(now_ + std::chrono::milliseconds(100), [this, id, report] { Report(id, report); });
    return;
  }
  worker->second.running.erase(report.attempt);
  Step(report);
}

}  // namespace lre::scheduler
