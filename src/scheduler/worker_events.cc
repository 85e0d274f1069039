// What workers say, what their silence means, and the timers.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/quantity.h"
#include "scheduler/state.h"

namespace lre::scheduler {

namespace {
constexpr int64_t kAttemptsApart = 1000;
}  // namespace

void Scheduler::State::On(const WorkerJoined& event) {
  Worker* worker = workers.Find(event.worker);
  if (worker == nullptr) worker = workers.Add(event.worker, now);
  if (worker == nullptr) {
    // Not RESOURCE_EXHAUSTED: a worker ends for good at anything but UNAVAILABLE.
    effects.push_back(
        CloseWorker{event.worker,
                    ErrorStatus(Code::kUnavailable,
                                "{} workers are connected already (workers_max): try again in {}",
                                workers.size(), FormatDuration(options.workers_retry)),
                    options.workers_retry});
    return;
  }
  worker->name = event.name;
  worker->connected = true;
  worker->draining = false;
  worker->slots = std::clamp(event.slots, 1, options.slots_max);
  worker->last_heard = now;
  timers.Disarm(worker->reconnect);
  timers.Arm(worker->silence, now + options.worker_silence_max, TimerKind::kSilence, worker);

  Terms offered = OfferedTerms(event.properties, options);
  if (worker->worker_class == nullptr || worker->terms != offered) {
    LeaveClass(*worker);
    worker->terms = std::move(offered);
    workers.EnterClass(*worker);
  }
  Reconcile(*worker, event);
  Freed(*worker);
}

// What the worker says it runs against what it should run.
void Scheduler::State::Reconcile(Worker& worker, const WorkerJoined& event) {
  const std::set<AttemptId> claimed(event.running.begin(), event.running.end());
  std::vector<AttemptId> absent;
  for (const auto& [id, _] : worker.running) {
    if (!claimed.contains(id)) absent.push_back(id);
  }
  for (const AttemptId& id : absent) {
    Running& running = *workers.FindRunning(worker, id);
    Operation* operation = running.operation;
    workers.End(worker, running);
    if (operation == nullptr) continue;
    LoseAttempt(*operation, fmt::format("never reached worker \"{}\" or was forgotten by it when "
                                        "its connection broke",
                                        worker.name));
  }
  for (const AttemptId& id : claimed) {
    if (Running* running = workers.FindRunning(worker, id)) {
      // A cancel may have been lost with the connection.
      if (running->operation == nullptr) CancelRunning(worker, *running, "cancelled before");
    } else if (worker.running.size() >= static_cast<size_t>(options.slots_max)) {
      break;
    } else {
      const auto held = event.held.find(id);
      if (Adopt(worker, id)) continue;
      if (held != event.held.end() && Recover(worker, id, held->second)) continue;
      CancelRunning(worker, workers.Start(worker, id, nullptr), "not assigned to this worker");
    }
  }
}

// An attempt that was given up because its worker was gone is taken back when the worker returns
// with it before another attempt has started.
bool Scheduler::State::Adopt(Worker& worker, const AttemptId& attempt) {
  Operation* operation = operations.Find(attempt.operation);
  if (operation == nullptr || operation->stage != Stage::kQueued || !operation->lost ||
      operation->runs_as != attempt || operation->last_worker != worker.id) {
    return false;
  }
  TakeFromQueue(*operation);
  operation->losses = std::max(operation->losses - 1, 0);
  RunOn(*operation, worker, attempt);
  TellStage(*operation);
  return true;
}

// An attempt from before the start, of an operation that is not known: it becomes known, or serves
// those who asked for the same action meanwhile and have not got another attempt yet.
bool Scheduler::State::Recover(Worker& worker, const AttemptId& attempt,
                               const std::shared_ptr<const ActionRequest>& request) {
  if (operations.Find(attempt.operation) != nullptr) return false;  // given up, or ended
  Operation* operation = operations.FindInFlight(*request);
  if (operation != nullptr && operation->stage != Stage::kQueued) return false;
  if (operation != nullptr) {
    TakeFromQueue(*operation);
    operation->attempt++;
    operation->tries++;
  } else {
    const Result<PropertyQueue*> queue = QueueOf(*request);
    if (!queue) return false;
    operation = &operations.Add(attempt.operation, request);
    operation->recovered = true;
    // Well beyond what other workers may come back with.
    operation->attempt = attempt.number + kAttemptsApart;
    operation->tries = 1;
    operation->queue = *queue;
    matching.AddUser(**queue);
  }
  recovered++;
  RunOn(*operation, worker, attempt);
  SetAside(worker, attempt, request->memory_bytes);
  TellStage(*operation);
  AttachAwaiting(attempt.operation, *operation);
  if (operation->clients.empty() && !operation->client_grace.armed()) {
    timers.Arm(operation->client_grace, now + options.client_grace, TimerKind::kClientGrace,
               operation);
  }
  return true;
}

void Scheduler::State::On(const WorkerProgressed& event) {
  Worker* worker = workers.Find(event.worker);
  if (worker == nullptr) return;
  worker->last_heard = now;
  Running* running = workers.FindRunning(*worker, event.attempt);
  if (running == nullptr || running->operation == nullptr) return;
  running->operation->progress = event.progress;
  TellStage(*running->operation);
}

void Scheduler::State::On(const WorkerReported& event) {
  effects.push_back(Acknowledge{event.worker, event.attempt});
  Worker* worker = workers.Find(event.worker);
  Running* running = worker != nullptr ? workers.FindRunning(*worker, event.attempt) : nullptr;
  if (worker != nullptr) worker->last_heard = now;
  if (running == nullptr) {
    stale_reports++;
    return;
  }
  Operation* operation = running->operation;
  workers.End(*worker, *running);
  const bool its_fault =
      operation != nullptr && !event.status.ok() && event.retryable && !event.out_of_memory;
  if (its_fault) {
    Rest(*worker);
  } else {
    worker->failures = 0;
  }
  Freed(*worker);
  if (operation == nullptr) return;  // it was cancelled: this was only to free the slot
  LeaveWorker(*operation);
  sizes.Learn(operation->request->kind, event.usage);
  if (RunEnlarged(*operation, event)) return;
  if (event.status.ok()) {
    operation->publishing = true;
    effects.push_back(
        Publish{{operation->name, operation->attempt}, operation->request, event.answer});
  } else if (its_fault) {
    Retry(*operation,
          event.status.WithContext(fmt::format(
              "action {} failed {} times for reasons of its workers, the last time on \"{}\"",
              operation->request->action, operation->tries, worker->name)),
          event.answer);
  } else {
    Complete(*operation, event.status, event.answer);
  }
}

void Scheduler::State::On(const Published& event) {
  Operation* operation = operations.Find(event.attempt.operation);
  if (operation == nullptr || !operation->publishing ||
      operation->attempt != event.attempt.number) {
    return;  // cancelled, or given up, meanwhile
  }
  if (!event.status.ok() && event.retryable) return Retry(*operation, event.status);
  Complete(*operation, event.status, event.answer);
}

void Scheduler::State::On(const WorkerHeard& event) {
  if (Worker* worker = workers.Find(event.worker)) worker->last_heard = now;
}

void Scheduler::State::On(const WorkerDraining& event) {
  Worker* worker = workers.Find(event.worker);
  if (worker == nullptr || worker->draining) return;
  worker->last_heard = now;
  worker->draining = true;
  LeaveClass(*worker);
}

void Scheduler::State::On(const WorkerLost& event) {
  Worker* worker = workers.Find(event.worker);
  if (worker == nullptr || !worker->connected) return;
  worker->connected = false;
  workers.UpdateFree(*worker);
  timers.Disarm(worker->silence);
  if (worker->running.empty()) return RemoveWorker(*worker, "");
  timers.Arm(worker->reconnect, now + options.reconnect_grace, TimerKind::kReconnect, worker);
}

void Scheduler::State::RemoveWorker(Worker& worker, const std::string& how) {
  LeaveClass(worker);  // first: what is queued again below must not come back to it
  while (!worker.running.empty()) {
    Running& running = worker.running.begin()->second;
    Operation* operation = running.operation;
    workers.End(worker, running);
    if (operation == nullptr) continue;
    if (++operation->losses >= options.attempts_max) {
      operations.Quarantine(*operation->request, now);
    }
    LoseAttempt(*operation, how);
  }
  workers.Remove(worker);
}

void Scheduler::State::Freed(Worker& worker) {
  if (worker.held_for != nullptr && UseHeld(worker)) return;
  if (workers.UpdateFree(worker)) matching.MarkDirty(*worker.worker_class);
}

void Scheduler::State::LeaveClass(Worker& worker) {
  std::vector<PropertyQueue*> unserved;
  workers.LeaveClass(worker, now, unserved);
  for (PropertyQueue* queue : unserved) ArmUnserved(*queue);
}

void Scheduler::State::Rest(Worker& worker) {
  const int doublings = std::min(worker.failures++, 20);
  const Duration rest = std::min<Duration>(std::chrono::seconds(1) * (int64_t{1} << doublings),
                                           options.worker_rest_max);
  worker.resting = true;
  timers.Arm(worker.rest, now + rest, TimerKind::kRest, &worker);
}

void Scheduler::State::Expire() {
  while (std::optional<Timers::Entry> due = timers.PopDue(now)) {
    switch (due->kind) {
      case TimerKind::kAttemptDeadline: {
        Operation& operation = *static_cast<Operation*>(due->subject);
        if (Worker* worker = operation.worker) {
          Rest(*worker);
          Freed(*worker);
        }
        StopAttempt(operation, "no report in time");
        LoseAttempt(operation,
                    fmt::format("gave no report in time on worker {}", operation.last_worker));
        break;
      }
      case TimerKind::kClientGrace: {
        Operation& operation = *static_cast<Operation*>(due->subject);
        Complete(operation,
                 ErrorStatus(Code::kCancelled, "no client has waited for {} for {}", operation.name,
                             FormatDuration(options.client_grace)),
                 nullptr);
        break;
      }
      case TimerKind::kSilence: {
        Worker& worker = *static_cast<Worker*>(due->subject);
        const Instant silent_at = worker.last_heard + options.worker_silence_max;
        if (silent_at > now) {
          timers.Arm(worker.silence, silent_at, TimerKind::kSilence, &worker);
          break;
        }
        effects.push_back(CloseWorker{
            worker.id, ErrorStatus(Code::kUnavailable, "worker \"{}\" was silent for {}",
                                   worker.name, FormatDuration(options.worker_silence_max))});
        RemoveWorker(worker, fmt::format("was on worker \"{}\", which fell silent", worker.name));
        break;
      }
      case TimerKind::kReconnect: {
        Worker& worker = *static_cast<Worker*>(due->subject);
        RemoveWorker(worker, fmt::format("was on worker \"{}\", which was lost", worker.name));
        break;
      }
      case TimerKind::kRest: {
        Worker& worker = *static_cast<Worker*>(due->subject);
        worker.resting = false;
        Freed(worker);
        break;
      }
      case TimerKind::kCancelled: {
        Running& running = *static_cast<Running*>(due->subject);
        Worker& worker = *running.worker;
        workers.End(worker, running);
        Freed(worker);
        break;
      }
      case TimerKind::kUnserved:
        FailUnserved(*static_cast<PropertyQueue*>(due->subject));
        break;
      case TimerKind::kAdoption:
        EndAwaiting();
        break;
    }
  }
}

}  // namespace lre::scheduler
