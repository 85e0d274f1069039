// The rules that clients see: order, merging, answers, cancelling, retention, bounds.
#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/fake_farm.h"

namespace lre::scheduler {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Scheduler, RunsAnActionOnAFreeWorkerAndAnswersTheClientOnce) {
  FakeFarm farm;
  farm.Join("w1");

  const ClientId client = farm.Run("a");
  const std::optional<Assign> assign = farm.Only<Assign>();
  ASSERT_TRUE(assign);
  EXPECT_EQ(assign->worker, "w1");
  EXPECT_EQ(assign->attempt.number, 1);
  EXPECT_EQ(assign->timeout, minutes(15));
  farm.Report(*assign);
  EXPECT_TRUE(farm.Only<Acknowledge>());
  ASSERT_TRUE(farm.Only<Publish>());
  EXPECT_THAT(farm.All<Answer>(), IsEmpty()) << "not before the result is durable";
  farm.Step(Published{assign->attempt, Status(), false, assign->request->payload});

  const std::optional<Answer> answer = farm.Only<Answer>();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->client, client);
  EXPECT_TRUE(answer->status.ok());
  EXPECT_EQ(answer->answer, assign->request->payload);
  farm.Advance(hours(1));
  EXPECT_THAT(farm.All<Answer>(), IsEmpty());
}

TEST(Scheduler, TellsTheClientWhenItIsQueuedAndWhenItExecutes) {
  FakeFarm farm;

  farm.Run("a");
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->stage, Stage::kQueued);
  farm.Join("w1");

  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->stage, Stage::kExecuting);
  EXPECT_EQ(farm.Only<StageChanged>()->worker, "w1");
}

TEST(Scheduler, TakesFirstInFirstOutWithinAPriorityAndLowerNumbersFirst) {
  FakeFarm farm;
  farm.Run("second", {.priority = 0});
  farm.Run("last", {.priority = 5});
  farm.Run("third", {.priority = 0});
  farm.Run("first", {.priority = -1});

  farm.Join("w1", 4);

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("first", "second", "third", "last"));
}

TEST(Scheduler, LetsWaitingOutweighPriorityInTheEnd) {
  FakeFarm farm({.worker_grace = hours(1), .ageing_step = seconds(30)});
  farm.Run("old", {.priority = 1});
  farm.Advance(seconds(31));
  farm.Run("new", {.priority = 0});
  farm.Run("urgent", {.priority = -10});

  farm.Join("w1", 3);

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("urgent", "old", "new"));
}

TEST(Scheduler, MergesIdenticalActionsAndAnswersEachClient) {
  FakeFarm farm;
  farm.Join("w1", 4);
  const ClientId first = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();

  const ClientId second = farm.Run("a");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->operation, assign.attempt.operation);
  farm.Finish(assign);

  EXPECT_THAT(farm.All<Answer>(), SizeIs(2));
  EXPECT_TRUE(farm.AnswerTo(first));
  EXPECT_TRUE(farm.AnswerTo(second));
  farm.Run("a");
  EXPECT_TRUE(farm.Only<Assign>()) << "a finished action runs again";
}

TEST(Scheduler, MergesWhileTheResultIsBeingPublished) {
  FakeFarm farm;
  farm.Join("w1", 4);
  farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Report(assign);

  const ClientId late = farm.Run("a");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Step(Published{assign.attempt, Status(), false, nullptr});

  EXPECT_TRUE(farm.AnswerTo(late));
}

TEST(Scheduler, NeverMergesAcrossTenantsOrWhatMustNotBeCached) {
  FakeFarm farm;
  farm.Run("a", {.partition = 1});
  farm.Run("a", {.partition = 2});
  farm.Run("b", {.do_not_cache = true});
  farm.Run("b", {.do_not_cache = true});

  farm.Join("w1", 10);

  EXPECT_THAT(farm.All<Assign>(), SizeIs(4));
}

TEST(Scheduler, MovesAMergedActionForwardWhenTheSecondRequestIsMoreUrgent) {
  FakeFarm farm;
  farm.Run("x", {.priority = 3});
  farm.Run("y", {.priority = 5});
  farm.Run("y", {.priority = 1});

  farm.Join("w1", 2);

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("y", "x"));
}

TEST(Scheduler, CancelsAtOnceWhenAskedTo) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId first = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  const ClientId second = farm.Run("a");

  farm.Step(CancelRequested{assign.attempt.operation});

  ASSERT_TRUE(farm.AnswerTo(first));
  EXPECT_EQ(farm.AnswerTo(first)->status.code(), Code::kCancelled);
  EXPECT_TRUE(farm.AnswerTo(second));
  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_EQ(farm.Only<Cancel>()->attempt, assign.attempt);
}

TEST(Scheduler, CancelsAQueuedActionSoThatItNeverRuns) {
  FakeFarm farm;
  const ClientId client = farm.Run("a");

  farm.Step(CancelRequested{"op-a-" + std::to_string(client)});
  EXPECT_TRUE(farm.AnswerTo(client));
  farm.Join("w1");

  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
}

TEST(Scheduler, KeepsTheSlotOfACancelledAttemptUntilTheWorkerSaysItStopped) {
  FakeFarm farm;
  farm.Join("w1");
  farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Run("b");
  farm.Step(CancelRequested{assign.attempt.operation});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());

  farm.Report(assign, Status(Code::kCancelled, "stopped"));

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("b"));
}

TEST(Scheduler, FreesTheSlotOfACancelledAttemptAfterItsGrace) {
  FakeFarm farm({.cancel_grace = seconds(3)});
  farm.Join("w1");
  farm.Run("a");
  farm.Step(CancelRequested{farm.Only<Assign>()->attempt.operation});
  farm.Run("b");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());

  farm.Advance(seconds(3));

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("b"));
}

TEST(Scheduler, CancelsAfterTheGraceWhenTheLastClientWasLost) {
  FakeFarm farm({.client_grace = seconds(20), .worker_silence_max = hours(1)});
  farm.Join("w1");
  const ClientId first = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  const ClientId second = farm.Run("a");

  farm.Step(ClientLeft{first});
  farm.Advance(seconds(20));
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty()) << "one still waits";
  farm.Step(ClientLeft{second});
  farm.Advance(seconds(19));
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  farm.Advance(seconds(1));

  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_THAT(farm.All<Answer>(), IsEmpty());
}

TEST(Scheduler, AnswersAClientThatComesBackWithinTheGrace) {
  FakeFarm farm({.client_grace = seconds(20), .worker_silence_max = hours(1)});
  farm.Join("w1");
  const ClientId lost = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Step(ClientLeft{lost});
  farm.Advance(seconds(19));

  const ClientId back = farm.next_client++;
  farm.Step(ClientAttached{assign.attempt.operation, back});
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->stage, Stage::kExecuting);
  farm.Advance(seconds(20));
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  farm.Finish(assign);

  EXPECT_TRUE(farm.AnswerTo(back));
  EXPECT_FALSE(farm.AnswerTo(lost));
}

TEST(Scheduler, AnswersFromAFinishedOperationUntilItsRetentionEnds) {
  FakeFarm farm({.operation_retention = minutes(2)});
  farm.Join("w1");
  farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Finish(assign);
  farm.Advance(seconds(119));

  farm.Step(ClientAttached{assign.attempt.operation, 77});
  ASSERT_TRUE(farm.AnswerTo(77));
  EXPECT_EQ(farm.AnswerTo(77)->answer, assign.request->payload);
  farm.Advance(seconds(1));
  farm.Step(ClientAttached{assign.attempt.operation, 78});

  EXPECT_TRUE(farm.Only<UnknownOperation>());
  EXPECT_FALSE(farm.scheduler.Find(assign.attempt.operation));
}

TEST(Scheduler, KeepsABoundedNumberOfFinishedOperations) {
  FakeFarm farm({.finished_operations_max = 2});
  farm.Join("w1");
  for (const char* action : {"a", "b", "c"}) {
    farm.Run(action);
    farm.Finish(*farm.Only<Assign>());
  }

  const std::vector<OperationView> views = farm.scheduler.List(0, 0, 10);

  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].name, "op-b-2");
  EXPECT_EQ(views[1].name, "op-c-3");
}

TEST(Scheduler, ForgetsADeletedOperationOnlyWhenItIsFinished) {
  FakeFarm farm;
  farm.Join("w1");
  farm.Run("a");
  const Assign assign = *farm.Only<Assign>();

  farm.Step(OperationDeleted{assign.attempt.operation});
  EXPECT_TRUE(farm.scheduler.Find(assign.attempt.operation));
  farm.Finish(assign);
  farm.Step(OperationDeleted{assign.attempt.operation});

  EXPECT_FALSE(farm.scheduler.Find(assign.attempt.operation));
}

TEST(Scheduler, RefusesNewActionsWhenTheQueueIsFull) {
  FakeFarm farm({.queued_actions_max = 2});
  farm.Run("a");
  farm.Run("b");

  const ClientId refused = farm.Run("c");
  ASSERT_TRUE(farm.AnswerTo(refused));
  EXPECT_EQ(farm.AnswerTo(refused)->status.code(), Code::kResourceExhausted);
  const ClientId merged = farm.Run("a");

  EXPECT_FALSE(farm.AnswerTo(merged)) << "merging takes no room";
}

TEST(Scheduler, RefusesMoreClientsThanItsBound) {
  FakeFarm farm({.clients_max = 1});
  const ClientId first = farm.Run("a");

  const ClientId second = farm.Run("a");
  ASSERT_TRUE(farm.AnswerTo(second));
  EXPECT_EQ(farm.AnswerTo(second)->status.code(), Code::kResourceExhausted);
  farm.Step(ClientAttached{"op-a-1", 50});
  EXPECT_EQ(farm.AnswerTo(50)->status.code(), Code::kResourceExhausted);
  farm.Step(ClientLeft{first});

  EXPECT_FALSE(farm.AnswerTo(farm.Run("a")));
}

TEST(Scheduler, RefusesATimeoutBeyondTheMaximum) {
  FakeFarm farm({.timeout_max = hours(2)});

  const ClientId client = farm.Run("a", {.timeout = hours(2) + seconds(1)});

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kInvalidArgument);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(), HasSubstr("timeout_max"));
}

TEST(Scheduler, RefusesTooManyPropertiesAndTooManyDifferentSets) {
  FakeFarm farm({.property_sets_max = 2, .properties_max = 1});

  EXPECT_EQ(farm.AnswerTo(farm.Run("a", {.properties = {{"a", "1"}, {"b", "1"}}}))->status.code(),
            Code::kInvalidArgument);
  farm.Run("b", {.properties = {{"p", "1"}}});
  farm.Run("c", {.properties = {{"p", "2"}}});
  const ClientId refused = farm.Run("d", {.properties = {{"p", "3"}}});
  ASSERT_TRUE(farm.AnswerTo(refused));
  EXPECT_EQ(farm.AnswerTo(refused)->status.code(), Code::kResourceExhausted);
  farm.Step(CancelRequested{"op-b-2"});

  EXPECT_FALSE(farm.AnswerTo(farm.Run("d", {.properties = {{"p", "3"}}})))
      << "a set that nobody asks for any more makes room";
}

TEST(Scheduler, LetsABuildOfOneActionThroughWhileAHugeOneIsQueued) {
  FakeFarm farm;
  for (int i = 0; i < 100; i++) farm.Run("huge" + std::to_string(i), {.invocation = "huge"});
  farm.Join("w1", 1);
  Assign running = *farm.Only<Assign>();
  for (int i = 0; i < 20; i++) {
    farm.Finish(running);
    running = *farm.Only<Assign>();
  }

  farm.Run("small", {.invocation = "small"});
  farm.Finish(running);

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("small"));
}

TEST(Scheduler, SharesFirstBetweenTenantsThenBetweenTheirInvocations) {
  FakeFarm farm;
  for (int i = 0; i < 8; i++) {
    farm.Run("a1-" + std::to_string(i), {.invocation = "1", .partition = 1});
    farm.Run("a2-" + std::to_string(i), {.invocation = "2", .partition = 1});
    farm.Run("b1-" + std::to_string(i), {.invocation = "3", .partition = 2});
  }

  farm.Join("w1", 8);

  std::map<std::string, int> counts;
  for (const std::string& action : farm.AssignedActions()) counts[action.substr(0, 2)]++;
  EXPECT_EQ(counts["b1"], 4);
  EXPECT_EQ(counts["a1"], 2);
  EXPECT_EQ(counts["a2"], 2);
}

TEST(Scheduler, StartsAMergedActionAtTheEarliestTurnOfThoseWhoWantIt) {
  FakeFarm farm;
  for (int i = 0; i < 50; i++) farm.Run("huge" + std::to_string(i), {.invocation = "huge"});
  farm.Run("huge49", {.invocation = "small"});

  farm.Join("w1", 2);

  EXPECT_THAT(farm.AssignedActions(), testing::UnorderedElementsAre("huge0", "huge49"));
}

TEST(Scheduler, ShowsWhereAnOperationStands) {
  FakeFarm farm;
  farm.Run("a");
  farm.Run("b");
  EXPECT_EQ(farm.scheduler.Find("op-a-1")->queue_position, 1u);
  EXPECT_EQ(farm.scheduler.Find("op-b-2")->queue_position, 2u);

  farm.Join("w1");

  EXPECT_EQ(farm.scheduler.Find("op-a-1")->stage, Stage::kExecuting);
  EXPECT_EQ(farm.scheduler.Find("op-a-1")->worker, "w1");
  EXPECT_EQ(farm.scheduler.Find("op-b-2")->queue_position, 1u);
  EXPECT_FALSE(farm.scheduler.Find("op-c-3"));
  const SchedulerStats stats = farm.scheduler.Stats(farm.now);
  EXPECT_EQ(stats.queued, 1u);
  EXPECT_EQ(stats.executing, 1u);
  EXPECT_EQ(stats.slots_busy, 1u);
  ASSERT_THAT(stats.queues, SizeIs(1));
  EXPECT_EQ(stats.queues[0].queued, 1u);
}

TEST(Scheduler, ListsTheOperationsOfOneTenantInPagesTheOldestFirst) {
  FakeFarm farm;
  farm.Run("z");
  farm.Run("other", {.partition = 1});
  farm.Run("b");
  farm.Run("a");

  const std::vector<OperationView> page = farm.scheduler.List(0, 0, 2);
  ASSERT_THAT(page, SizeIs(2));
  EXPECT_EQ(page[0].name, "op-z-1");
  EXPECT_EQ(page[1].name, "op-b-3");
  const std::vector<OperationView> rest = farm.scheduler.List(0, page[1].number, 2);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].name, "op-a-4");

  EXPECT_THAT(farm.scheduler.List(1, 0, 10), SizeIs(1));
  EXPECT_THAT(farm.scheduler.List(2, 0, 10), IsEmpty());
}

TEST(Scheduler, KnowsAnOperationOnlyToItsTenant) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a", {.partition = 1});
  const Assign assign = *farm.Only<Assign>();
  EXPECT_EQ(assign.request->partition, 1u);
  const Scope its{.only = 1}, another{.only = 2};
  const Scope open{.except = std::make_shared<const std::set<uint32_t>>(std::set<uint32_t>{1})};
  EXPECT_TRUE(farm.scheduler.Find("op-a-1", its));
  EXPECT_FALSE(farm.scheduler.Find("op-a-1", another));
  EXPECT_FALSE(farm.scheduler.Find("op-a-1", open));

  farm.Step(PoolsClosed{});  // nobody waits for workers to come back any more
  farm.Step(ClientAttached{"op-a-1", 50, another});
  EXPECT_TRUE(farm.Only<UnknownOperation>());
  farm.Step(ClientAttached{"op-a-1", 51, open});
  EXPECT_TRUE(farm.Only<UnknownOperation>());
  farm.Step(CancelRequested{"op-a-1", another});
  EXPECT_FALSE(farm.AnswerTo(client));
  farm.Step(CancelRequested{"op-a-1", its});
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kCancelled);
  farm.Step(OperationDeleted{"op-a-1", another});
  EXPECT_TRUE(farm.scheduler.Find("op-a-1"));
  farm.Step(OperationDeleted{"op-a-1", its});

  EXPECT_FALSE(farm.scheduler.Find("op-a-1"));
}

}  // namespace
}  // namespace lre::scheduler
