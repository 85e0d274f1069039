// Which worker can serve which action. A worker serves an action when it offers every property that
// the action asks for; OSFamily values compare without case, since clients send both spellings.
//
// Actions with the same properties share one PropertyQueue, workers with the same properties one
// WorkerClass; which class serves which queue is computed once, when either of them is new. So the
// cost of placing an action grows with the number of different property sets, never with the number
// of queued actions times workers.
//
// Confined to one thread. Bounds: property_sets_max queues.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/timers.h"

namespace lre::scheduler {

struct Worker;
struct WorkerClass;

// Sorted, each pair once, OSFamily values in lower case, without the names in `ignored`.
Properties Canonical(const Properties& properties, const std::vector<std::string>& ignored = {});
// "OSFamily=linux;Pool=large": for people and as a key.
std::string PrintProperties(const Properties& properties);
// Whether `offered` has all of `wanted`; both canonical.
bool Serves(const Properties& offered, const Properties& wanted);
// Those of `wanted` that `offered` lacks.
Properties Missing(const Properties& offered, const Properties& wanted);

// The queued operations that ask for the same properties.
struct PropertyQueue {
  Properties properties;
  std::string key;
  size_t index = 0;                   // place in WorkerClass::serves
  std::vector<WorkerClass*> classes;  // that can serve it
  bool pool_expected = false;         // a declared pool could

  FairQueue fair;
  std::list<Operation*> arrivals;  // the same operations, the longest waiting first
  uint64_t dispatched = 0;         // for the estimate of positions
  size_t users = 0;                // operations, queued or running, that may come (back) here
  Instant unserved_since{};        // when `classes` became empty
  Timers::Slot unserved;
  std::list<PropertyQueue*>::iterator idle_at;  // in the list of queues without users
  size_t active_at = 0;                         // place among the queues with operations
  bool dirty = false;
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
  Properties properties;
  std::string key;
  std::string example;       // a worker's name, for messages
  std::vector<bool> serves;  // by PropertyQueue::index
  size_t workers = 0;
  std::set<FreeKey> free;
  size_t at = 0;  // place among the classes
  bool dirty = false;
};

class Matching {
 public:
  Matching(const SchedulerOptions& options, Timers& timers);
  ~Matching();

  // The queue of these properties; null when there are property_sets_max in use.
  PropertyQueue* QueueFor(const Properties& properties, Instant now);
  void AddUser(PropertyQueue& queue);
  void DropUser(PropertyQueue& queue);

  // A worker with these properties came or went. The queues that were (or now are) without any
  // class are added to `changed`. The class goes with its last worker.
  WorkerClass* Enter(const Properties& properties, const std::string& worker_name);
  void Leave(WorkerClass& worker_class, Instant now, std::vector<PropertyQueue*>& changed);

  void DeclarePool(const std::string& name, const Properties& properties);
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

  // Why nobody serves `properties`: names what the nearest worker lacks.
  std::string Explain(const Properties& properties) const;

 private:
  void Evict(PropertyQueue& queue);

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
    Properties properties;
  };
  std::vector<Pool> pools_;
  bool pools_closed_ = false;
  std::vector<PropertyQueue*> dirty_queues_;
  std::vector<WorkerClass*> dirty_classes_;
};

}  // namespace lre::scheduler
