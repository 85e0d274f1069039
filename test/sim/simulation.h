// Simulation: a farm in simulated time around a Scheduler. Clients come, leave and come back;
// workers crash, hang, drain and lose their links, with messages under way; results fail to be
// published; the server is restarted and knows only what workers tell it. Everything is drawn from
// one seed, so a run can be replayed.
//
// What is asserted on the way and at the end:
//   - every client that stays gets exactly one answer, and the right one;
//   - no operation runs on two workers that the scheduler should both believe in;
//   - no worker gets more attempts than it has slots;
//   - when the load ends, every operation ends, and nothing is left in memory but what is retained.
// Confined to one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/scheduler.h"

namespace lre::scheduler {

struct SimulationOptions {
  Duration load = std::chrono::hours(2);  // simulated; then the farm settles
  int workers = 6;
};

class Simulation {
 public:
  Simulation(uint64_t seed, SimulationOptions options);
  // Runs to the end. What went wrong is a gtest failure that names the seed.
  void Run();
  std::string Summary() const;

 private:
  struct Attempt {
    bool finished = false;   // the report is not acknowledged yet
    bool cancelled = false;  // stopping
    std::shared_ptr<const ActionRequest> request;
    int64_t memory_bytes = 0;
  };
  struct Worker {
    WorkerId id;
    int slots = 1;
    Properties properties;
    uint64_t link = 0;  // 0: not connected
    bool up = true;
    bool draining = false;
    std::map<AttemptId, Attempt> attempts;
    std::map<AttemptId, WorkerReported> unacknowledged;
  };
  struct Client {
    OperationName operation;
    std::string action;
    std::shared_ptr<const ActionRequest> request;
    bool left = false;
    int answers = 0;
  };

  SchedulerOptions DrawOptions();
  size_t OneOrTwoOr(size_t usual);
  Duration Between(Duration low, Duration high);
  void After(Duration delay, std::function<void()> what);
  void Step(const Event& event);
  void Handle(const Effect& effect);

  // Clients.
  void ClientArrives();
  void ClientLeaves(ClientId client);
  void OnAnswer(ClientId client, const OperationName& name, const Status& status,
                const std::shared_ptr<const void>& answer);

  // Workers.
  void StartWorker();
  void Connect(const WorkerId& id);
  void Break(const WorkerId& id);
  void Crash(const WorkerId& id);
  void Heartbeat(const WorkerId& id, uint64_t link);
  void Trouble();  // something happens to some worker, again and again
  void Tell(const WorkerId& id, Event event);
  void Deliver(const WorkerId& id, uint64_t link, std::function<void(Worker&)> what);
  void OnAssign(Worker& worker, const Assign& assign);
  void CheckRoom(const Worker& worker);
  void CheckServes(const Worker& worker, const ActionRequest& request);
  void OnCancel(Worker& worker, const AttemptId& attempt);
  void Finish(const WorkerId& id, const Assign& assign);
  void OnPublish(const Publish& publish);
  // The server stops and comes back at once, or after a while.
  void Restart();
  void Ask(ClientId client);
  void OnUnknown(ClientId client, const OperationName& name);
  void CheckSettled();

  const uint64_t seed_;
  const SimulationOptions options_;
  Random random_;
  const SchedulerOptions scheduler_options_;
  std::unique_ptr<Scheduler> scheduler_;
  Instant now_;
  bool loading_ = true;

  struct Later {
    Instant due;
    uint64_t sequence;
    std::function<void()> what;
    bool operator>(const Later& other) const {
      return due != other.due ? due > other.due : sequence > other.sequence;
    }
  };
  std::priority_queue<Later, std::vector<Later>, std::greater<>> later_;
  uint64_t next_sequence_ = 0, next_link_ = 1, next_worker_ = 1, next_operation_ = 1;
  ClientId next_client_ = 1;
  std::map<ClientId, Client> clients_;
  std::map<WorkerId, Worker> workers_;
  std::map<WorkerId, uint64_t> server_links_;  // the link the scheduler believes in
  std::map<uint64_t, Instant> last_delivery_;  // per link, both ways: messages keep their order
  std::map<OperationName, std::pair<WorkerId, int64_t>> believed_;  // who runs what, as assigned
  uint64_t generation_ = 0;  // how often the server was started again
  uint64_t recovered_ = 0;   // attempts taken over, before the last start
  size_t steps_ = 0, answers_ = 0, assigns_ = 0, breaks_ = 0, crashes_ = 0;
};

}  // namespace lre::scheduler
