#include "scheduler/workers.h"

#include "base/check.h"

namespace lre::scheduler {

Workers::Workers(const SchedulerOptions& options, Matching& matching, Timers& timers)
    : options_(options), matching_(matching), timers_(timers) {}

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
  worker->last_heard = now;
  return worker.get();
}

void Workers::Remove(Worker& worker) {
  CHECK(worker.running.empty() && worker.worker_class == nullptr);
  timers_.Disarm(worker.silence);
  timers_.Disarm(worker.reconnect);
  timers_.Disarm(worker.rest);
  workers_.erase(WorkerId(worker.id));
}

void Workers::EnterClass(Worker& worker, const Properties& canonical) {
  CHECK(worker.worker_class == nullptr);
  worker.worker_class = matching_.Enter(canonical, worker.name);
}

void Workers::LeaveClass(Worker& worker, Instant now, std::vector<PropertyQueue*>& changed) {
  if (worker.worker_class == nullptr) return;
  if (worker.is_free) {
    worker.worker_class->free.erase(worker.free_key);
    worker.is_free = false;
    free_--;
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
  worker.running.erase(worker.running.find(running.id));
}

bool Workers::UpdateFree(Worker& worker) {
  if (worker.is_free) {
    worker.worker_class->free.erase(worker.free_key);
    free_--;
  }
  const int load = static_cast<int>(worker.running.size());
  worker.is_free = worker.worker_class != nullptr && worker.connected && !worker.draining &&
                   !worker.resting && load < worker.slots;
  if (worker.is_free) {
    worker.free_key = {load, worker.last_used, worker.number, &worker};
    worker.worker_class->free.insert(worker.free_key);
    free_++;
  }
  return worker.is_free;
}

Worker* Workers::Pick(const WorkerClass& worker_class, const WorkerId& avoid) const {
  Worker* avoided = nullptr;
  for (const FreeKey& key : worker_class.free) {
    if (avoid.empty() || key.worker->id != avoid) return key.worker;
    avoided = key.worker;
  }
  return avoided;
}

// The class that offers least beyond what is asked for, so that special workers stay free for those
// who need them.
Worker* Workers::Pick(const PropertyQueue& queue, const WorkerId& avoid) const {
  if (free_ == 0) return nullptr;
  Worker* best = nullptr;
  size_t best_offers = 0;
  for (const WorkerClass* worker_class : queue.classes) {
    if (worker_class->free.empty()) continue;
    Worker* worker = Pick(*worker_class, avoid);
    const size_t offers = worker_class->properties.size();
    const bool better = best == nullptr || (best->id == avoid && worker->id != avoid) ||
                        (offers < best_offers && (worker->id != avoid || best->id == avoid));
    if (!better) continue;
    best = worker;
    best_offers = offers;
  }
  return best;
}

}  // namespace lre::scheduler
