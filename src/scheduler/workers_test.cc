// The rules about workers: matching, loss, reconnection, retry, draining, silence, deadlines.
#include "scheduler/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "scheduler/fake_farm.h"

namespace lre::scheduler {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Properties kLinux = {{"OSFamily", "linux"}};

TEST(Workers, GivesAnActionOnlyToAWorkerThatOffersEveryProperty) {
  FakeFarm farm;
  farm.Join("plain", 1, kLinux);
  farm.Join("gpu", 1, {{"OSFamily", "linux"}, {"gpu", "a"}, {"gpu", "b"}});

  farm.Run("a", {.properties = {{"OSFamily", "Linux"}, {"gpu", "b"}}});

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "gpu");
}

TEST(Workers, KeepsSpecialWorkersForThoseWhoNeedThem) {
  FakeFarm farm;
  farm.Join("gpu", 1, {{"OSFamily", "linux"}, {"gpu", "a"}});
  farm.Join("plain", 1, kLinux);

  farm.Run("a", {.properties = kLinux});

  EXPECT_EQ(farm.Only<Assign>()->worker, "plain");
}

TEST(Workers, SpreadsActionsOverTheLeastLoaded) {
  FakeFarm farm;
  farm.Join("w1", 4);
  farm.Join("w2", 4);

  farm.Run("a");
  const WorkerId first = farm.Only<Assign>()->worker;
  farm.Run("b");

  EXPECT_NE(farm.Only<Assign>()->worker, first);
}

TEST(Workers, SpreadsActionsOverWorkersThatAllDiffer) {
  // As many as are not looked at one by one, and a few.
  for (const int workers : {30, 3}) {
    FakeFarm farm;
    for (int i = 0; i < workers; i++) {
      farm.Join("w" + std::to_string(i), 4, {{"host", std::to_string(i)}});
    }
    std::map<WorkerId, int> loads;
    for (int i = 0; i < 2 * workers; i++) {
      farm.Run("a" + std::to_string(i));
      ASSERT_TRUE(farm.Only<Assign>());
      loads[farm.Only<Assign>()->worker]++;
    }

    EXPECT_EQ(loads.size(), static_cast<size_t>(workers));
    for (const auto& [worker, load] : loads) EXPECT_EQ(load, 2) << worker;
  }
}

TEST(Workers, FindsTheFewWhoServeAmongManyFreeOnesWhoDoNot) {
  FakeFarm farm;
  for (int i = 0; i < 100; i++) {
    const std::string pool = i < 80 ? "a" : "b";
    farm.Join("w" + std::to_string(i), 1, {{"Pool", pool}, {"host", std::to_string(i)}});
  }
  std::set<WorkerId> used;
  for (int i = 0; i < 20; i++) {
    farm.Run("b" + std::to_string(i), {.properties = {{"Pool", "b"}}});
    ASSERT_TRUE(farm.Only<Assign>());
    EXPECT_TRUE(used.insert(farm.Only<Assign>()->worker).second);
  }
  farm.Run("one more", {.properties = {{"Pool", "b"}}});

  EXPECT_FALSE(farm.Only<Assign>());
}

TEST(Workers, IgnoresPropertiesThatTheOperatorNames) {
  FakeFarm farm({.ignored_properties = {"cache-silo"}});
  farm.Join("w1");

  farm.Run("a", {.properties = {{"cache-silo", "x"}}});

  EXPECT_TRUE(farm.Only<Assign>());
}

TEST(Workers, FailsAnActionThatNobodyCanServeAfterTheGraceNamingWhatIsMissing) {
  FakeFarm farm({.worker_grace = seconds(10)});
  farm.Join("w1", 1, {{"OSFamily", "linux"}, {"Pool", "small"}});
  const ClientId client = farm.Run("a", {.properties = {{"OSFamily", "linux"}, {"Pool", "large"}}});

  farm.Advance(seconds(10) - Duration(1));
  EXPECT_THAT(farm.All<Answer>(), IsEmpty());
  farm.Advance(Duration(1));

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(),
              HasSubstr("no worker offers Pool=\"large\" (worker \"w1\", the nearest, has "
                        "\"small\")"));
}

TEST(Workers, RunsAnActionWhenAWorkerComesWithinTheGrace) {
  FakeFarm farm({.worker_grace = seconds(10)});
  farm.Run("a", {.properties = kLinux});
  farm.Advance(seconds(9));

  farm.Join("w1", 1, kLinux);

  EXPECT_TRUE(farm.Only<Assign>());
  farm.Advance(seconds(5));
  EXPECT_THAT(farm.All<Answer>(), IsEmpty());
}

TEST(Workers, StartsTheGraceAgainWhenTheLastWorkerLeaves) {
  FakeFarm farm({.worker_grace = seconds(10)});
  farm.Join("w1", 1, kLinux);
  farm.Run("busy", {.properties = kLinux});
  const Assign busy = *farm.Only<Assign>();
  const ClientId client = farm.Run("a", {.properties = kLinux});
  farm.Advance(seconds(20));
  farm.Step(WorkerDraining{"w1"});

  farm.Advance(seconds(9));
  EXPECT_FALSE(farm.AnswerTo(client));
  farm.Advance(seconds(1));

  EXPECT_TRUE(farm.AnswerTo(client));
  EXPECT_THAT(farm.All<Answer>(), SizeIs(1)) << "what runs goes on";
}

TEST(Workers, WaitsLongerForAWorkerThatADeclaredPoolPromises) {
  FakeFarm farm({.worker_grace = seconds(10), .pool_grace = minutes(10)});
  farm.Step(PoolDeclared{"large", {{"Pool", "large"}}});
  const ClientId client = farm.Run("a", {.properties = {{"Pool", "large"}}});

  farm.Advance(minutes(10) - Duration(1));
  EXPECT_FALSE(farm.AnswerTo(client));
  farm.Advance(Duration(1));

  EXPECT_TRUE(farm.AnswerTo(client));
}

TEST(Workers, FailsAtOnceWhenNoPoolCanEverServe) {
  FakeFarm farm;
  const ClientId early = farm.Run("a", {.properties = {{"Pool", "large"}}});
  farm.Step(PoolDeclared{"small", {{"Pool", "small"}}});
  farm.Step(PoolsClosed{});
  ASSERT_TRUE(farm.AnswerTo(early));

  const ClientId late = farm.Run("b", {.properties = {{"Pool", "large"}}});

  ASSERT_TRUE(farm.AnswerTo(late));
  EXPECT_EQ(farm.AnswerTo(late)->status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(farm.AnswerTo(late)->status.message(), HasSubstr("pool \"small\""));
  EXPECT_FALSE(farm.AnswerTo(farm.Run("c", {.properties = {{"Pool", "small"}}})));
}

TEST(Workers, RunsAnActionAgainElsewhereWhenItsWorkerIsLost) {
  FakeFarm farm({.reconnect_grace = seconds(5)});
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  farm.Join("w2");
  farm.Step(WorkerLost{"w1"});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "it may come back";

  farm.Advance(seconds(5));

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "w2");
  EXPECT_EQ(farm.Only<Assign>()->attempt.number, 2);
  farm.Finish(*farm.Only<Assign>());
  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Workers, AdoptsARunningAttemptAfterAReconnect) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Step(WorkerLost{"w1"});

  farm.Join("w1", 1, {}, {assign.attempt});
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  farm.Advance(minutes(1) / 4);
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Finish(assign);

  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Workers, AdoptsEvenAfterTheGraceIfTheActionHasNotStartedAgain) {
  FakeFarm farm({.worker_grace = minutes(1), .reconnect_grace = seconds(5)});
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Step(WorkerLost{"w1"});
  farm.Advance(seconds(20));
  EXPECT_EQ(farm.scheduler.Find(assign.attempt.operation)->stage, Stage::kQueued);

  farm.Join("w1", 1, {}, {assign.attempt});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Finish(assign);

  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Workers, StopsWhatAReturningWorkerRunsInVain) {
  FakeFarm farm;

  farm.Join("w1", 1, {}, {{"op-unknown", 3}});

  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_EQ(farm.Only<Cancel>()->attempt, (AttemptId{"op-unknown", 3}));
  farm.Run("a");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "its slot is taken until it has stopped";
  farm.Step(WorkerReported{"w1", {"op-unknown", 3}, Status(Code::kCancelled, "stopped")});
  EXPECT_TRUE(farm.Only<Assign>());
}

TEST(Workers, AssignsAgainWhatGotLostWithTheConnection) {
  FakeFarm farm;
  farm.Join("w1");
  farm.Run("a");

  farm.Join("w1", 1, {}, {});

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->attempt.number, 2);
}

TEST(Workers, DropsAndCountsReportsOfOtherAttempts) {
  FakeFarm farm({.reconnect_grace = seconds(5)});
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  const Assign first = *farm.Only<Assign>();
  farm.Join("w2");
  farm.Step(WorkerLost{"w1"});
  farm.Advance(seconds(5));
  const Assign second = *farm.Only<Assign>();

  farm.Report(first);
  EXPECT_TRUE(farm.Only<Acknowledge>()) << "so that the worker forgets it";
  EXPECT_THAT(farm.All<Publish>(), IsEmpty());
  farm.Step(WorkerReported{"w2", first.attempt, Status()});
  EXPECT_THAT(farm.All<Publish>(), IsEmpty());
  EXPECT_EQ(farm.scheduler.Stats(farm.now).stale_reports, 2u);
  farm.Finish(second);

  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
  farm.Step(Published{first.attempt, Status()});
  EXPECT_THAT(farm.All<Answer>(), IsEmpty());
}

TEST(Workers, FailsAnActionThatLosesEveryWorkerAndKeepsItInQuarantine) {
  FakeFarm farm({.reconnect_grace = seconds(5), .attempts_max = 2, .quarantine = minutes(5)});
  const ClientId client = farm.Run("poison");
  for (const char* worker : {"w1", "w2"}) {
    farm.Join(worker);
    ASSERT_TRUE(farm.Only<Assign>());
    farm.Step(WorkerLost{worker});
    farm.Advance(seconds(5));
  }

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kUnavailable);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(), HasSubstr("2 of 2 attempts"));
  farm.Join("w3");
  const ClientId again = farm.Run("poison");
  ASSERT_TRUE(farm.AnswerTo(again));
  EXPECT_EQ(farm.AnswerTo(again)->status.code(), Code::kFailedPrecondition);
  for (int i = 0; i < 31; i++) {
    farm.Advance(seconds(10));
    farm.Step(WorkerHeard{"w3"});
  }
  farm.Run("poison");
  EXPECT_TRUE(farm.Only<Assign>()) << "quarantine ends";
}

TEST(Workers, BoundsTheQuarantine) {
  FakeFarm farm({.reconnect_grace = seconds(0), .attempts_max = 1, .quarantined_actions_max = 1});
  for (const char* action : {"a", "b"}) {
    farm.Join("w");
    farm.Run(action);
    farm.Step(WorkerLost{"w"});
    farm.Advance(seconds(1));
  }

  EXPECT_FALSE(farm.AnswerTo(farm.Run("a"))) << "the oldest made room";
  EXPECT_TRUE(farm.AnswerTo(farm.Run("b")));
}

TEST(Workers, TriesAgainElsewhereWhenTheFailureWasTheWorkers) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  const Assign first = *farm.Only<Assign>();
  farm.Join("w2");

  farm.Report(first, Status(Code::kInternal, "disk full"), true);

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "w2");
  farm.Finish(*farm.Only<Assign>());
  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Workers, LetsAFailingWorkerRestBeforeItTriesAgain) {
  FakeFarm farm({.attempts_max = 3});
  farm.Join("w1");
  const ClientId client = farm.Run("a");

  farm.Report(*farm.Only<Assign>(), Status(Code::kInternal, "disk full"), true);
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Advance(seconds(1));
  ASSERT_TRUE(farm.Only<Assign>());
  farm.Report(*farm.Only<Assign>(), Status(Code::kInternal, "disk full"), true);
  farm.Advance(seconds(2));
  ASSERT_TRUE(farm.Only<Assign>());
  farm.Report(*farm.Only<Assign>(), Status(Code::kInternal, "disk full"), true);

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kInternal);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(), HasSubstr("disk full"));
}

TEST(Workers, PassesTheActionsOwnFailureOnWithoutTryingAgain) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a");

  farm.Report(*farm.Only<Assign>(), Status(Code::kFailedPrecondition, "inputs missing"));

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kFailedPrecondition);
}

TEST(Workers, RunsAgainWhatCouldNotBePublishedBecauseOfItsWorker) {
  FakeFarm farm;
  farm.Join("w1");
  farm.Run("a");
  const Assign first = *farm.Only<Assign>();
  farm.Report(first);

  farm.Step(Published{first.attempt, Status(Code::kFailedPrecondition, "blob absent"), true});

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->attempt.number, 2);
}

TEST(Workers, GivesNothingNewToADrainingWorkerAndTakesItsResults) {
  FakeFarm farm;
  farm.Join("w1", 2);
  const ClientId client = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();

  farm.Step(WorkerDraining{"w1"});
  farm.Run("b");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Finish(assign);

  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
}

TEST(Workers, GivesUpOnASilentWorkerAndClosesItsLink) {
  FakeFarm farm({.worker_silence_max = seconds(30)});
  farm.Join("w1");
  farm.Run("a");
  farm.Advance(seconds(20));
  farm.Step(WorkerHeard{"w1"});
  farm.Join("w2");

  farm.Advance(seconds(29));
  EXPECT_THAT(farm.All<CloseWorker>(), IsEmpty());
  farm.Step(WorkerHeard{"w2"});
  farm.Advance(seconds(1));

  ASSERT_TRUE(farm.Only<CloseWorker>());
  EXPECT_EQ(farm.Only<CloseWorker>()->worker, "w1");
  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "w2");
}

TEST(Workers, TakesAnAttemptAwayWhenItIsNotReportedInTime) {
  FakeFarm farm(
      {.worker_silence_max = minutes(60), .staging_max = minutes(1), .timeout_slack = seconds(30)});
  farm.Join("w1");
  farm.Run("a", {.timeout = minutes(2)});
  EXPECT_EQ(farm.Only<Assign>()->timeout, minutes(2));
  farm.Join("w2");

  farm.Advance(seconds(209));
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  farm.Advance(seconds(1));

  ASSERT_TRUE(farm.Only<Cancel>());
  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "w2");
}

TEST(Workers, TellsClientsOfProgress) {
  FakeFarm farm;
  farm.Join("w1");
  farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  auto progress = std::make_shared<int>(1);

  farm.Step(WorkerProgressed{"w1", assign.attempt, progress});
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->progress, progress);
  farm.Step(WorkerProgressed{"w1", {assign.attempt.operation, 9}, progress});

  EXPECT_THAT(farm.All<StageChanged>(), IsEmpty());
}

TEST(Workers, RefusesMoreWorkersThanItsBound) {
  FakeFarm farm({.workers_max = 1, .workers_retry = seconds(7)});
  farm.Join("w1");

  farm.Join("w2");

  ASSERT_TRUE(farm.Only<CloseWorker>());
  EXPECT_EQ(farm.Only<CloseWorker>()->worker, "w2");
  EXPECT_EQ(farm.Only<CloseWorker>()->retry_after, seconds(7));
  EXPECT_EQ(farm.Only<CloseWorker>()->status.code(), Code::kUnavailable)
      << "so that the worker comes back when there is room";
}

TEST(Workers, ForgetsAnIdleWorkerAsSoonAsItLeaves) {
  FakeFarm farm;
  farm.Join("w1");

  farm.Step(WorkerLost{"w1"});

  EXPECT_EQ(farm.scheduler.Stats(farm.now).workers, 0u);
  EXPECT_FALSE(farm.scheduler.NextDeadline());
}

TEST(Workers, ChangesItsPropertiesWithAReconnect) {
  FakeFarm farm;
  farm.Join("w1", 1, {{"Pool", "a"}});
  farm.Run("x", {.properties = {{"Pool", "b"}}});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());

  farm.Join("w1", 1, {{"Pool", "b"}});

  EXPECT_TRUE(farm.Only<Assign>());
}

}  // namespace
}  // namespace lre::scheduler
