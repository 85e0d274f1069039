// What workers still run when the scheduler starts anew, and actions that take their workers down.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/fake_farm.h"

namespace lre::scheduler {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

const AttemptId kBefore{"op-before", 2};

std::shared_ptr<const ActionRequest> Held(const std::string& action) {
  auto request = std::make_shared<ActionRequest>();
  request->action = TestDigest(action);
  request->instance_name = "main";
  request->payload = std::make_shared<std::string>(action);
  return request;
}

// A worker that comes to a scheduler that has just started, with `action` running.
void JoinWith(FakeFarm& farm, const std::string& worker, const std::string& action,
              const AttemptId& attempt = kBefore) {
  farm.Step(WorkerJoined{worker, worker, {}, 1, {attempt}, {{attempt, Held(action)}}});
}

WorkerReported Done(const std::string& worker, const std::string& action) {
  return {worker, kBefore, Status(), false, std::make_shared<std::string>(action)};
}

TEST(Recovery, TakesOverWhatRanBeforeTheStartAndFindsItByItsOldName) {
  FakeFarm farm;

  JoinWith(farm, "w1", "a");
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  farm.Step(ClientAttached{kBefore.operation, 1});
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->stage, Stage::kExecuting);
  EXPECT_EQ(farm.Only<StageChanged>()->worker, "w1");
  farm.Step(Done("w1", "a"));
  ASSERT_TRUE(farm.Only<Publish>());
  EXPECT_EQ(farm.Only<Publish>()->request->action, TestDigest("a"));
  farm.Step(Published{farm.Only<Publish>()->attempt, Status(), false, nullptr});

  ASSERT_TRUE(farm.AnswerTo(1));
  EXPECT_TRUE(farm.AnswerTo(1)->status.ok());
  EXPECT_EQ(farm.scheduler.Stats(farm.now).recovered, 1u);
}

TEST(Recovery, LetsClientsWaitSoonAfterTheStartForTheWorkersToComeBack) {
  FakeFarm farm({.adoption_grace = seconds(10)});
  farm.Step(ClientAttached{kBefore.operation, 1});
  farm.Step(ClientAttached{"op-lost", 2});
  farm.Step(ClientAttached{"op-lost", 3});
  EXPECT_THAT(farm.effects, IsEmpty());
  EXPECT_EQ(farm.scheduler.Stats(farm.now).clients, 3u);
  farm.Step(ClientLeft{3});

  farm.Advance(seconds(3));
  JoinWith(farm, "w1", "a");
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->client, 1u);
  farm.Advance(seconds(7));

  ASSERT_TRUE(farm.Only<UnknownOperation>());
  EXPECT_EQ(farm.Only<UnknownOperation>()->client, 2u);
  farm.Step(ClientAttached{"op-other", 4});
  EXPECT_TRUE(farm.Only<UnknownOperation>()) << "at once, now that the workers are back";
}

TEST(Recovery, LetsNoClientOfAnotherTenantHaveWhatAWorkerComesBackWith) {
  FakeFarm farm({.adoption_grace = seconds(10)});
  farm.Step(ClientAttached{kBefore.operation, 1, Scope{.only = 7}});
  farm.Step(ClientAttached{kBefore.operation, 2, Scope{.only = 0}});
  farm.Step(ClientAttached{kBefore.operation, 3, Scope{.only = 7}});
  farm.Step(ClientLeft{3});

  JoinWith(farm, "w1", "a");
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->client, 2u);
  farm.Advance(seconds(10));

  ASSERT_TRUE(farm.Only<UnknownOperation>());
  EXPECT_EQ(farm.Only<UnknownOperation>()->client, 1u);
}

TEST(Recovery, LetsNoClientWaitWhenNoWorkerCanComeBack) {
  FakeFarm farm;
  farm.Step(ClientAttached{"op-a", 1});

  farm.Step(PoolsClosed{});

  EXPECT_TRUE(farm.Only<UnknownOperation>());
  farm.Step(ClientAttached{"op-a", 2});
  EXPECT_TRUE(farm.Only<UnknownOperation>());
}

TEST(Recovery, BoundsTheClientsThatWaitForWorkers) {
  FakeFarm farm({.clients_max = 1});
  farm.Step(ClientAttached{"op-a", 1});
  EXPECT_THAT(farm.effects, IsEmpty());

  farm.Step(ClientAttached{"op-b", 2});

  EXPECT_TRUE(farm.Only<UnknownOperation>());
}

TEST(Recovery, GivesARunningAttemptToWhoAskedForTheSameActionAnew) {
  FakeFarm farm;
  const ClientId client = farm.Run("a");

  JoinWith(farm, "w1", "a");
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "it runs already";
  EXPECT_THAT(farm.All<Cancel>(), IsEmpty());
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->client, client);
  farm.Step(Done("w1", "a"));
  ASSERT_TRUE(farm.Only<Publish>());
  farm.Step(Published{farm.Only<Publish>()->attempt, Status(), false, nullptr});

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Recovery, StopsARunningAttemptByTheNameItsWorkerKnows) {
  FakeFarm farm;
  farm.Run("a");
  JoinWith(farm, "w1", "a");

  farm.Step(CancelRequested{"op-a-1"});

  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_EQ(farm.Only<Cancel>()->attempt, kBefore);
}

TEST(Recovery, StopsAnAttemptOfAnActionThatRunsElsewhereAlready) {
  FakeFarm farm;
  farm.Join("w2");
  farm.Run("a");

  JoinWith(farm, "w1", "a");

  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_EQ(farm.Only<Cancel>()->attempt, kBefore);
}

TEST(Recovery, StopsAnAttemptThatNobodyAsksFor) {
  FakeFarm farm({.client_grace = seconds(20)});
  JoinWith(farm, "w1", "a");

  farm.Advance(seconds(20));

  EXPECT_TRUE(farm.Only<Cancel>());
}

TEST(Recovery, SaysUnknownWhenTheOnlyAttemptIsLostSoThatClientsAskAnew) {
  FakeFarm farm({.reconnect_grace = seconds(5)});
  JoinWith(farm, "w1", "a");
  farm.Step(ClientAttached{kBefore.operation, 1});

  farm.Step(WorkerLost{"w1"});
  farm.Advance(seconds(5));

  EXPECT_TRUE(farm.Only<UnknownOperation>());
  EXPECT_FALSE(farm.scheduler.Find(kBefore.operation));
  EXPECT_EQ(farm.scheduler.Stats(farm.now).operations, 0u);
}

TEST(Recovery, StartsAgainWhatWasAskedForAnewWhenItsAttemptIsLost) {
  FakeFarm farm({.reconnect_grace = seconds(5)});
  JoinWith(farm, "w1", "a");
  const ClientId client = farm.Run("a");
  ASSERT_TRUE(farm.Only<StageChanged>());
  EXPECT_EQ(farm.Only<StageChanged>()->operation, kBefore.operation);
  EXPECT_EQ(farm.Only<StageChanged>()->stage, Stage::kExecuting);
  farm.Join("w2");

  farm.Step(WorkerLost{"w1"});
  farm.Advance(seconds(5));

  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->worker, "w2");
  farm.Finish(*farm.Only<Assign>());
  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

TEST(Recovery, TakesNothingOverThatWasGivenUp) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a");
  const Assign assign = *farm.Only<Assign>();
  farm.Step(CancelRequested{assign.attempt.operation});
  EXPECT_TRUE(farm.AnswerTo(client));
  farm.Step(WorkerReported{"w1", assign.attempt, Status(Code::kCancelled, "stopped")});
  farm.Step(WorkerLost{"w1"});

  JoinWith(farm, "w1", "a", assign.attempt);

  ASSERT_TRUE(farm.Only<Cancel>());
  EXPECT_EQ(farm.Only<Cancel>()->attempt, assign.attempt);
}

// One worker with four slots, again and again: without care the same four die together each time.
TEST(Recovery, SparesTheNeighboursOfAnActionThatKillsItsWorker) {
  FakeFarm farm({.reconnect_grace = seconds(1), .attempts_max = 3});
  std::vector<ClientId> innocent;
  std::vector<Assign> running;
  auto collect = [&] {
    for (const Assign& assign : farm.All<Assign>()) running.push_back(assign);
  };
  const ClientId poison = farm.Run("poison");
  for (int i = 0; i < 6; i++) innocent.push_back(farm.Run("innocent" + std::to_string(i)));
  int workers = 0;
  std::map<ClientId, Status> answers;
  auto note = [&] {
    for (const Answer& answer : farm.All<Answer>()) answers[answer.client] = answer.status;
  };

  while (answers.size() < 7 && workers < 10) {
    const std::string name = "w" + std::to_string(workers++);
    running.clear();
    farm.Join(name, 4);
    collect();
    while (!running.empty()) {
      const bool killed = std::any_of(running.begin(), running.end(), [](const Assign& one) {
        return one.request->action == TestDigest("poison");
      });
      if (killed) {
        farm.Step(WorkerLost{name});
        farm.Advance(seconds(1));
        note();
        break;
      }
      const Assign first = running.front();
      running.erase(running.begin());
      farm.Finish(first);
      note();
      collect();
    }
  }

  EXPECT_EQ(answers[poison].code(), Code::kUnavailable);
  for (ClientId client : innocent) EXPECT_TRUE(answers[client].ok()) << answers[client].message();
  EXPECT_EQ(workers, 4) << "three were lost, the fourth did the rest";
}

}  // namespace
}  // namespace lre::scheduler
