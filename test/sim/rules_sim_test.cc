// One rule at a time, in simulated time, with workers that crash, hang, fail and come back. The
// numbers that are checked are the named bounds of SchedulerOptions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "rule_farm.h"

namespace lre::scheduler {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using End = RuleFarm::Run::End;

constexpr int kSeeds = 20;

// Nobody says heartbeats here.
SchedulerOptions Usual() {
  SchedulerOptions options;
  options.worker_silence_max = hours(1000);
  return options;
}

// Seeds that are run one after the other until one fails; the failure names it.
template <typename Rule>
void ForSeeds(Rule rule) {
  for (uint64_t seed = 1; seed <= kSeeds && !testing::Test::HasFailure(); seed++) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    rule(seed);
  }
}

TEST(RuleSimulation, WhatNobodyOffersFailsWhenItsGraceEndsNamingTheNearestWorkerAndTheProperty) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.worker_grace = seconds(10);
    RuleFarm farm(seed, options);
    const Properties small = {{"OSFamily", "linux"}, {"Pool", "small"}};
    farm.AddWorker({.name = "steady", .properties = small});
    farm.AddWorker({.name = "shaky", .properties = small, .crash_every = seconds(20)});
    farm.AddWorker(
        {.name = "far", .properties = {{"OSFamily", "macos"}}, .crash_every = minutes(1)});
    for (int i = 0; i < 50; i++) {
      farm.Enqueue({.action = "served" + std::to_string(i), .properties = small});
      farm.Enqueue({.action = "windows" + std::to_string(i),
                    .properties = {{"OSFamily", "windows"}, {"Pool", "small"}}});
      farm.RunFor(farm.Between(seconds(0), seconds(8)));
    }
    farm.RunFor(minutes(2));

    for (const auto& [_, client] : farm.clients()) {
      ASSERT_TRUE(client.answered) << client.action;
      if (client.action.starts_with("served")) {
        EXPECT_TRUE(client.status.ok()) << client.status.ToString();
        continue;
      }
      EXPECT_EQ(*client.answered - client.asked, options.worker_grace) << client.action;
      EXPECT_EQ(client.status.code(), Code::kFailedPrecondition);
      EXPECT_THAT(client.status.message(),
                  HasSubstr("no worker offers OSFamily=\"windows\" (worker \"s"));
      EXPECT_THAT(client.status.message(), HasSubstr("the nearest, has \"linux\")"));
    }
  });
}

TEST(RuleSimulation, WorkersOfAnExpectedPoolAreWaitedForAndNoLongerThanItsGrace) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.pool_grace = minutes(5);
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "other", .properties = {{"Pool", "other"}}, .crash_every = minutes(1)});
    std::map<ClientId, Duration> comes_after;
    for (int i = 0; i < 20; i++) {
      const std::string pool = "pool" + std::to_string(i);
      farm.Step(PoolDeclared{pool, {{"Pool", pool}}});
      const ClientId client = farm.Enqueue({.action = pool, .properties = {{"Pool", pool}}});
      const Duration after = farm.Between(minutes(1), minutes(9));
      comes_after[client] = after;
      farm.At(farm.now() + after, [&farm, pool] {
        farm.AddWorker({.name = pool, .properties = {{"Pool", pool}}, .crash_every = seconds(20)});
      });
      farm.RunFor(farm.Between(seconds(0), minutes(1)));
    }
    farm.RunFor(minutes(20));

    for (const auto& [id, client] : farm.clients()) {
      ASSERT_TRUE(client.answered) << client.action;
      if (comes_after[id] < options.pool_grace) {
        EXPECT_TRUE(client.status.ok()) << client.status.ToString();
      } else if (comes_after[id] > options.pool_grace) {
        EXPECT_EQ(*client.answered - client.asked, options.pool_grace);
        EXPECT_EQ(client.status.code(), Code::kFailedPrecondition);
        EXPECT_THAT(client.status.message(), HasSubstr("pool \"" + client.action + "\""));
      }
    }
  });
}

TEST(RuleSimulation, TurnsFollowTheWeightsOfTenantsThenOfUsersThoughWorkersCrash) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 1000;
    options.tenant_weights = {{1, 3}};
    options.user_weights = {{"ci", 2}};
    RuleFarm farm(seed, options);
    for (int i = 0; i < 3; i++) {
      farm.AddWorker({.name = "w", .slots = 4, .crash_every = minutes(2)});
    }
    for (int i = 0; i < 800; i++) {
      const std::string n = std::to_string(i);
      farm.Enqueue({.action = "1" + n, .partition = 1, .user = "ci", .invocation = "a"});
      farm.Enqueue({.action = "2" + n, .partition = 1, .user = "me", .invocation = "b"});
      farm.Enqueue({.action = "3" + n, .partition = 2, .user = "ci", .invocation = "c"});
    }
    std::map<char, double> slots;
    for (int i = 0; i < 100; i++) {
      farm.RunFor(seconds(1));
      for (const char whose : farm.Executing()) slots[whose]++;
    }

    ASSERT_GT(slots['3'], 100);
    EXPECT_NEAR((slots['1'] + slots['2']) / slots['3'], 3, 0.2);
    EXPECT_NEAR(slots['1'] / slots['2'], 2, 0.2);
  });
}

TEST(RuleSimulation, SlotsAreSharedEvenlyHoweverLongTheActionsOfEachTakeThoughWorkersCrash) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 1000;
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "steady", .slots = 8});
    farm.AddWorker({.name = "shaky", .slots = 4, .crash_every = minutes(3)});
    farm.run = [&](const RuleFarm::Attempt& attempt) -> RuleFarm::Run {
      const bool is_long = attempt.action.starts_with("long");
      return {.time = is_long ? farm.Between(seconds(50), seconds(70))
                              : farm.Between(milliseconds(500), milliseconds(1500))};
    };
    for (int i = 0; i < 400; i++) {
      farm.Enqueue({.action = "long" + std::to_string(i), .invocation = "tests"});
    }
    for (int i = 0; i < 3000; i++) {
      farm.Enqueue({.action = "short" + std::to_string(i), .invocation = "compile"});
    }
    constexpr int kLooks = 240;
    double slots = 0;
    farm.RunFor(minutes(1));
    for (int i = 0; i < kLooks; i++) {
      farm.RunFor(seconds(1));
      const std::string executing = farm.Executing();
      slots += static_cast<double>(std::count(executing.begin(), executing.end(), 'l'));
    }

    ASSERT_GT(farm.Stats().queued, 0u);
    // Six of twelve slots; what was lost in a crash starts again at once.
    EXPECT_NEAR(slots / kLooks, 6, 0.6);
  });
}

TEST(RuleSimulation, ASmallBuildWaitsNoMoreThanAFewActionTimesBesideAHugeOneThoughWorkersCrash) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 1000;
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "steady", .slots = 2});
    farm.AddWorker({.name = "shaky", .slots = 2, .crash_every = seconds(30)});
    farm.run = [&](const auto&) {
      return RuleFarm::Run{.time = farm.Between(milliseconds(500), milliseconds(1500))};
    };
    for (int i = 0; i < 2000; i++) {
      farm.Enqueue({.action = "huge" + std::to_string(i), .user = "a", .invocation = "huge"});
    }
    std::vector<ClientId> small;
    for (int i = 0; i < 50; i++) {
      farm.RunFor(seconds(3));
      const std::string n = std::to_string(i);
      small.push_back(farm.Enqueue({.action = "small" + n, .user = "b", .invocation = n}));
    }
    farm.RunFor(seconds(20));

    for (const ClientId id : small) {
      const auto& client = farm.client(id);
      ASSERT_FALSE(client.starts.empty()) << client.action;
      EXPECT_LE(client.starts[0].at - client.asked, seconds(3)) << client.action;
    }
  });
}

TEST(RuleSimulation, WaitingOutweighsPriorityAfterItsStepsThoughWorkersCrash) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 1000;
    options.ageing_step = seconds(30);
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "w", .slots = 2, .crash_every = minutes(2), .back_after = seconds(2)});
    for (int i = 0; i < 20; i++) farm.Enqueue({.action = "first" + std::to_string(i)});
    const ClientId low = farm.Enqueue({.action = "low", .priority = 4});
    // More urgent work than there is room for, for ten minutes.
    for (int i = 0; i < 1200; i++) {
      farm.Enqueue({.action = "urgent" + std::to_string(i)});
      farm.RunFor(milliseconds(500));
    }

    ASSERT_FALSE(farm.client(low).starts.empty());
    const Duration waited = farm.client(low).starts[0].at - farm.client(low).asked;
    EXPECT_GE(waited, 4 * options.ageing_step);
    // What came before its steps were over runs first, as fast as it goes.
    EXPECT_LE(waited, 8 * options.ageing_step);
  });
}

TEST(RuleSimulation, AnActionIsStoppedWhenAllItsClientsAreGoneForTheGraceAndNotBefore) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.client_grace = seconds(60);
    options.attempts_max = 1000;
    options.timeout_default = minutes(100);
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "steady", .slots = 10});
    farm.AddWorker({.name = "shaky", .slots = 10, .crash_every = minutes(2)});
    farm.run = [](const auto&) { return RuleFarm::Run{.time = minutes(60)}; };
    for (int i = 0; i < 40; i++) {  // some of them queued
      const std::string action = std::to_string(i);
      const ClientId first = farm.Enqueue({.action = action});
      const ClientId second = farm.Enqueue({.action = action});
      const OperationName name = farm.client(first).operation;
      const Duration one = farm.Between(seconds(0), minutes(2));
      const Duration other = farm.Between(seconds(0), minutes(2));
      farm.At(farm.now() + one, [&farm, first] { farm.Leave(first); });
      farm.At(farm.now() + other, [&farm, second] { farm.Leave(second); });
      const Instant gone = farm.now() + std::max(one, other);
      const bool returns = farm.random().OneIn(2);
      if (returns) {
        farm.At(gone + farm.Between(seconds(1), seconds(59)),
                [&farm, second] { farm.Attach(second); });
      }
      farm.At(gone + options.client_grace - milliseconds(1),
              [&farm, name] { EXPECT_NE(farm.Find(name)->stage, Stage::kCompleted) << name; });
      farm.At(gone + options.client_grace + milliseconds(1), [&farm, name, returns] {
        const OperationView view = *farm.Find(name);
        EXPECT_EQ(view.stage == Stage::kCompleted, !returns) << name;
        EXPECT_EQ(view.status.code(), returns ? Code::kOk : Code::kCancelled);
      });
      farm.RunFor(farm.Between(seconds(0), seconds(3)));
    }
    farm.RunFor(minutes(5));

    EXPECT_FALSE(farm.cancelled().empty());
    for (const OperationName& name : farm.cancelled()) {
      EXPECT_EQ(farm.Find(name)->stage, Stage::kCompleted) << name;
    }
  });
}

TEST(RuleSimulation, LocalityLeavesNoSlotFreeWhileThereIsWorkAndPassesNothingOverForLong) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 1000;
    RuleFarm farm(seed, options);
    for (int i = 0; i < 4; i++) farm.AddWorker({.name = "steady" + std::to_string(i), .slots = 2});
    farm.AddWorker({.name = "shaky", .slots = 2, .crash_every = minutes(1)});
    farm.run = [&](const auto&) {
      return RuleFarm::Run{.time = farm.Between(milliseconds(100), milliseconds(2000))};
    };
    std::vector<ClientId> asked;
    for (int i = 0; i < 600; i++) {
      // Half of them want the same worker, the others one of five.
      const uint64_t warm = farm.random().OneIn(2) ? 1 : 2 + farm.random().Below(5);
      asked.push_back(farm.Enqueue({.action = std::to_string(i), .affinities = {warm}}));
    }
    std::map<std::string, int> busy;
    while (farm.Stats().queued > 0 && !testing::Test::HasFailure()) {
      farm.RunFor(milliseconds(100));
      const SchedulerStats stats = farm.Stats();
      EXPECT_TRUE(stats.slots_busy == stats.slots || stats.queued == 0);
    }
    for (const auto& attempt : farm.started()) busy[attempt.worker]++;
    for (int i = 0; i < 4; i++) EXPECT_GT(busy["steady" + std::to_string(i)], 60);
    // Nothing beyond the first locality_lookahead ever overtakes, and each of these lets itself be
    // passed over so often.
    const auto bound =
        static_cast<size_t>(options.locality_lookahead * (options.locality_lookahead + 1));
    std::vector<std::string> order;
    for (const auto& attempt : farm.started()) {
      if (std::find(order.begin(), order.end(), attempt.action) == order.end()) {
        order.push_back(attempt.action);
      }
    }
    for (size_t place = 0; place < order.size(); place++) {
      EXPECT_LE(place, std::stoul(order[place]) + bound) << "action " << order[place];
    }
  });
}

TEST(RuleSimulation, WhatNobodyHasTheInputsOfIsPassedOverAsOftenAsTheBoundSays) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.locality_lookahead = 1 + static_cast<int>(seed % 8);
    options.attempts_max = 1000;
    RuleFarm farm(seed, options);
    farm.AddWorker({.name = "w", .crash_every = minutes(5), .back_after = seconds(1)});
    for (int i = 0; i < 20; i++) {
      farm.Enqueue({.action = "warm" + std::to_string(i), .affinities = {1}});
    }
    const ClientId cold = farm.Enqueue({.action = "cold", .affinities = {2}});
    for (int i = 20; i < 200; i++) {
      farm.Enqueue({.action = "warm" + std::to_string(i), .affinities = {1}});
    }
    farm.RunFor(minutes(5));

    ASSERT_FALSE(farm.client(cold).starts.empty());
    std::set<std::string> before;
    for (const auto& attempt : farm.started()) {
      if (attempt.action == "cold") break;
      before.insert(attempt.action);
    }
    EXPECT_LE(before.size(), 20u + static_cast<size_t>(options.locality_lookahead));
    EXPECT_TRUE(farm.crashes() > 0 || before.size() > 20) << "it was never passed over";
  });
}

TEST(RuleSimulation, WorkersThatFailOrHangCostTheirActionsTimeAndNothingElse) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.timeout_default = seconds(10);
    options.staging_max = seconds(5);
    options.timeout_slack = seconds(5);
    options.attempts_max = 3;
    RuleFarm farm(seed, options);
    for (int i = 0; i < 3; i++) {
      farm.AddWorker({.name = "good" + std::to_string(i), .slots = 2});
    }
    farm.AddWorker({.name = "broken", .slots = 2});
    farm.AddWorker({.name = "hung", .slots = 2});
    farm.run = [&](const RuleFarm::Attempt& attempt) -> RuleFarm::Run {
      if (attempt.worker == "broken") return {End::kWorkersFault, milliseconds(10)};
      if (attempt.worker == "hung") return {End::kHangs, {}};
      return {End::kDone, farm.Between(milliseconds(500), milliseconds(1500))};
    };
    for (int i = 0; i < 1500; i++) {
      farm.Enqueue({.action = std::to_string(i)});
      farm.RunFor(milliseconds(200));
    }
    farm.RunFor(minutes(5));

    std::map<std::string, int> starts;
    for (const auto& attempt : farm.started()) starts[attempt.worker]++;
    for (const auto& [_, client] : farm.clients()) {
      ASSERT_TRUE(client.answered) << client.action;
      EXPECT_TRUE(client.status.ok()) << client.status.ToString();
      EXPECT_LE(client.starts.size(), 3u);
    }
    // Ten minutes: it rests for 1, 2, 4 ... 60 s, with two slots each time.
    EXPECT_LE(starts["broken"], 2 * (6 + 10));
    EXPECT_LE(starts["hung"], 2 * (6 + 10));
    EXPECT_GE(starts["broken"], 5) << "it gets its chance again";
  });
}

TEST(RuleSimulation, AnActionThatKillsItsWorkersIsKeptInQuarantineAndOthersLive) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 3;
    options.quarantine = minutes(5);
    RuleFarm farm(seed, options);
    for (int i = 0; i < 4; i++) {
      farm.AddWorker({.name = "w", .slots = 4, .back_after = seconds(20)});
    }
    farm.run = [&](const RuleFarm::Attempt& attempt) -> RuleFarm::Run {
      if (attempt.action == "poison") return {End::kKillsWorker, milliseconds(100)};
      return {End::kDone, farm.Between(milliseconds(500), seconds(3))};
    };
    int refused = 0;
    for (int i = 0; i < 600; i++) {  // half an hour
      farm.Enqueue({.action = "innocent" + std::to_string(i)});
      if (i % 3 == 0) farm.Enqueue({.action = "poison"});
      farm.RunFor(seconds(3));
    }
    farm.RunFor(minutes(5));

    for (const auto& [_, client] : farm.clients()) {
      ASSERT_TRUE(client.answered) << client.action;
      if (client.action != "poison") {
        EXPECT_TRUE(client.status.ok()) << client.status.ToString();
        continue;
      }
      EXPECT_FALSE(client.status.ok());
      refused += client.status.message().find("quarantine") != std::string::npos;
    }
    EXPECT_LE(farm.crashes(), 3 * (35 / 5 + 1));
    EXPECT_GE(farm.crashes(), 3 * 5) << "after the quarantine it is tried again";
    EXPECT_GT(refused, 100);
  });
}

TEST(RuleSimulation, WhatRunsOutOfMemoryRunsExactlyOnceMoreWithMore) {
  ForSeeds([](uint64_t seed) {
    SchedulerOptions options = Usual();
    options.attempts_max = 5;
    RuleFarm farm(seed, options);
    const Properties offered = {{"memory", "8GiB"}};
    farm.AddWorker({.name = "steady", .slots = 4, .properties = offered});
    farm.AddWorker(
        {.name = "shaky", .slots = 4, .properties = offered, .crash_every = seconds(30)});
    constexpr int64_t kGiB = int64_t{1} << 30;
    std::map<std::string, int> killed;
    farm.run = [&](const RuleFarm::Attempt& attempt) -> RuleFarm::Run {
      const bool enough = attempt.memory_bytes >= kGiB && !attempt.action.starts_with("always");
      return {enough ? End::kDone : End::kOutOfMemory, milliseconds(200)};
    };
    for (int i = 0; i < 100; i++) {
      const std::string name = (i % 4 == 0 ? "always" : "once") + std::to_string(i);
      farm.Enqueue({.action = name, .kind = static_cast<uint64_t>(1000 + i)});
      farm.RunFor(seconds(1));
    }
    farm.RunFor(minutes(2));

    for (const auto& [_, client] : farm.clients()) {
      ASSERT_TRUE(client.answered) << client.action;
      const bool always = client.action.starts_with("always");
      EXPECT_EQ(client.status.code(), always ? Code::kResourceExhausted : Code::kOk)
          << client.status.ToString();
      // Those before the first kill have nothing set aside, those after it a gibibyte or more;
      // attempts beyond two are those whose worker crashed.
      EXPECT_EQ(client.starts.front().memory_bytes, 0);
      EXPECT_GE(client.starts.back().memory_bytes, kGiB);
    }
    EXPECT_EQ(farm.Stats().out_of_memory, 25u * 2 + 75u);
  });
}

TEST(RuleSimulation, AClientFindsItsOperationAgainAfterTheServerWasRestarted) {
  ForSeeds([](uint64_t seed) {
    RuleFarm farm(seed, Usual());
    for (int i = 0; i < 4; i++) farm.AddWorker({.name = "w", .slots = 5});
    farm.run = [&](const auto&) {
      return RuleFarm::Run{.time = farm.Between(seconds(10), seconds(60))};
    };
    std::vector<ClientId> before;
    for (int i = 0; i < 20; i++) before.push_back(farm.Enqueue({.action = std::to_string(i)}));
    const ClientId queued = farm.Enqueue({.action = "queued"});
    farm.RunFor(seconds(5));
    farm.Restart();
    std::vector<ClientId> after;
    for (const ClientId id : before) {
      farm.At(farm.now() + farm.Between(seconds(0), seconds(5)),
              [&, id] { after.push_back(farm.Attach(id)); });
    }
    ClientId lost = 0;
    farm.At(farm.now() + seconds(1), [&] { lost = farm.Attach(queued); });
    farm.RunFor(minutes(2));

    ASSERT_EQ(after.size(), before.size());
    for (const ClientId id : after) {
      ASSERT_TRUE(farm.client(id).answered);
      EXPECT_TRUE(farm.client(id).status.ok() && !farm.client(id).unknown);
    }
    EXPECT_TRUE(farm.client(lost).unknown) << "no worker has it: its client asks for it anew";
    EXPECT_LE(*farm.client(lost).answered - farm.client(lost).asked, Usual().adoption_grace);
    EXPECT_EQ(farm.started().size(), before.size()) << "nothing ran twice";
    EXPECT_EQ(farm.Stats().recovered, before.size());
  });
}

}  // namespace
}  // namespace lre::scheduler
