// Platform properties: what is counted, values of choice, the nearest worker, and locality.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "scheduler/fake_farm.h"
#include "scheduler/terms.h"

namespace lre::scheduler {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Matching, ReadsNumbersFractionsAndSizesAsAmounts) {
  EXPECT_EQ(*ParseAmount("4"), 4000);
  EXPECT_EQ(*ParseAmount("0.5"), 500);
  EXPECT_EQ(*ParseAmount("1KiB"), 1024000);
  EXPECT_FALSE(ParseAmount("-1"));
  EXPECT_FALSE(ParseAmount("four"));
  EXPECT_FALSE(ParseAmount(""));
  EXPECT_FALSE(ParseAmount("nan"));
  EXPECT_FALSE(ParseAmount("1e300"));
}

TEST(Matching, RunsNoMoreBesideEachOtherThanTheWorkerHasRoomFor) {
  FakeFarm farm;
  farm.Join("w1", 10, {{"cores", "4"}, {"memory", "8GiB"}});

  farm.Run("a", {.properties = {{"cores", "2"}}});
  const Assign first = *farm.Only<Assign>();
  farm.Run("b", {.properties = {{"cores", "3"}}});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Run("c", {.properties = {{"cores", "2"}, {"memory", "8GiB"}}});
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("c")) << "it has room beside the first";
  farm.Run("d", {.properties = {{"memory", "1MiB"}}});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty());
  farm.Run("e");
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("e")) << "it asks for nothing that is counted";
  farm.Finish(first);

  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "3 cores are not free yet";
}

TEST(Matching, GivesRoomBackWhenAnAttemptEndsOrItsWorkerIsLost) {
  FakeFarm farm;
  farm.Join("w1", 4, {{"cores", "1"}});
  for (int i = 0; i < 5; i++) {
    farm.Run("a" + std::to_string(i), {.properties = {{"cores", "1"}}});
    ASSERT_TRUE(farm.Only<Assign>()) << i;
    farm.Finish(*farm.Only<Assign>());
  }
}

TEST(Matching, TakesAnyOfTheValuesThatAWorkerOffers) {
  FakeFarm farm;
  farm.Join("w1", 4, {{"Pool", "a|b"}, {"Pool", "c"}, {"OSFamily", "Linux|WSL"}});

  for (const char* pool : {"a", "b", "c"}) {
    farm.Run(pool, {.properties = {{"Pool", pool}, {"OSFamily", "wsl"}}});
    EXPECT_TRUE(farm.Only<Assign>()) << pool;
  }
  farm.Run("d", {.properties = {{"Pool", "a|b"}}});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "a client names one value";
}

TEST(Matching, NamesTheNearestWorkerAndHowMuchItHas) {
  FakeFarm farm;
  farm.Join("small", 1, {{"OSFamily", "linux"}, {"cores", "4"}, {"memory", "8GiB"}});
  farm.Join("other", 1, {{"cores", "2"}});
  farm.Step(PoolsClosed{});

  const ClientId client =
      farm.Run("a", {.properties = {{"OSFamily", "linux"}, {"memory", "16GiB"}}});

  ASSERT_TRUE(farm.AnswerTo(client));
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(),
              HasSubstr("no worker offers memory=\"16.0 GiB\" or more (worker \"small\", the "
                        "nearest, has memory=\"8.0 GiB\")"));
}

TEST(Matching, NamesWhatChangedWhenAskedAgain) {
  FakeFarm farm;
  farm.Join("w1", 1, {{"cores", "4"}});
  farm.Step(PoolsClosed{});
  const ClientId before = farm.Run("a", {.properties = {{"cores", "16"}}});
  EXPECT_THAT(farm.AnswerTo(before)->status.message(), HasSubstr("has cores=\"4\""));

  farm.Join("w2", 1, {{"cores", "8"}, {"Pool", "x"}});
  farm.Step(WorkerLost{"w1"});
  const ClientId after = farm.Run("a", {.properties = {{"cores", "16"}}});

  EXPECT_THAT(farm.AnswerTo(after)->status.message(), HasSubstr("has cores=\"8\""));
}

TEST(Matching, RefusesAnAmountThatIsNoNumber) {
  FakeFarm farm;

  const ClientId client = farm.Run("a", {.properties = {{"cores", "many"}}});

  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kInvalidArgument);
  EXPECT_THAT(farm.AnswerTo(client)->status.message(), HasSubstr("\"cores\""));
}

TEST(Matching, HoldsAWorkerForALargeActionThatWouldStarve) {
  FakeFarm farm({.reserve_after = seconds(10)});
  farm.Join("w1", 4, {{"cores", "4"}});
  std::vector<Assign> running;
  int next = 0;
  auto run_small = [&] {
    farm.Run("small" + std::to_string(next++), {.properties = {{"cores", "1"}}});
  };
  for (int i = 0; i < 4; i++) {
    run_small();
    running.push_back(*farm.Only<Assign>());
  }
  farm.Run("large", {.properties = {{"cores", "4"}}});
  bool started = false;

  // Small ones keep coming: whenever one ends, there is another that has room.
  for (int step = 0; step < 60 && !started && !running.empty(); step++) {
    run_small();
    farm.Advance(seconds(1));
    const Assign oldest = running.front();
    running.erase(running.begin());
    farm.Finish(oldest);
    for (const Assign& assign : farm.All<Assign>()) {
      started |= *static_cast<const std::string*>(assign.request->payload.get()) == "large";
      running.push_back(assign);
    }
  }

  EXPECT_TRUE(started);
  farm.Finish(running.back());
  EXPECT_THAT(farm.All<Assign>(), SizeIs(4)) << "then the small ones go on";
}

TEST(Matching, GivesAHeldWorkerBackWhenTheLargeActionIsCancelled) {
  FakeFarm farm({.reserve_after = seconds(1)});
  farm.Join("w1", 4, {{"cores", "2"}});
  farm.Run("a", {.properties = {{"cores", "1"}}});
  const Assign a = *farm.Only<Assign>();
  farm.Run("b", {.properties = {{"cores", "1"}}});
  farm.Run("large", {.properties = {{"cores", "2"}}});
  farm.Advance(seconds(2));
  farm.Finish(a);
  farm.Run("c", {.properties = {{"cores", "1"}}});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "held";

  farm.Step(CancelRequested{"op-large-3"});

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("c"));
}

TEST(Locality, PrefersTheWorkerThatRanTheSameInputsWhileItIsNotMuchBusier) {
  FakeFarm farm({.locality_load_max = 1});
  for (const char* name : {"w1", "w2", "w3"}) farm.Join(name, 8);
  farm.Run("a", {.affinities = {7}});
  const WorkerId warm = farm.Only<Assign>()->worker;

  farm.Run("b", {.affinities = {7}});
  EXPECT_EQ(farm.Only<Assign>()->worker, warm);
  farm.Run("c", {.affinities = {7}});

  EXPECT_NE(farm.Only<Assign>()->worker, warm) << "it runs two more than the least loaded";
}

TEST(Locality, LeavesNoWorkerIdleWhileThereIsWork) {
  FakeFarm farm;
  farm.Join("w1", 2);
  farm.Join("w2", 2);
  std::map<WorkerId, int> runs;

  for (int i = 0; i < 4; i++) {
    farm.Run("a" + std::to_string(i), {.affinities = {7}});
    ASSERT_TRUE(farm.Only<Assign>());
    runs[farm.Only<Assign>()->worker]++;
  }

  EXPECT_EQ(runs["w1"], 2);
  EXPECT_EQ(runs["w2"], 2);
}

TEST(Locality, GivesAFreedWorkerTheNearestActionItIsWarmFor) {
  FakeFarm farm({.locality_lookahead = 2});
  farm.Join("w1");
  farm.Join("w2");
  farm.Run("x", {.affinities = {1}});
  const Assign x = *farm.Only<Assign>();
  farm.Run("y", {.affinities = {2}});
  const Assign y = *farm.Only<Assign>();
  farm.Run("p", {.affinities = {2}});
  farm.Run("q", {.affinities = {1}});
  farm.Run("r", {.affinities = {1}});
  farm.Run("s", {.affinities = {1}});

  farm.Finish(x);
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("q")) << "p waits for its own";
  farm.Finish(*farm.Only<Assign>());
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("r"));
  farm.Finish(*farm.Only<Assign>());
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("p")) << "passed over twice: not a third time";
  farm.Finish(y);
  EXPECT_THAT(farm.AssignedActions(), ElementsAre("s"));
}

TEST(Locality, ForgetsWhatItsTableHasNoPlaceFor) {
  FakeFarm farm({.locality_entries_max = 1});
  farm.Join("w1", 4);
  farm.Join("w2", 4);
  farm.Run("a", {.affinities = {1}});
  const WorkerId first = farm.Only<Assign>()->worker;
  farm.Run("b", {.affinities = {2}});
  EXPECT_NE(farm.Only<Assign>()->worker, first);

  farm.Run("c", {.affinities = {2}});
  EXPECT_NE(farm.Only<Assign>()->worker, first) << "2 is remembered";
  farm.Run("d", {.affinities = {1}});

  EXPECT_EQ(farm.Only<Assign>()->worker, first) << "1 is not: the least loaded";
}

}  // namespace
}  // namespace lre::scheduler
