// Brings operations and free workers together. What changed since the last step is dirty: a queue
// that got operations, a class in which a worker became free. Everything else was matched before,
// so only these are looked at. Also: what happens to operations that nobody can serve.
#include <algorithm>

#include "base/check.h"
#include "scheduler/state.h"

namespace lre::scheduler {

void Scheduler::State::Dispatch() {
  for (WorkerClass* worker_class : matching.TakeDirtyClasses()) Serve(*worker_class);
  for (PropertyQueue* queue : matching.TakeDirtyQueues()) Serve(*queue);
}

void Scheduler::State::Serve(PropertyQueue& queue) {
  while (!queue.arrivals.empty()) {
    const FairQueue::Front front = queue.fair.Peek();
    Worker* worker = workers.Pick(queue, front.operation->last_worker);
    if (worker == nullptr) return;
    Start(*front.operation, front.account, *worker);
  }
}

void Scheduler::State::Serve(WorkerClass& worker_class) {
  while (!worker_class.free.empty()) {
    PropertyQueue* next = nullptr;
    FairQueue::Front first;
    for (PropertyQueue* queue : matching.active()) {
      if (!worker_class.serves[queue->index]) continue;
      FairQueue::Front front = queue->fair.Peek();
      if (next != nullptr && !front.Before(first)) continue;
      next = queue;
      first = front;
    }
    if (next == nullptr) return;
    Worker* worker = workers.Pick(worker_class, first.operation->last_worker);
    Start(*first.operation, first.account, *worker);
  }
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
  const std::string why = matching.Explain(queue.properties);
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
  matching.DeclarePool(event.name, Canonical(event.properties));
  for (PropertyQueue* queue : matching.active()) ArmUnserved(*queue);
}

void Scheduler::State::On(const PoolsClosed&) {
  matching.ClosePools();
  const std::vector<PropertyQueue*> active = matching.active();  // failing changes the original
  for (PropertyQueue* queue : active) FailUnserved(*queue);
}

}  // namespace lre::scheduler
