#include "scheduler/workers.h"

#include <algorithm>

#include "base/check.h"

namespace lre::scheduler {

namespace {
// So many are looked at one by one.
constexpr size_t kFewClasses = 8;
}  // namespace

Workers::Workers(const SchedulerOptions& options, Matching& matching, Timers& timers)
    : options_(options),
      matching_(matching),
      timers_(timers),
      locality_(options.locality_entries_max) {}

Workers::~Workers() {
  for (auto& [_, worker] : workers_) {
    timers_.Disarm(worker->silence);
    timers_.Disarm(worker->reconnect);
    timers_.Disarm(worker->rest);
    for (auto& [id, running] : worker->running) timers_.Disarm(running.cancelled);
  }
}

Worker* Workers::Find(const WorkerId& id) const {
  auto found = workers_.find(id);
  return found == workers_.end() ? nullptr : found->second.get();
}

Worker* Workers::Add(const WorkerId& id, Instant now) {
  if (workers_.size() >= options_.workers_max) return nullptr;
  std::unique_ptr<Worker>& worker = workers_[id];
  CHECK(!worker);
  worker = std::make_unique<Worker>();
  worker->id = id;
  worker->number = next_number_++;
  by_number_[worker->number] = worker.get();
  worker->last_heard = now;
  return worker.get();
}

void Workers::Remove(Worker& worker) {
  CHECK(worker.running.empty() && worker.worker_class == nullptr);
  timers_.Disarm(worker.silence);
  timers_.Disarm(worker.reconnect);
  timers_.Disarm(worker.rest);
  by_number_.erase(worker.number);
  workers_.erase(WorkerId(worker.id));
}

void Workers::EnterClass(Worker& worker) {
  CHECK(worker.worker_class == nullptr);
  worker.worker_class = matching_.Enter(worker.terms, worker.name);
}

void Workers::LeaveClass(Worker& worker, Instant now, std::vector<PropertyQueue*>& changed) {
  if (worker.worker_class == nullptr) return;
  if (worker.held_for != nullptr) Release(*worker.held_for);
  if (worker.is_free) {
    matching_.RemoveFree(*worker.worker_class, worker.left, worker.free_key);
    worker.is_free = false;
  }
  matching_.Leave(*worker.worker_class, now, changed);
  worker.worker_class = nullptr;
}

Running& Workers::Start(Worker& worker, AttemptId id, Operation* operation) {
  auto [at, added] = worker.running.try_emplace(std::move(id));
  CHECK(added, "an attempt runs once");
  Running& running = at->second;
  running.id = at->first;
  running.worker = &worker;
  running.operation = operation;
  if (operation != nullptr) {
    running.taken = NeedOf(operation->queue->terms, worker.terms.amounts);
    running.suspect = operation->queue->terms.suspect;
    if (running.suspect) worker.suspects++;
    locality_.Ran(operation->request->affinities, worker.number);
  }
  worker.last_used = next_use_++;
  UpdateFree(worker);
  return running;
}

Running* Workers::FindRunning(Worker& worker, const AttemptId& id) {
  auto found = worker.running.find(id);
  return found == worker.running.end() ? nullptr : &found->second;
}

void Workers::End(Worker& worker, Running& running) {
  timers_.Disarm(running.cancelled);
  if (running.suspect) worker.suspects--;
  worker.running.erase(worker.running.find(running.id));
}

Amounts Workers::LeftOf(const Worker& worker) const {
  Amounts left = worker.terms.amounts;
  if (left.empty()) return left;
  for (const auto& [_, running] : worker.running) {
    for (size_t i = 0; i < running.taken.size(); i++) {
      if (left[i] != kUnsaid) left[i] = std::max<int64_t>(left[i] - running.taken[i], 0);
    }
  }
  return left;
}

bool Workers::UpdateFree(Worker& worker) {
  if (worker.is_free) {
    matching_.RemoveFree(*worker.worker_class, worker.left, worker.free_key);
  }
  const int load = static_cast<int>(worker.running.size());
  worker.is_free = worker.worker_class != nullptr && worker.connected && !worker.draining &&
                   !worker.resting && load < worker.slots && worker.held_for == nullptr;
  if (worker.is_free) {
    worker.left = LeftOf(worker);
    worker.free_key = {load, worker.last_used, worker.number, &worker};
    matching_.AddFree(*worker.worker_class, worker.left, worker.free_key);
  }
  return worker.is_free;
}

bool Workers::MayJoin(const Operation& operation, const Worker& worker) {
  return worker.suspects == 0 || !operation.queue->terms.suspect;
}

bool Workers::HasRoom(const Worker& worker, const Operation& operation) const {
  return static_cast<int>(worker.running.size()) < worker.slots && MayJoin(operation, worker) &&
         Fits(operation.queue->terms, worker.terms.amounts, LeftOf(worker));
}

bool Workers::HasRoom(const WorkerClass& worker_class, const PropertyQueue& queue) {
  return std::any_of(worker_class.free.begin(), worker_class.free.end(), [&](const auto& group) {
    return Fits(queue.terms, worker_class.terms.amounts, group.first);
  });
}

Worker* Workers::LeastLoaded(const WorkerClass& worker_class, const Operation& operation) const {
  Worker* best = nullptr;
  Worker* avoided = nullptr;
  for (const auto& [left, keys] : worker_class.free) {
    if (!Fits(operation.queue->terms, worker_class.terms.amounts, left)) continue;
    for (const FreeKey& key : keys) {
      if (best != nullptr && !(key < best->free_key)) break;
      if (!MayJoin(operation, *key.worker)) continue;
      if (key.worker->id == operation.last_worker) {
        avoided = key.worker;
        continue;
      }
      best = key.worker;
      break;
    }
  }
  return best != nullptr ? best : avoided;
}

bool Workers::IsWarm(const Worker& worker, const Operation& operation) const {
  for (uint64_t affinity : operation.request->affinities) {
    if (locality_.WorkerOf(affinity) == worker.number) return true;
  }
  return false;
}

// The bounds: it is free and has room, is no more special than the least loaded one, and its load
// is at most locality_load_max above that one's. So workers that have nothing warm get work too.
Worker* Workers::Warm(const Operation& operation, const Worker& least) const {
  if (least.id == operation.last_worker) return nullptr;
  for (uint64_t affinity : operation.request->affinities) {
    auto found = by_number_.find(locality_.WorkerOf(affinity));
    if (found == by_number_.end()) continue;
    Worker& warm = *found->second;
    if (!warm.is_free || warm.id == operation.last_worker) continue;
    if (!MayJoin(operation, warm)) continue;
    if (warm.free_key.load > least.free_key.load + options_.locality_load_max) continue;
    if (warm.worker_class != least.worker_class) {
      const Terms &its = warm.worker_class->terms, &other = least.worker_class->terms;
      if (!warm.worker_class->serves[operation.queue->index]) continue;
      if (its.exact.size() > other.exact.size()) continue;
    }
    if (Fits(operation.queue->terms, warm.terms.amounts, warm.left)) return &warm;
  }
  return nullptr;
}

Worker* Workers::Pick(const WorkerClass& worker_class, const Operation& operation) const {
  Worker* least = LeastLoaded(worker_class, operation);
  if (least == nullptr) return nullptr;
  Worker* warm = Warm(operation, *least);
  return warm != nullptr && warm->worker_class == &worker_class ? warm : least;
}

// The class that offers least beyond what is asked for, so that special workers stay free for those
// who need them; of those that offer as much, the one with the least loaded worker.
Worker* Workers::Pick(const Operation& operation) const {
  const size_t serving = operation.queue->classes.size();
  Worker* best = nullptr;
  const bool few = serving <= kFewClasses && serving < matching_.free_classes().size();
  if (few || !PickFree(operation, &best)) best = PickServing(operation);
  if (best == nullptr) return nullptr;
  Worker* warm = Warm(operation, *best);
  return warm != nullptr ? warm : best;
}

// Goes through the classes with free workers, in order: ends at the first that serves. False when
// it gave up: it looked at more of them than serve the operation at all.
bool Workers::PickFree(const Operation& operation, Worker** best) const {
  const PropertyQueue& queue = *operation.queue;
  Worker* again = nullptr;
  size_t looked = 0;
  for (const WorkerClass* worker_class : matching_.free_classes()) {
    if (++looked > std::max(queue.classes.size(), kFewClasses)) return false;
    if (!worker_class->serves[queue.index]) continue;
    Worker* worker = LeastLoaded(*worker_class, operation);
    if (worker == nullptr) continue;
    if (worker->id == operation.last_worker) {
      again = worker;
      continue;
    }
    *best = worker;
    return true;
  }
  *best = again;
  return true;
}

// Goes through the classes that serve the operation.
Worker* Workers::PickServing(const Operation& operation) const {
  Worker* best = nullptr;
  auto rank = [&](const Worker& worker) {
    return std::pair(worker.id == operation.last_worker, SizeOf(*worker.worker_class));
  };
  for (const WorkerClass* worker_class : operation.queue->classes) {
    if (worker_class->free.empty()) continue;
    Worker* worker = LeastLoaded(*worker_class, operation);
    if (worker == nullptr) continue;
    if (best == nullptr || rank(*worker) < rank(*best) ||
        (rank(*worker) == rank(*best) && worker->free_key < best->free_key)) {
      best = worker;
    }
  }
  return best;
}

Worker* Workers::Hold(WorkerClass& worker_class, PropertyQueue& queue) {
  CHECK(queue.held == nullptr);
  if (worker_class.free.empty()) return nullptr;
  // Much that is left is little to wait for.
  Worker& worker = *worker_class.free.rbegin()->second.begin()->worker;
  worker.held_for = &queue;
  queue.held = &worker;
  UpdateFree(worker);
  return &worker;
}

void Workers::Release(PropertyQueue& queue) {
  if (queue.held == nullptr) return;
  queue.held->held_for = nullptr;
  queue.held = nullptr;
}

}  // namespace lre::scheduler
