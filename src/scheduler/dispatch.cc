// Brings operations and free workers together. What changed since the last step is dirty: a queue
// that got operations, a class in which a worker became free. Everything else was matched before,
// so only these are looked at. Also: what happens to operations that nobody can serve.
#include <algorithm>

#include "base/check.h"
#include "scheduler/state.h"

namespace lre::scheduler {

void Scheduler::State::Dispatch() {
  while (true) {
    const std::vector<WorkerClass*> classes = matching.TakeDirtyClasses();
    const std::vector<PropertyQueue*> queues = matching.TakeDirtyQueues();
    if (classes.empty() && queues.empty()) return;
    for (WorkerClass* worker_class : classes) Serve(*worker_class);
    for (PropertyQueue* queue : queues) Serve(*queue);
  }
}

void Scheduler::State::Serve(PropertyQueue& queue) {
  while (!queue.arrivals.empty()) {
    const FairQueue::Front front = queue.fair.Peek();
    Worker* worker = workers.Pick(*front.operation);
    if (worker == nullptr) return;
    Start(*front.operation, front.account, *worker);
  }
}

// The queues whose first operation has no room on any free worker of the class are passed over, so
// that what is small can run beside; but not for ever: see Hold.
void Scheduler::State::Serve(WorkerClass& worker_class) {
  auto may_hold = [&](const PropertyQueue& queue, const Operation& operation) {
    // A suspect waits for another one, not for room.
    return !queue.terms.suspect && queue.held == nullptr &&
           now - operation.wait_start >= options.reserve_after;
  };
  std::vector<PropertyQueue*> waiting;
  for (PropertyQueue* queue : matching.active()) {
    if (!worker_class.serves[queue->index]) continue;
    // The longest waiting one is late first.
    const bool matters =
        Workers::HasRoom(worker_class, *queue) || may_hold(*queue, *queue->arrivals.front());
    if (matters) waiting.push_back(queue);
  }
  while (!worker_class.free.empty() && !waiting.empty()) {
    size_t at = 0;
    FairQueue::Front first = waiting[0]->fair.Peek();
    for (size_t i = 1; i < waiting.size(); i++) {
      FairQueue::Front front = waiting[i]->fair.Peek();
      if (!front.Before(first)) continue;
      at = i;
      first = front;
    }
    PropertyQueue& next = *waiting[at];
    Worker* worker = workers.Pick(worker_class, *first.operation);
    if (worker != nullptr) {
      Start(WarmNear(next, first, *worker), first.account, *worker);
      if (!next.arrivals.empty()) continue;
    } else if (may_hold(next, *first.operation)) {
      workers.Hold(worker_class, next);
    }
    waiting[at] = waiting.back();
    waiting.pop_back();
  }
}

// The operation to start instead of `first`, which is as good in the order of the invocation but
// finds on `worker` what it needs; `first` itself when there is none, or it has been passed over
// too often.
Operation& Scheduler::State::WarmNear(PropertyQueue& queue, const FairQueue::Front& first,
                                      const Worker& worker) {
  Operation& operation = *first.operation;
  const int limit = options.locality_lookahead;
  if (limit <= 0 || operation.request->affinities.empty()) return operation;
  if (operation.passed_over >= limit || workers.IsWarm(worker, operation)) return operation;
  Operation* near = queue.fair.FindNear(first, limit, [&](const Operation& other) {
    return other.request->priority == operation.request->priority &&
           other.last_worker != worker.id && workers.IsWarm(worker, other);
  });
  if (near == nullptr) return operation;
  operation.passed_over++;
  return *near;
}

// A held worker has room: the queue it is held for takes it.
bool Scheduler::State::UseHeld(Worker& worker) {
  PropertyQueue& queue = *worker.held_for;
  const bool usable = worker.connected && !worker.draining && !worker.resting;
  const FairQueue::Front front = queue.fair.Peek();
  if (!usable || !workers.HasRoom(worker, *front.operation)) return false;
  Start(*front.operation, front.account, worker);
  return true;
}

Duration Scheduler::State::GraceOf(const PropertyQueue& queue) const {
  if (queue.pool_expected) return options.pool_grace;
  return matching.pools_closed() ? Duration(0) : options.worker_grace;
}

void Scheduler::State::ArmUnserved(PropertyQueue& queue) {
  if (!queue.classes.empty() || queue.arrivals.empty()) return timers.Disarm(queue.unserved);
  const Instant since = std::max(queue.arrivals.front()->wait_start, queue.unserved_since);
  timers.Arm(queue.unserved, since + GraceOf(queue), TimerKind::kUnserved, &queue);
}

void Scheduler::State::FailUnserved(PropertyQueue& queue) {
  if (!queue.classes.empty()) return;
  const std::string why = matching.Explain(queue);
  while (!queue.arrivals.empty()) {
    Operation& operation = *queue.arrivals.front();
    if (std::max(operation.wait_start, queue.unserved_since) + GraceOf(queue) > now) break;
    Complete(operation,
             ErrorStatus(Code::kFailedPrecondition, "no worker can run action {}: {}",
                         operation.request->action, why),
             nullptr);
  }
  ArmUnserved(queue);
}

void Scheduler::State::On(const PoolDeclared& event) {
  matching.DeclarePool(event.name, OfferedTerms(event.properties, options));
  for (PropertyQueue* queue : matching.active()) ArmUnserved(*queue);
}

void Scheduler::State::On(const PoolsClosed&) {
  matching.ClosePools();
  EndAwaiting();
  const std::vector<PropertyQueue*> active = matching.active();  // failing changes the original
  for (PropertyQueue* queue : active) FailUnserved(*queue);
}

}  // namespace lre::scheduler
