// RuleFarm: a farm in simulated time for one rule of the scheduler at a time. Workers come, crash
// and come back under new names; what an action does is said by the test. It records for every
// client when it asked, when its action was started, how often and with how much memory, and the
// one answer it got. Drawn from one seed. Confined to one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/scheduler.h"

namespace lre::scheduler {

class RuleFarm {
 public:
  RuleFarm(uint64_t seed, SchedulerOptions options);

  // What an attempt does.
  struct Run {
    enum class End { kDone, kOutOfMemory, kWorkersFault, kKillsWorker, kHangs } end = End::kDone;
    Duration time = std::chrono::seconds(1);
  };
  struct Attempt {
    std::string action, worker;  // the worker's name in its Kind
    int64_t memory_bytes = 0;    // set aside
  };
  // Without it every action is done after a second.
  std::function<Run(const Attempt&)> run;

  struct Kind {
    std::string name;
    int slots = 1;
    Properties properties = {};
    // It crashes at random, about so often, and comes back so much later; 0: never.
    Duration crash_every{}, back_after = std::chrono::seconds(5);
  };
  void AddWorker(const Kind& kind);

  struct Ask {
    std::string action;
    Properties properties = {};
    uint32_t partition = 0;
    std::string user = {}, invocation = {};
    int32_t priority = 0;
    std::vector<uint64_t> affinities = {};
    uint64_t kind = 0;
  };
  struct Start {
    Instant at{};
    std::string worker;  // of Kind
    int64_t memory_bytes = 0;
  };
  struct Client {
    std::string action;
    OperationName operation;
    Instant asked{};
    std::vector<Start> starts;  // of its operation, since it asked
    std::optional<Instant> answered;
    Status status;
    bool unknown = false;
    bool left = false;
  };
  ClientId Enqueue(const Ask& ask);
  ClientId Attach(ClientId lost);  // WaitExecution for its operation
  void Leave(ClientId client);
  void Step(const Event& event);
  // The server is started anew: links break, workers come back with what they run.
  void Restart();
  void At(Instant when, std::function<void()> what);
  // Lets time pass; stops at once after a failure of the test.
  void RunFor(Duration time);

  Instant now() const { return now_; }
  Random& random() { return random_; }
  Duration Between(Duration low, Duration high);
  const Client& client(ClientId id) const { return clients_.at(id); }
  const std::map<ClientId, Client>& clients() const { return clients_; }
  SchedulerStats Stats() const { return scheduler_->Stats(now_); }
  std::optional<OperationView> Find(const OperationName& name) const {
    return scheduler_->Find(name);
  }
  // The first letters of the actions that execute as far as the scheduler knows.
  std::string Executing() const;
  int crashes() const { return crashes_; }
  // Operations of which an attempt was told to stop.
  const std::set<OperationName>& cancelled() const { return cancelled_; }
  // In order of time.
  const std::vector<Attempt>& started() const { return started_; }

 private:
  struct Worker {
    Kind kind;
    std::map<AttemptId, std::shared_ptr<const ActionRequest>> running;
    bool linked = false;
  };
  void Join(const WorkerId& id);
  void Crash(const WorkerId& id);
  void PlanCrash(const WorkerId& id, Duration every);
  void OnAssign(const Assign& assign);
  void End(const WorkerId& worker, const Assign& assign, Run::End end);
  // Again and again until the worker has its link.
  void Report(const WorkerId& worker, WorkerReported report);

  const SchedulerOptions options_;
  Random random_;
  std::unique_ptr<Scheduler> scheduler_;
  Instant now_{std::chrono::hours(1)};
  struct Later {
    Instant due;
    uint64_t sequence;
    std::function<void()> what;
    bool operator>(const Later& other) const {
      return std::tie(due, sequence) > std::tie(other.due, other.sequence);
    }
  };
  std::priority_queue<Later, std::vector<Later>, std::greater<>> later_;
  uint64_t next_sequence_ = 0, next_worker_ = 1;
  ClientId next_client_ = 1;
  std::map<ClientId, Client> clients_;
  std::map<WorkerId, Worker> workers_;
  std::set<OperationName> cancelled_;
  std::vector<Attempt> started_;
  int crashes_ = 0;
};

}  // namespace lre::scheduler
