// Which worker can serve which action: one that offers every property the action asks for
// (scheduler/terms.h) and, of what is counted, has enough that is not taken.
//
// Actions with the same properties share one PropertyQueue, workers with the same properties one
// WorkerClass; which class serves which queue is computed once, when either of them is new. So the
// cost of placing an action grows with the number of different property sets, never with the number
// of queued actions times workers. Free workers of a class are grouped by what they have left, so
// finding one with enough costs at most one look per different remainder; classes with free workers
// are kept in the order in which they are preferred, so that many workers that all differ cost no
// more than many that are alike.
//
// Confined to one thread. Bounds: property_sets_max queues.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/terms.h"
#include "scheduler/timers.h"

namespace lre::scheduler {

struct Worker;
struct WorkerClass;

// The queued operations that ask for the same properties.
struct PropertyQueue {
  Terms terms;
  std::string key;
  size_t index = 0;  // place in WorkerClass::serves
  // Those that can serve it; the one that offers least beyond first.
  std::vector<WorkerClass*> classes;
  bool pool_expected = false;  // a declared pool could

  FairQueue fair;
  std::list<Operation*> arrivals;  // the same operations, the longest waiting first
  uint64_t dispatched = 0;         // for the estimate of positions
  size_t users = 0;                // operations, queued or running, that may come (back) here
  Instant unserved_since{};        // when `classes` became empty
  Timers::Slot unserved;
  std::list<PropertyQueue*>::iterator idle_at;  // in the list of queues without users
  size_t active_at = 0;                         // place among the queues with operations
  bool dirty = false;
  // Takes nothing new until there is room on it for the first operation here.
  Worker* held = nullptr;
  std::string why;  // of Explain
  uint64_t why_generation = 0;
};

// Free workers, the least loaded first, then the one that was used longest ago.
struct FreeKey {
  int load = 0;
  uint64_t last_used = 0;
  uint64_t number = 0;  // of the worker
  Worker* worker = nullptr;
  friend bool operator<(const FreeKey& a, const FreeKey& b) {
    if (a.load != b.load) return a.load < b.load;
    if (a.last_used != b.last_used) return a.last_used < b.last_used;
    return a.number < b.number;
  }
};

// The workers that offer the same properties.
struct WorkerClass {
  Terms terms;  // `amounts` is what each worker has in all
  std::string key;
  std::string example;       // a worker's name, for messages
  std::vector<bool> serves;  // by PropertyQueue::index
  size_t workers = 0;
  std::map<Amounts, std::set<FreeKey>> free;  // by what they have left
  FreeKey first_free;                         // of all those; its worker is null when there is none
  size_t at = 0;                              // place among the classes
  bool dirty = false;
};

// How much such a worker has to offer: those who offer less are taken first.
size_t SizeOf(const WorkerClass& worker_class);

// Of classes with free workers: those that offer less, then those with the best free worker.
struct PreferredClass {
  bool operator()(const WorkerClass* a, const WorkerClass* b) const {
    const size_t a_size = SizeOf(*a), b_size = SizeOf(*b);
    return a_size != b_size ? a_size < b_size : a->first_free < b->first_free;
  }
};
using FreeClasses = std::set<WorkerClass*, PreferredClass>;

class Matching {
 public:
  Matching(const SchedulerOptions& options, Timers& timers);
  ~Matching();

  // The queue of these properties; null when there are property_sets_max in use.
  PropertyQueue* QueueFor(const Terms& terms, Instant now);
  void AddUser(PropertyQueue& queue);
  void DropUser(PropertyQueue& queue);

  // A worker with these properties came or went. The queues that were (or now are) without any
  // class are added to `changed`. The class goes with its last worker.
  WorkerClass* Enter(const Terms& terms, const std::string& worker_name);
  void Leave(WorkerClass& worker_class, Instant now, std::vector<PropertyQueue*>& changed);

  void DeclarePool(const std::string& name, const Terms& terms);
  void ClosePools() { pools_closed_ = true; }
  bool pools_closed() const { return pools_closed_; }

  // What must be looked at when operations and workers are brought together: queues that got
  // operations, classes in which a worker became free. Those that go meanwhile are left out.
  void MarkDirty(PropertyQueue& queue);
  void MarkDirty(WorkerClass& worker_class);
  std::vector<PropertyQueue*> TakeDirtyQueues();
  std::vector<WorkerClass*> TakeDirtyClasses();

  // Queues with operations: call when the first came or the last left.
  void SetActive(PropertyQueue& queue, bool active);
  const std::vector<PropertyQueue*>& active() const { return active_; }
  const std::unordered_map<std::string, std::unique_ptr<PropertyQueue>>& queues() const {
    return queues_;
  }
  size_t classes() const { return classes_.size(); }

  // Classes with free workers: `free` changes only through these.
  void AddFree(WorkerClass& worker_class, const Amounts& left, const FreeKey& key);
  void RemoveFree(WorkerClass& worker_class, const Amounts& left, const FreeKey& key);
  const FreeClasses& free_classes() const { return free_classes_; }

  // Why nobody serves `queue`: names what the nearest worker lacks.
  const std::string& Explain(PropertyQueue& queue);

 private:
  void Evict(PropertyQueue& queue);
  bool Expected(const Terms& terms) const;
  // Puts the class where `first` says among those with free workers.
  void SetFirstFree(WorkerClass& worker_class, const FreeKey& first);
  std::string Difference(const Terms& offered, const Terms& wanted, const std::string& who) const;
  std::string ExplainNow(const Terms& wanted) const;

  const SchedulerOptions& options_;
  Timers& timers_;
  std::unordered_map<std::string, std::unique_ptr<PropertyQueue>> queues_;
  std::list<PropertyQueue*> idle_;  // without users, the longest idle first
  std::vector<size_t> free_indices_;
  std::vector<PropertyQueue*> active_;
  std::unordered_map<std::string, WorkerClass*> class_by_key_;
  std::vector<std::unique_ptr<WorkerClass>> classes_;
  struct Pool {
    std::string name;
    Terms terms;
  };
  std::vector<Pool> pools_;
  bool pools_closed_ = false;
  std::vector<PropertyQueue*> dirty_queues_;
  std::vector<WorkerClass*> dirty_classes_;
  FreeClasses free_classes_;
  uint64_t generation_ = 1;  // of what workers and pools offer
};

}  // namespace lre::scheduler
