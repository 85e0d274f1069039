// The life of an operation: queued -> executing -> completed, and back to queued when an attempt is
// lost. Everything that happens to one goes through here, so that queues, slots, accounts and
// timers agree.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "scheduler/state.h"

namespace lre::scheduler {

namespace {
// An operation that many invocations want takes its turn from any of these many; beyond that the
// first ones do.
constexpr size_t kAccountsMax = 8;
}  // namespace

void Scheduler::State::PutInQueue(Operation& operation) {
  PropertyQueue& queue = *operation.queue;
  operation.stage = Stage::kQueued;
  operation.wait_start = now;
  operation.ahead = queue.arrivals.size() + queue.dispatched;
  for (Account* account : operation.accounts) {
    queue.fair.Push(account, operation.rank, &operation);
  }
  operation.arrival = queue.arrivals.insert(queue.arrivals.end(), &operation);
  if (queue.arrivals.size() == 1) matching.SetActive(queue, true);
  queued++;
  if (queue.classes.empty()) {
    if (!queue.unserved.armed()) ArmUnserved(queue);
  } else if (queue.arrivals.size() == 1) {
    // Otherwise those before it, which need the same, have found no room since the last change.
    matching.MarkDirty(queue);
  }
}

void Scheduler::State::TakeFromQueue(Operation& operation) {
  PropertyQueue& queue = *operation.queue;
  for (Account* account : operation.accounts) queue.fair.Remove(account, operation.rank);
  queue.arrivals.erase(operation.arrival);
  if (queue.arrivals.empty()) {
    matching.SetActive(queue, false);
    timers.Disarm(queue.unserved);
  }
  queued--;
  ReleaseHeld(queue);
}

// Whatever leaves the queue was (or replaces) what a worker was held for: the next one waits anew.
void Scheduler::State::ReleaseHeld(PropertyQueue& queue) {
  if (queue.held == nullptr) return;
  Worker& worker = *queue.held;
  workers.Release(queue);
  if (workers.UpdateFree(worker)) matching.MarkDirty(*worker.worker_class);
}

// Another invocation wants a queued operation: whichever has the earlier turn gets it started, and
// the better of the priorities counts.
void Scheduler::State::AddInterest(Operation& operation, const ActionRequest& request) {
  Account* account = accounts.Acquire(request.partition, request.user, request.invocation);
  const auto& known = operation.accounts;
  const bool is_new =
      std::find(known.begin(), known.end(), account) == known.end() && known.size() < kAccountsMax;
  const int64_t rank = RankOf(now, request.priority, options.ageing_step);
  if (!is_new && rank >= operation.rank.rank) return accounts.Release(account);
  FairQueue& fair = operation.queue->fair;
  for (Account* one : known) fair.Remove(one, operation.rank);
  operation.rank.rank = std::min(operation.rank.rank, rank);
  if (is_new) {
    operation.accounts.push_back(account);
  } else {
    accounts.Release(account);
  }
  for (Account* one : known) fair.Push(one, operation.rank, &operation);
}

void Scheduler::State::Start(Operation& operation, Account* account, Worker& worker) {
  TakeFromQueue(operation);
  Accounts::Charge(account);
  operation.queue->dispatched++;
  operation.tries++;
  do operation.attempt++;
  while (workers.FindRunning(worker, {operation.name, operation.attempt}) != nullptr);
  operation.progress = nullptr;
  operation.charged = account;
  RunOn(operation, worker, {operation.name, operation.attempt});
  effects.push_back(Assign{worker.id, operation.runs_as, operation.request, TimeoutOf(operation),
                           ReservedMemory(operation, worker)});
  TellStage(operation);
}

void Scheduler::State::RunOn(Operation& operation, Worker& worker, AttemptId id) {
  operation.stage = Stage::kExecuting;
  operation.worker = &worker;
  operation.last_worker = worker.id;
  operation.worker_name = worker.name;
  operation.publishing = false;
  operation.lost = false;
  operation.runs_as = std::move(id);
  executing++;
  if (operation.charged == nullptr && !operation.accounts.empty()) {
    operation.charged = operation.accounts.front();
  }
  if (operation.charged != nullptr) Accounts::Begin(operation.charged);
  workers.Start(worker, operation.runs_as, &operation);
  timers.Arm(operation.deadline,
             now + TimeoutOf(operation) + options.staging_max + options.timeout_slack,
             TimerKind::kAttemptDeadline, &operation);
}

void Scheduler::State::LeaveWorker(Operation& operation) {
  operation.worker = nullptr;
  if (Account* account = std::exchange(operation.charged, nullptr)) Accounts::End(account);
}

Duration Scheduler::State::TimeoutOf(const Operation& operation) const {
  const Duration asked = operation.request->timeout;
  return asked > Duration(0) ? asked : options.timeout_default;
}

void Scheduler::State::Retry(Operation& operation, Status status,
                             std::shared_ptr<const void> answer) {
  CHECK(operation.stage == Stage::kExecuting && operation.worker == nullptr);
  if (operation.recovered) return Vanish(operation);
  timers.Disarm(operation.deadline);
  operation.publishing = false;
  if (operation.tries >= options.attempts_max) {
    return Complete(operation, std::move(status), std::move(answer));
  }
  executing--;
  PutInQueue(operation);
  TellStage(operation);
}

void Scheduler::State::LoseAttempt(Operation& operation, const std::string& how) {
  attempts_lost++;
  LeaveWorker(operation);
  if (operation.recovered) return Vanish(operation);
  Status status = ErrorStatus(
      Code::kUnavailable, "action {} ended {} of {} attempts without a result; the last one {}",
      operation.request->action, operation.tries, options.attempts_max, how);
  if (operation.losses > 0) Suspect(operation);
  Retry(operation, std::move(status));
  operation.lost = operation.stage == Stage::kQueued;
}

void Scheduler::State::Suspect(Operation& operation) {
  if (operation.queue->terms.suspect) return;
  Terms terms = operation.queue->terms;
  terms.suspect = true;
  MoveTo(operation, terms);
}

void Scheduler::State::MoveTo(Operation& operation, const Terms& terms) {
  if (PropertyQueue* queue = matching.QueueFor(terms, now)) MoveTo(operation, *queue);
}

void Scheduler::State::MoveTo(Operation& operation, PropertyQueue& queue) {
  matching.AddUser(queue);
  matching.DropUser(*operation.queue);
  operation.queue = &queue;
}

void Scheduler::State::StopAttempt(Operation& operation, const std::string& reason) {
  if (operation.worker == nullptr) return;
  Worker& worker = *operation.worker;
  LeaveWorker(operation);
  Running* running = workers.FindRunning(worker, operation.runs_as);
  CHECK(running != nullptr, "an executing operation runs on its worker");
  CancelRunning(worker, *running, reason);
}

void Scheduler::State::CancelRunning(Worker& worker, Running& running, const std::string& reason) {
  running.operation = nullptr;
  timers.Arm(running.cancelled, now + options.cancel_grace, TimerKind::kCancelled, &running);
  effects.push_back(Cancel{worker.id, running.id, reason});
}

void Scheduler::State::Complete(Operation& operation, Status status,
                                std::shared_ptr<const void> answer) {
  CHECK(operation.stage != Stage::kCompleted);
  if (operation.stage == Stage::kQueued) {
    TakeFromQueue(operation);
  } else {
    StopAttempt(operation, status.message());
    executing--;
  }
  for (Account* account : operation.accounts) accounts.Release(account);
  operation.accounts.clear();
  matching.DropUser(*operation.queue);
  operation.queue = nullptr;
  operation.publishing = false;
  operation.status = std::move(status);
  operation.answer = std::move(answer);
  for (ClientId client : operation.clients) {
    effects.push_back(Answer{client, operation.name, operation.status, operation.answer,
                             operation.request, operation.worker_name});
  }
  operations.RemoveClients(operation);
  operations.Finish(operation, now);
}

void Scheduler::State::Vanish(Operation& operation) {
  for (ClientId client : operation.clients) {
    effects.push_back(UnknownOperation{client, operation.name});
  }
  operations.RemoveClients(operation);
  Complete(operation, Status(), nullptr);
  operations.Forget(operation);
}

void Scheduler::State::TellStage(const Operation& operation, ClientId client) {
  const bool placed = operation.stage != Stage::kQueued;
  effects.push_back(StageChanged{client, operation.name, operation.stage,
                                 placed ? operation.last_worker : WorkerId(), operation.request,
                                 operation.progress, PositionOf(operation), operation.attempt,
                                 placed ? operation.worker_name : std::string()});
}

void Scheduler::State::TellStage(const Operation& operation) {
  for (ClientId client : operation.clients) TellStage(operation, client);
}

}  // namespace lre::scheduler
