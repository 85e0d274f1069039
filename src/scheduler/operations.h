// Operations: every action that was asked for and not yet forgotten, by name; which of them are in
// flight, by action; which clients wait for which; and the actions in quarantine.
//
// Confined to one thread. Bounds: queued_actions_max and workers' slots bound those in flight,
// finished_operations_max the finished, clients_max the clients, quarantined_actions_max the rest.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "digest/digest.h"
#include "scheduler/queue.h"
#include "scheduler/scheduler.h"
#include "scheduler/timers.h"

namespace lre::scheduler {

struct PropertyQueue;
struct Worker;

// Requests with the same key ask for the same run.
struct ActionKey {
  Digest action;
  std::string instance_name;
  uint32_t partition = 0;
  friend bool operator==(const ActionKey&, const ActionKey&) = default;
};
struct ActionKeyHash {
  size_t operator()(const ActionKey& key) const {
    return DigestHash()(key.action) ^ std::hash<std::string>()(key.instance_name) ^ key.partition;
  }
};
ActionKey KeyOf(const ActionRequest& request);

struct Operation {
  OperationName name;
  uint64_t number = 0;  // in order of making
  std::shared_ptr<const ActionRequest> request;
  Stage stage = Stage::kQueued;
  std::vector<ClientId> clients;
  Timers::Slot client_grace;
  bool merges = false;  // is in the table of actions in flight

  // Queued, and how to queue it again.
  PropertyQueue* queue = nullptr;
  bool enlarged = false;           // runs again with more memory
  std::vector<Account*> accounts;  // of the invocations that want it; queued under each
  QueueRank rank;
  std::list<Operation*>::iterator arrival;
  Instant wait_start{};
  int passed_over = 0;  // for the sake of locality
  uint64_t ahead = 0;   // operations before it when it was queued, plus those dispatched by then

  // Executing. `attempt` is the number of the current attempt, `tries` how many there were;
  // `worker` runs it.
  int64_t attempt = 0;
  int tries = 0;
  Worker* worker = nullptr;
  Account* charged = nullptr;  // whose share it counts in while it has a worker; one of `accounts`
  WorkerId last_worker;
  std::string worker_name;  // of the same
  bool publishing = false;  // the worker is done, the caller makes the result durable
  bool lost = false;        // queued again because its worker was lost: may be adopted
  AttemptId runs_as;        // the current attempt, as its worker calls it
  // Taken over from before the start and not asked for since: it cannot be started again.
  bool recovered = false;
  int losses = 0;  // attempts that were lost with their worker
  Timers::Slot deadline;
  std::shared_ptr<const void> progress;

  // Completed.
  Status status;
  std::shared_ptr<const void> answer;
  Instant expires{};
  std::list<Operation*>::iterator finished;
};

class Operations {
 public:
  Operations(const SchedulerOptions& options, Timers& timers);
  ~Operations();

  Operation& Add(OperationName name, std::shared_ptr<const ActionRequest> request);
  Operation* Find(const OperationName& name, const Scope& scope = {}) const;
  // The one in flight that a request merges with; null when there is none.
  Operation* FindInFlight(const ActionRequest& request) const;
  // By partition and number.
  using InOrder = std::map<std::pair<uint32_t, uint64_t>, Operation*>;
  const InOrder& in_order() const { return in_order_; }
  size_t size() const { return by_name_.size(); }

  void AddClient(Operation& operation, ClientId client);
  // The operation this client waited for; null when it does not wait (any more).
  Operation* RemoveClient(ClientId client);
  void RemoveClients(Operation& operation);
  size_t clients() const { return clients_.size(); }

  // From now on retained only; what only a running action needs is dropped.
  void Finish(Operation& operation, Instant now);
  // Forgets the finished ones that are due or too many.
  void Trim(Instant now);
  void Forget(Operation& operation);  // REQUIRES: finished
  std::optional<Instant> NextExpiry() const;
  size_t finished() const { return finished_.size(); }

  // Actions that were lost with too many workers.
  void Quarantine(const ActionRequest& request, Instant now);
  bool Quarantined(const ActionRequest& request, Instant now);

 private:
  const SchedulerOptions& options_;
  Timers& timers_;
  std::unordered_map<OperationName, std::unique_ptr<Operation>> by_name_;
  InOrder in_order_;
  uint64_t next_number_ = 1;
  std::unordered_map<ActionKey, Operation*, ActionKeyHash> in_flight_;
  std::unordered_map<ClientId, Operation*> clients_;
  std::list<Operation*> finished_;                                     // the oldest first
  std::unordered_map<ActionKey, Instant, ActionKeyHash> quarantined_;  // until when
  std::deque<ActionKey> quarantine_order_;
};

}  // namespace lre::scheduler
