// Scheduler: decides which worker runs which action, as a pure state machine. No threads, no I/O,
// no clock of its own: `Step` takes an event and the time and returns what the caller must now do.
// One thread owns it (service/scheduler_thread.h); simulation tests own it directly.
//
// Rules: first in, first out within a priority; a worker serves an action when it offers every
// platform property the action asks for; identical actions in flight (same partition, instance
// name, digest and digest function; never do_not_cache) run once; every client that waits gets
// exactly one answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "digest/digest.h"

namespace lre::scheduler {

using WorkerId = std::string;  // Hello.worker_id
using ClientId = uint64_t;     // one stream of Execute or WaitExecution; never reused
using OperationName = std::string;
using Properties = std::vector<std::pair<std::string, std::string>>;  // sorted

// What is asked for. The scheduler does not look into `payload`: it is the caller's (serialised
// Action and Command).
struct ActionRequest {
  Digest action;
  std::string instance_name;
  uint32_t partition = 0;
  Properties properties;
  int32_t priority = 0;  // ExecutionPolicy: lower runs first
  bool do_not_cache = false;
  bool skip_cache_lookup = false;
  Duration timeout{};      // of the command; 0: the default
  std::string invocation;  // RequestMetadata.tool_invocation_id, for fairness
  std::shared_ptr<const void> payload;
};

struct AttemptId {
  OperationName operation;
  int64_t number = 0;
  friend auto operator<=>(const AttemptId&, const AttemptId&) = default;
};

enum class Stage { kQueued, kExecuting, kCompleted };

// --- Events ---
struct Enqueue {
  OperationName name;
  ActionRequest request;
  ClientId client;
};  // name is used unless merged
struct ClientAttached {
  OperationName name;
  ClientId client;
};  // WaitExecution
struct ClientLeft {
  ClientId client;
};  // its connection was lost
struct CancelRequested {
  OperationName name;
};  // Operations.CancelOperation
struct WorkerJoined {
  WorkerId worker;
  std::string name;
  Properties properties;  // a name may come several times
  int slots = 1;
  std::vector<AttemptId> running;  // after a reconnect
};
// The end of an attempt, as the worker tells it. `answer` is opaque (serialised ExecuteResponse).
struct WorkerReported {
  WorkerId worker;
  AttemptId attempt;
  Status status;           // OK: the command ran, whatever its exit code
  bool retryable = false;  // the worker's failure: may run again elsewhere
  std::shared_ptr<const void> answer;
};
struct WorkerHeard {
  WorkerId worker;
};  // a heartbeat or any other message
struct WorkerDraining {
  WorkerId worker;
};  // no new assignments
struct WorkerLost {
  WorkerId worker;
};
struct PoolDeclared {
  std::string name;
  Properties properties;
};  // workers that may come: autoscaling
struct OperationDeleted {
  OperationName name;
};
struct Tick {};

using Event =
    std::variant<Enqueue, ClientAttached, ClientLeft, CancelRequested, WorkerJoined, WorkerReported,
                 WorkerHeard, WorkerDraining, WorkerLost, PoolDeclared, OperationDeleted, Tick>;

// --- Effects, to be carried out in order ---
struct Assign {
  WorkerId worker;
  AttemptId attempt;
  std::shared_ptr<const ActionRequest> request;
  Duration timeout;
};
struct Cancel {
  WorkerId worker;
  AttemptId attempt;
  std::string reason;
};
struct Acknowledge {
  WorkerId worker;
  AttemptId attempt;
};  // the report was taken (also: dropped as stale)
struct StageChanged {
  ClientId client;
  OperationName operation;
  Stage stage;
  WorkerId worker;
};
// The one answer to a client. Error status: the operation failed without the command having an
// answer.
struct Answer {
  ClientId client;
  OperationName operation;
  Status status;
  std::shared_ptr<const void> answer;
};
struct UnknownOperation {
  ClientId client;
  OperationName operation;
};  // NOT_FOUND: the client runs it again
using Effect = std::variant<Assign, Cancel, Acknowledge, StageChanged, Answer, UnknownOperation>;

struct SchedulerOptions {
  size_t queued_actions_max = 200000;  // beyond: RESOURCE_EXHAUSTED to the new one
  size_t workers_max = 20000;
  Duration client_grace = std::chrono::seconds(60);  // after the last client's connection was lost
  Duration operation_retention = std::chrono::minutes(5);  // finished operations are kept that long
  size_t finished_operations_max = 100000;
  Duration worker_grace =
      std::chrono::seconds(10);  // an action that no worker can serve waits that long
  Duration worker_silence_max = std::chrono::seconds(30);
  int attempts_max = 3;
  Duration timeout_default = std::chrono::minutes(15);
  Duration timeout_max = std::chrono::hours(3);  // longer: INVALID_ARGUMENT
  Duration timeout_slack = std::chrono::seconds(
      30);  // a worker that does not report by timeout + fetch bounds + slack is lost to the action
};

// What Operations.Get and List show.
struct OperationView {
  OperationName name;
  Stage stage = Stage::kQueued;
  std::shared_ptr<const ActionRequest> request;
  WorkerId worker;
  Status status;                       // when completed
  std::shared_ptr<const void> answer;  // when completed
  size_t queue_position = 0;           // 1 = next; 0 when not queued
};

class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options);
  ~Scheduler();

  // Applies `event`; returns what the caller must now do, in order. REQUIRES: `now` never goes
  // backwards.
  std::vector<Effect> Step(Instant now, const Event& event);
  // When Step(Tick) is next due; nullopt: not until another event.
  std::optional<Instant> NextDeadline() const;

  std::optional<OperationView> Find(const OperationName& name) const;
  // Operations with a name after `after`, at most `limit`, in order of name.
  std::vector<OperationView> List(const OperationName& after, size_t limit) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lre::scheduler
