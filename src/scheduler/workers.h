// Workers: who is there, what each runs, and which of them are free. A worker is free when its link
// is up, it is not draining or resting, and it runs fewer attempts than it has slots. An attempt
// that was cancelled holds its slot until the worker says that it has stopped.
//
// Confined to one thread. Bounds: workers_max workers, slots_max slots of each.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "scheduler/matching.h"
#include "scheduler/operations.h"
#include "scheduler/scheduler.h"
#include "scheduler/timers.h"

namespace lre::scheduler {

// One attempt that holds a slot.
struct Running {
  AttemptId id;
  Worker* worker = nullptr;
  Operation* operation = nullptr;  // null: cancelled
  Timers::Slot cancelled;
};

struct Worker {
  WorkerId id;
  std::string name;
  uint64_t number = 0;  // in order of joining
  int slots = 1;
  Properties properties;
  WorkerClass* worker_class = nullptr;  // null while draining
  std::map<AttemptId, Running> running;

  bool connected = true;
  bool draining = false;
  bool resting = false;
  int failures = 0;  // its own, in a row
  Instant last_heard{};
  Timers::Slot silence, reconnect, rest;

  bool is_free = false;  // is in worker_class->free under `free_key`
  FreeKey free_key;
  uint64_t last_used = 0;
};

class Workers {
 public:
  Workers(const SchedulerOptions& options, Matching& matching, Timers& timers);
  ~Workers();

  Worker* Find(const WorkerId& id) const;
  // Null when there are workers_max.
  Worker* Add(const WorkerId& id, Instant now);
  // REQUIRES: runs nothing. It leaves its class first.
  void Remove(Worker& worker);
  void EnterClass(Worker& worker, const Properties& canonical);
  void LeaveClass(Worker& worker, Instant now, std::vector<PropertyQueue*>& changed);

  Running& Start(Worker& worker, AttemptId id, Operation* operation);
  Running* FindRunning(Worker& worker, const AttemptId& id);
  void End(Worker& worker, Running& running);
  // After anything changed that makes a worker free or not; true when it is free now.
  bool UpdateFree(Worker& worker);

  // A free worker for `queue`, preferably not `avoid`; null when there is none.
  Worker* Pick(const PropertyQueue& queue, const WorkerId& avoid) const;
  Worker* Pick(const WorkerClass& worker_class, const WorkerId& avoid) const;

  size_t size() const { return workers_.size(); }
  const std::unordered_map<WorkerId, std::unique_ptr<Worker>>& all() const { return workers_; }

 private:
  const SchedulerOptions& options_;
  Matching& matching_;
  Timers& timers_;
  std::unordered_map<WorkerId, std::unique_ptr<Worker>> workers_;
  uint64_t next_number_ = 1;
  uint64_t next_use_ = 1;
  size_t free_ = 0;
};

}  // namespace lre::scheduler
