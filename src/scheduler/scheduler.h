// Scheduler: decides which worker runs which action, as a pure state machine. No threads, no I/O,
// no clock of its own: `Step` takes an event and the time and returns what the caller must now do.
// One thread owns it (service/scheduler_thread.h); simulation tests own it directly.
//
// Rules: tenants, then users, then invocations share the slots (scheduler/queue.h); within an
// invocation first in, first out per priority, with ageing; a worker serves an action when it
// offers every platform property the action asks for and has enough left of those that are counted
// (scheduler/terms.h); identical actions in flight (same partition, instance name, digest and
// digest function; never do_not_cache) run once; every client that waits gets exactly one answer.
// Nothing is written down: after a restart the workers say what they run, which is taken over; what
// no worker says is unknown, and clients ask for it anew.
//
// Bounds: every count and wait has a named option below. Errors that a client can cause are answers
// to that client; an id used twice (client, new operation name) is the caller's bug and a CHECK.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
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
  std::string user;        // the authenticated identity, for fairness; may be empty
  // Hashes of what makes a worker that had it before quicker, the strongest first: input root,
  // target, toolchain. Few.
  std::vector<uint64_t> affinities;
  // Hash of what runs of the same size have in common, as mnemonic and target; 0: nothing known.
  uint64_t kind = 0;
  // Of WorkerJoined::held: what was set aside of the worker's memory; 0: nothing in particular.
  int64_t memory_bytes = 0;
  std::shared_ptr<const void> payload;
};

struct AttemptId {
  OperationName operation;
  int64_t number = 0;
  friend auto operator<=>(const AttemptId&, const AttemptId&) = default;
};

// The partitions whose operations somebody may see; others' are unknown to them.
struct Scope {
  std::optional<uint32_t> only;  // set: no other
  // Else: all but these; null: all.
  std::shared_ptr<const std::set<uint32_t>> except;
  bool Covers(uint32_t partition) const {
    if (only) return *only == partition;
    return except == nullptr || !except->contains(partition);
  }
};

enum class Stage { kQueued, kExecuting, kCompleted };

// --- Events ---
struct Enqueue {
  OperationName name;
  std::shared_ptr<const ActionRequest> request;
  ClientId client;
};  // name is used unless merged
// WaitExecution.
struct ClientAttached {
  OperationName name;
  ClientId client;
  Scope scope = {};
};
struct ClientLeft {
  ClientId client;
};  // its connection was lost
struct CancelRequested {
  OperationName name;
  Scope scope = {};
};  // Operations.CancelOperation
struct WorkerJoined {
  WorkerId worker;
  std::string name;
  Properties properties;  // a name may come several times
  int slots = 1;
  std::vector<AttemptId> running;  // after a reconnect
  // What those attempts are, as far as the worker says: a scheduler that was started anew takes
  // over the ones it does not know. Payloads hold what Publish needs; such an operation is not
  // started again.
  std::map<AttemptId, std::shared_ptr<const ActionRequest>> held = {};
};
// Where an attempt stands; `progress` is opaque and goes to the clients with StageChanged.
struct WorkerProgressed {
  WorkerId worker;
  AttemptId attempt;
  std::shared_ptr<const void> progress;
};
// What an attempt took, as far as its worker knows.
struct Usage {
  int64_t memory_peak_bytes = 0;
  Duration cpu{}, wall{};
};
// The end of an attempt, as the worker tells it. Frees the slot, also that of a cancelled attempt.
// `answer` is opaque (serialised ExecuteResponse).
struct WorkerReported {
  WorkerId worker;
  AttemptId attempt;
  Status status;           // OK: the command ran, whatever its exit code
  bool retryable = false;  // the worker's failure: may run again elsewhere
  std::shared_ptr<const void> answer;
  Usage usage{};
  // It was killed for want of memory: it runs once more with a larger reservation.
  bool out_of_memory = false;
};
// The caller's answer to Publish. Not OK and retryable: the attempt counts as the worker's failure.
struct Published {
  AttemptId attempt;
  Status status;
  bool retryable = false;
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
};  // the link broke; what it runs is kept for reconnect_grace
struct PoolDeclared {
  std::string name;
  Properties properties;
};                      // workers that may come: autoscaling
struct PoolsClosed {};  // no others than the declared ones will: fail at once what none could serve
struct OperationDeleted {
  OperationName name;
  Scope scope = {};
};
struct Tick {};

using Event = std::variant<Enqueue, ClientAttached, ClientLeft, CancelRequested, WorkerJoined,
                           WorkerReported, WorkerHeard, WorkerDraining, WorkerLost, PoolDeclared,
                           OperationDeleted, Tick, WorkerProgressed, Published, PoolsClosed>;

// --- Effects, to be carried out in order ---
struct Assign {
  WorkerId worker;
  AttemptId attempt;
  std::shared_ptr<const ActionRequest> request;
  Duration timeout;
  int64_t memory_bytes = 0;  // reserved on the worker for it; 0: nothing in particular
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
// The command ran: make its result durable (check its blobs, write the action cache), then say
// Published. Identical actions still merge with this one meanwhile.
struct Publish {
  AttemptId attempt;
  std::shared_ptr<const ActionRequest> request;
  std::shared_ptr<const void> answer;
};
// The link must be closed: the worker was silent too long, or is not wanted before retry_after (0:
// it may come back at once).
struct CloseWorker {
  WorkerId worker;
  Status status;
  Duration retry_after{};
};
struct StageChanged {
  ClientId client;
  OperationName operation;
  Stage stage;
  WorkerId worker;
  std::shared_ptr<const ActionRequest> request;
  std::shared_ptr<const void> progress;  // of WorkerProgressed; may be null
  size_t queue_position = 0;             // as in OperationView
  int64_t attempt = 0;
  std::string worker_name;  // for people
};
// The one answer to a client. Error status: the operation failed without the command having an
// answer.
struct Answer {
  ClientId client;
  OperationName operation;
  Status status;
  std::shared_ptr<const void> answer;
  std::shared_ptr<const ActionRequest> request;  // null when the operation was refused at once
  std::string worker_name = {};  // of the last attempt, for people; empty: none was made
};
struct UnknownOperation {
  ClientId client;
  OperationName operation;
};  // NOT_FOUND: the client runs it again
using Effect = std::variant<Assign, Cancel, Acknowledge, StageChanged, Answer, UnknownOperation,
                            Publish, CloseWorker>;

struct SchedulerOptions {
  size_t queued_actions_max = 200000;  // beyond: RESOURCE_EXHAUSTED to the new one
  size_t workers_max = 20000;          // beyond: the newcomer is closed with UNAVAILABLE
  Duration workers_retry = std::chrono::seconds(30);  // and told to come back after that long
  int slots_max = 4096;                               // of one worker; more are not used
  size_t clients_max = 100000;                        // streams at once, over all operations
  // Distinct property sets with queued actions; beyond: RESOURCE_EXHAUSTED.
  size_t property_sets_max = 1000;
  size_t properties_max = 100;  // of one action; more: INVALID_ARGUMENT
  size_t pools_max = 1000;      // declared; more are ignored
  // Names of properties that are no demand on a worker, e.g. those that only split cache keys.
  std::vector<std::string> ignored_properties;
  // Names of properties that are counted: a worker must have that much left of them. Values are
  // numbers or sizes ("4", "0.5", "8GiB").
  std::vector<std::string> minimum_properties = {"cores", "memory"};
  // An action that waits that long for room on a worker gets one held free for it.
  Duration reserve_after = std::chrono::seconds(10);

  // Who ran what last is remembered for that many affinities, and preferred while it runs at most
  // locality_load_max more than the least loaded.
  size_t locality_entries_max = 65536;
  int locality_load_max = 2;
  // A worker that became free takes one of the next locality_lookahead of an invocation when it is
  // warm for it; an action is passed over that often at most.
  int locality_lookahead = 8;

  // How much actions of a kind took before is remembered for that many kinds, and reserved from
  // the properties of these names (of minimum_properties; memory in bytes).
  size_t learned_sizes_max = 65536;
  std::string memory_property = "memory", cores_property = "cores";

  Duration client_grace = std::chrono::seconds(60);  // after the last client's connection was lost
  Duration operation_retention = std::chrono::minutes(5);  // finished operations are kept that long
  size_t finished_operations_max = 20000;                  // the oldest go first

  // An action that no worker can serve waits that long; one that a declared pool could, pool_grace.
  Duration worker_grace = std::chrono::seconds(10);
  Duration pool_grace = std::chrono::minutes(10);
  Duration worker_silence_max = std::chrono::seconds(30);  // then the worker is lost
  Duration reconnect_grace = std::chrono::seconds(5);  // a broken link may come back with its work
  Duration cancel_grace = std::chrono::seconds(30);    // a cancelled attempt holds its slot so long
  // So long after the start a client that asks for an unknown operation waits for a worker that
  // comes back with it: as long as workers take to notice a restart.
  Duration adoption_grace = std::chrono::seconds(10);
  // A worker whose fault a failure was rests 1 s, doubling up to this.
  Duration worker_rest_max = std::chrono::minutes(1);

  int attempts_max = 3;
  // Actions that were lost with attempts_max workers are refused that long.
  Duration quarantine = std::chrono::minutes(5);
  size_t quarantined_actions_max = 1000;

  Duration timeout_default = std::chrono::minutes(15);
  Duration timeout_max = std::chrono::hours(3);  // longer: INVALID_ARGUMENT
  // Fetching inputs and uploading outputs; a worker that does not report by timeout + staging_max +
  // timeout_slack is lost to the action.
  Duration staging_max = std::chrono::minutes(10);
  Duration timeout_slack = std::chrono::seconds(30);

  // Whoever has twice the weight gets twice the turns; 1 for who is not named. By partition, and by
  // the name of the authenticated identity.
  std::map<uint32_t, double> tenant_weights;
  std::map<std::string, double, std::less<>> user_weights;
  // Waiting that long outweighs one step of priority, so nothing starves.
  Duration ageing_step = std::chrono::seconds(30);
};

// What Operations.Get and List show.
struct OperationView {
  OperationName name;
  uint64_t number = 0;  // in the order in which operations were made, from 1
  Stage stage = Stage::kQueued;
  std::shared_ptr<const ActionRequest> request;
  WorkerId worker;
  Status status;                       // when completed
  std::shared_ptr<const void> answer;  // when completed
  size_t queue_position = 0;           // 1 = next; 0 when not queued; an estimate
  int64_t attempt = 0;                 // 0: none yet
  std::shared_ptr<const void> progress;
  std::string worker_name;  // for people
};

// For metrics and autoscaling.
struct SchedulerStats {
  size_t queued = 0, executing = 0, finished = 0, clients = 0;
  size_t workers = 0, slots = 0, slots_busy = 0;
  uint64_t stale_reports = 0;  // of attempts other than the one assigned
  uint64_t attempts_lost = 0;
  uint64_t recovered = 0;  // attempts taken over that ran before the start
  uint64_t merged = 0;
  uint64_t out_of_memory = 0;                       // attempts killed for want of memory
  size_t operations = 0, timers = 0, accounts = 0;  // what is kept in memory
  struct Queue {
    std::string properties;  // "OSFamily=linux;Pool=large"
    size_t queued = 0;
    Duration oldest_wait{};
    uint64_t dispatched = 0;  // so far
  };
  std::vector<Queue> queues;
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

  std::optional<OperationView> Find(const OperationName& name, const Scope& scope = {}) const;
  SchedulerStats Stats(Instant now) const;
  // Operations of a partition with a number after `after`, at most `limit`, the oldest first.
  std::vector<OperationView> List(uint32_t partition, uint64_t after, size_t limit) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lre::scheduler
