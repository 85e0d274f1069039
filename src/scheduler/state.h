// Scheduler::State: what the scheduler knows, and one handler per event. The handlers of clients'
// events are in client_events.cc, of workers' in worker_events.cc; both change operations only
// through the transitions in transitions.cc; dispatch.cc brings operations and free workers
// together once per step. Confined to one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "scheduler/matching.h"
#include "scheduler/operations.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/sizes.h"
#include "scheduler/timers.h"
#include "scheduler/workers.h"

namespace lre::scheduler {

struct Scheduler::State {
  explicit State(SchedulerOptions scheduler_options);
  ~State() { timers.Disarm(awaiting_end); }

  // Clients (client_events.cc).
  void On(const Enqueue& event);
  void On(const ClientAttached& event);
  void On(const ClientLeft& event);
  void On(const CancelRequested& event);
  void On(const OperationDeleted& event);
  // Workers (worker_events.cc).
  void On(const WorkerJoined& event);
  void On(const WorkerProgressed& event);
  void On(const WorkerReported& event);
  void On(const Published& event);
  void On(const WorkerHeard& event);
  void On(const WorkerDraining& event);
  void On(const WorkerLost& event);
  void On(const PoolDeclared& event);
  void On(const PoolsClosed& event);
  void On(const Tick&) {}
  void Expire();  // everything that is due

  // Why a request cannot be taken; OK when it can.
  Status Refusal(const ActionRequest& request);
  void MergeInto(Operation& operation, const Enqueue& event);
  // The queue that a request belongs into, or why it cannot be taken.
  Result<PropertyQueue*> QueueOf(const ActionRequest& request);
  // A recovered operation is asked for again: from now on it is like any other.
  void MakeOrdinary(Operation& operation, std::shared_ptr<const ActionRequest> request,
                    PropertyQueue& queue);
  // Clients who ask for what nobody knows, soon after the start.
  bool Await(const ClientAttached& event);
  void AttachAwaiting(const OperationName& name, Operation& operation);
  void EndAwaiting();

  // Sizes that were learned (learning.cc): what to reserve for a kind, also when `memory_bytes_min`
  // is more.
  Amounts LearnedAmounts(uint64_t kind, int64_t memory_bytes_min) const;
  PropertyQueue* QueueOf(Terms wanted, uint64_t kind);
  int64_t ReservedMemory(const Operation& operation, const Worker& worker) const;
  // What is taken over keeps the memory that it was given.
  void SetAside(Worker& worker, const AttemptId& attempt, int64_t memory_bytes);
  // After a run that was killed for want of memory.
  void Enlarge(Operation& operation, const Usage& usage);
  bool RunEnlarged(Operation& operation, const WorkerReported& event);

  // Transitions (transitions.cc): queued -> executing -> completed, and back to queued.
  void PutInQueue(Operation& operation);
  void TakeFromQueue(Operation& operation);
  void AddInterest(Operation& operation, const ActionRequest& request);
  void Start(Operation& operation, Account* account, Worker& worker);
  // `worker` runs the operation's current attempt and calls it `id`.
  void RunOn(Operation& operation, Worker& worker, AttemptId id);
  // It does no more.
  static void LeaveWorker(Operation& operation);
  Duration TimeoutOf(const Operation& operation) const;
  // The current attempt ended without a result. Queues the operation again, or completes it with
  // `status` (and what its worker has to say about it) when attempts_max is reached.
  void Retry(Operation& operation, Status status, std::shared_ptr<const void> answer = nullptr);
  void MoveTo(Operation& operation, PropertyQueue& queue);  // REQUIRES: not queued
  // From now on it waits in the queue of these terms; as before when there are too many queues.
  // REQUIRES: not queued.
  void MoveTo(Operation& operation, const Terms& terms);
  void Suspect(Operation& operation);
  // The current attempt will not come back; `how` completes "the attempt ...".
  void LoseAttempt(Operation& operation, const std::string& how);
  // Tells the worker to stop; its slot is free when it says so, or after cancel_grace.
  void StopAttempt(Operation& operation, const std::string& reason);
  void Complete(Operation& operation, Status status, std::shared_ptr<const void> answer);
  // A recovered operation has lost its attempt: its clients are told that it is unknown, and ask
  // for it anew.
  void Vanish(Operation& operation);
  void TellStage(const Operation& operation, ClientId client);
  void TellStage(const Operation& operation);
  void CancelRunning(Worker& worker, Running& running, const std::string& reason);

  // Workers.
  void Freed(Worker& worker);
  void LeaveClass(Worker& worker);
  void Rest(Worker& worker);
  void RemoveWorker(Worker& worker, const std::string& how);
  void Reconcile(Worker& worker, const WorkerJoined& event);
  bool Adopt(Worker& worker, const AttemptId& attempt);
  bool Recover(Worker& worker, const AttemptId& attempt,
               const std::shared_ptr<const ActionRequest>& request);

  // Dispatch (dispatch.cc).
  void Dispatch();
  void Serve(PropertyQueue& queue);
  void Serve(WorkerClass& worker_class);
  Operation& WarmNear(PropertyQueue& queue, const FairQueue::Front& first, const Worker& worker);
  bool UseHeld(Worker& worker);
  void ReleaseHeld(PropertyQueue& queue);
  // Actions nobody can serve: when their grace ends, and ending it.
  Duration GraceOf(const PropertyQueue& queue) const;
  void ArmUnserved(PropertyQueue& queue);
  void FailUnserved(PropertyQueue& queue);

  OperationView ViewOf(const Operation& operation) const;
  static size_t PositionOf(const Operation& operation);

  const SchedulerOptions options;
  Instant now{};
  Timers timers;
  Accounts accounts;
  Matching matching;
  Operations operations;
  Workers workers;
  Sizes sizes;
  uint64_t next_sequence = 1;
  size_t queued = 0;
  size_t executing = 0;
  uint64_t stale_reports = 0, attempts_lost = 0, merged = 0, out_of_memory = 0, recovered = 0;
  std::optional<Instant> started;  // the first step
  std::multimap<OperationName, ClientAttached> awaiting;
  std::unordered_map<ClientId, OperationName> awaiting_names;  // the same, by client
  Timers::Slot awaiting_end;
  std::vector<Effect> effects;
};

}  // namespace lre::scheduler
