// How long a build of one action waits beside huge ones, in simulated time; prints what it
// measures.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/scheduler.h"

namespace lre::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kActionTime = seconds(2);  // of every action, on average

// A farm in which every action takes about kActionTime, and a record of who waited how long.
class Farm {
 public:
  explicit Farm(uint64_t seed)
      : scheduler_(SchedulerOptions{.worker_silence_max = minutes(10000)}), random_(seed) {}

  void Join(int workers, int slots) {
    for (int i = 0; i < workers; i++) {
      Step(WorkerJoined{"worker" + std::to_string(i), "w", {{"OSFamily", "linux"}}, slots, {}});
    }
  }
  struct Ask {
    uint32_t tenant = 0;
    std::string user, invocation;
    int32_t priority = 0;
  };
  ClientId Enqueue(const Ask& ask) {
    const ClientId id = next_++;
    scheduler::Enqueue event;
    event.client = id;
    event.name = "op" + std::to_string(id);
    ActionRequest request;
    request.action = ComputeDigest(DigestFunction::kSha256, event.name);
    request.properties = {{"OSFamily", "linux"}};
    request.partition = ask.tenant;
    request.user = ask.user;
    request.invocation = ask.invocation;
    request.priority = ask.priority;
    request.affinities = {random_.Below(50)};
    event.request = std::make_shared<const ActionRequest>(std::move(request));
    asked_[event.name] = now_;
    Step(event);
    return id;
  }
  // Lets actions end until `until`.
  void RunTo(Instant until) {
    while (!running_.empty() && running_.top().end <= until) {
      const Running ended = running_.top();
      running_.pop();
      now_ = std::max(now_, ended.end);
      Step(WorkerReported{ended.worker, ended.attempt, Status(), false, nullptr});
      Step(Published{ended.attempt, Status(), false, nullptr});
    }
    now_ = until;
  }
  Instant now() const { return now_; }
  // Nullopt while it waits.
  std::optional<Duration> WaitOf(ClientId id) const {
    const auto found = waited_.find("op" + std::to_string(id));
    if (found == waited_.end()) return std::nullopt;
    return found->second;
  }

 private:
  struct Running {
    Instant end;
    WorkerId worker;
    AttemptId attempt;
    bool operator>(const Running& other) const {
      return std::tie(end, attempt) > std::tie(other.end, other.attempt);
    }
  };
  void Step(const Event& event) {
    for (const Effect& effect : scheduler_.Step(now_, event)) {
      const auto* assign = std::get_if<Assign>(&effect);
      if (assign == nullptr) continue;
      const OperationName& name = assign->attempt.operation;
      waited_[name] = now_ - asked_[name];
      const Duration time =
          kActionTime / 2 + Duration(random_.Below(static_cast<uint64_t>(kActionTime.count())));
      running_.push({now_ + time, assign->worker, assign->attempt});
    }
  }

  Scheduler scheduler_;
  Random random_;
  Instant now_{std::chrono::hours(1)};
  ClientId next_ = 1;
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running_;
  std::map<OperationName, Instant> asked_;
  std::map<OperationName, Duration> waited_;
};

double InActionTimes(Duration duration) {
  return std::chrono::duration<double>(duration) / std::chrono::duration<double>(kActionTime);
}

std::string Figures(std::vector<Duration> waits) {
  std::sort(waits.begin(), waits.end());
  return fmt::format("p50 {:.2f}, p99 {:.2f}, most {:.2f} action times",
                     InActionTimes(waits[waits.size() / 2]),
                     InActionTimes(waits[waits.size() * 99 / 100]), InActionTimes(waits.back()));
}

// `small(i)`: who asks for the i-th build of one action.
std::vector<Duration> Measure(Farm& farm, std::function<Farm::Ask(int)> small) {
  std::vector<ClientId> asked;
  for (int i = 0; i < 200; i++) {
    farm.RunTo(farm.now() + milliseconds(7300));
    asked.push_back(farm.Enqueue(small(i)));
  }
  farm.RunTo(farm.now() + 20 * kActionTime);
  std::vector<Duration> waits;
  for (ClientId id : asked) {
    EXPECT_TRUE(farm.WaitOf(id)) << "still waits";
    waits.push_back(farm.WaitOf(id).value_or(std::chrono::hours(1)));
  }
  return waits;
}

TEST(FairnessSimulation, ABuildOfOneActionWaitsNoMoreThanAFewActionTimes) {
  for (const auto& [workers, slots] : std::vector<std::pair<int, int>>{{1, 1}, {1, 4}, {8, 4}}) {
    Farm farm(1);
    farm.Join(workers, slots);
    for (int i = 0; i < 20000; i++) farm.Enqueue({.user = "a", .invocation = "huge"});
    const std::vector<Duration> waits = Measure(farm, [](int i) {
      return Farm::Ask{.user = "b", .invocation = "small" + std::to_string(i)};
    });
    std::cout << "20,000 actions queued, " << workers * slots
              << " slots, a build of one action: " << Figures(waits) << std::endl;
    EXPECT_LE(InActionTimes(*std::max_element(waits.begin(), waits.end())), 3);
  }
}

TEST(FairnessSimulation, OfTheSameUserAndOfAnotherTenantAlike) {
  for (const bool same_user : {true, false}) {
    Farm farm(2);
    farm.Join(4, 4);
    for (int i = 0; i < 20000; i++) {
      farm.Enqueue({.user = "a", .invocation = "huge" + std::to_string(i % 5)});
    }
    const std::vector<Duration> waits = Measure(farm, [&](int i) {
      return Farm::Ask{
          .tenant = same_user ? 0u : 1u, .user = "a", .invocation = "small" + std::to_string(i)};
    });
    std::cout << "five huge builds, 16 slots, one action of "
              << (same_user ? "the same user" : "another tenant") << ": " << Figures(waits)
              << std::endl;
    EXPECT_LE(InActionTimes(*std::max_element(waits.begin(), waits.end())), 3);
  }
}

TEST(FairnessSimulation, WhatIsOfLowPriorityRunsWhenItHasWaitedLongEnough) {
  Farm farm(3);
  farm.Join(1, 2);
  for (int i = 0; i < 10; i++) farm.Enqueue({.invocation = "one"});
  const ClientId low = farm.Enqueue({.invocation = "one", .priority = 10});
  const ClientId lower = farm.Enqueue({.invocation = "one", .priority = 20});
  // More urgent work than there is room for, for 20 minutes.
  for (int i = 0; i < 2000; i++) {
    farm.Enqueue({.invocation = "one", .priority = 0});
    farm.RunTo(farm.now() + milliseconds(600));
  }
  EXPECT_TRUE(farm.WaitOf(low));
  EXPECT_TRUE(farm.WaitOf(lower));
  // ageing_step is 30 s: ten steps outweigh ten priorities, and then those before it run first.
  std::cout << "ten priorities lower: started after "
            << std::chrono::duration_cast<seconds>(farm.WaitOf(low).value_or(Duration(0))).count()
            << " s" << std::endl;
}

}  // namespace
}  // namespace lre::scheduler
