// Workers: who is there, what each runs, and which of them are free. A worker is free when its link
// is up, it is not draining, resting or held for one queue, and it runs fewer attempts than it has
// slots. An attempt
// that was cancelled holds its slot until the worker says that it has stopped.
//
// Confined to one thread. Bounds: workers_max workers, slots_max slots of each.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "scheduler/locality.h"
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
  Amounts taken;                   // of what the worker has
  bool suspect = false;            // Terms::suspect
  Timers::Slot cancelled;
};

struct Worker {
  WorkerId id;
  std::string name;
  uint64_t number = 0;  // in order of joining
  int slots = 1;
  Terms terms;
  WorkerClass* worker_class = nullptr;  // null while draining
  std::map<AttemptId, Running> running;
  int suspects = 0;  // of those

  bool connected = true;
  bool draining = false;
  bool resting = false;
  int failures = 0;  // its own, in a row
  Instant last_heard{};
  Timers::Slot silence, reconnect, rest;

  PropertyQueue* held_for = nullptr;
  bool is_free = false;  // is in worker_class->free[left] under `free_key`
  Amounts left;
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
  void EnterClass(Worker& worker);
  void LeaveClass(Worker& worker, Instant now, std::vector<PropertyQueue*>& changed);

  Running& Start(Worker& worker, AttemptId id, Operation* operation);
  Running* FindRunning(Worker& worker, const AttemptId& id);
  void End(Worker& worker, Running& running);
  // After anything changed that makes a worker free or not; true when it is free now.
  bool UpdateFree(Worker& worker);

  // A free worker with room for an operation of its queue: the one that `locality` names, else the
  // least loaded, if possible not the one that had it last. Null when there is none.
  Worker* Pick(const Operation& operation) const;
  Worker* Pick(const WorkerClass& worker_class, const Operation& operation) const;
  // Whether `worker` ran last what the operation shares something with.
  bool IsWarm(const Worker& worker, const Operation& operation) const;

  // Takes a free worker of the class out of use until there is room on it for the first operation
  // of `queue`; null when the class has no free worker.
  Worker* Hold(WorkerClass& worker_class, PropertyQueue& queue);
  // Gives a held worker back.
  void Release(PropertyQueue& queue);
  bool HasRoom(const Worker& worker, const Operation& operation) const;
  // Whether some free worker of the class has what an operation of the queue needs.
  static bool HasRoom(const WorkerClass& worker_class, const PropertyQueue& queue);

  size_t size() const { return workers_.size(); }
  const std::unordered_map<WorkerId, std::unique_ptr<Worker>>& all() const { return workers_; }

 private:
  static bool MayJoin(const Operation& operation, const Worker& worker);
  bool PickFree(const Operation& operation, Worker** best) const;
  Worker* PickServing(const Operation& operation) const;
  Worker* LeastLoaded(const WorkerClass& worker_class, const Operation& operation) const;
  Worker* Warm(const Operation& operation, const Worker& least) const;
  Amounts LeftOf(const Worker& worker) const;

  const SchedulerOptions& options_;
  Matching& matching_;
  Timers& timers_;
  std::unordered_map<WorkerId, std::unique_ptr<Worker>> workers_;
  std::unordered_map<uint64_t, Worker*> by_number_;
  Locality locality_;
  uint64_t next_number_ = 1;
  uint64_t next_use_ = 1;
};

}  // namespace lre::scheduler
