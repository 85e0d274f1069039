// Bounds of SchedulerOptions that no other test reaches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/fake_farm.h"
#include "scheduler/sizes.h"

namespace lre::scheduler {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(Bounds, UseNoMoreSlotsOfAWorkerThanTheBound) {
  FakeFarm farm({.slots_max = 2});
  for (const char* action : {"a", "b", "c"}) farm.Run(action);

  farm.Join("w1", 10);

  EXPECT_THAT(farm.All<Assign>(), SizeIs(2));
  EXPECT_EQ(farm.scheduler.Stats(farm.now).slots, 2u);
}

TEST(Bounds, TakeNoMorePoolsThanTheBound) {
  FakeFarm farm({.pools_max = 1, .worker_grace = seconds(10), .pool_grace = minutes(10)});
  farm.Step(PoolDeclared{"one", {{"Pool", "one"}}});
  farm.Step(PoolDeclared{"two", {{"Pool", "two"}}});
  farm.Step(PoolDeclared{"one", {{"Pool", "uno"}}});  // changes the first
  const ClientId uno = farm.Run("a", {.properties = {{"Pool", "uno"}}});
  const ClientId two = farm.Run("b", {.properties = {{"Pool", "two"}}});

  farm.Advance(seconds(10));

  EXPECT_TRUE(farm.AnswerTo(two)) << "it is not expected";
  EXPECT_FALSE(farm.AnswerTo(uno));
}

TEST(Bounds, RememberNoMoreSizesThanTheBound) {
  const Usage large{.memory_peak_bytes = 3 * kGiB};
  Sizes one(1), none(0);
  one.Learn(1, large);
  none.Learn(1, large);
  EXPECT_EQ(one.Of(1).memory_bytes, 4 * kGiB);
  EXPECT_EQ(none.Of(1), Size());

  one.Learn(2, large);

  EXPECT_EQ(one.Of(2).memory_bytes, 4 * kGiB);
  EXPECT_EQ(one.Of(1), Size()) << "displaced by the newer one";
}

TEST(Bounds, LetAWorkerThatFailsAgainAndAgainRestNoLongerThanTheBound) {
  FakeFarm farm({.worker_rest_max = seconds(4), .attempts_max = 100});
  farm.Join("w1");
  farm.Run("a");
  std::vector<Duration> rests;
  for (int i = 0; i < 6; i++) {
    ASSERT_TRUE(farm.Only<Assign>());
    farm.Report(*farm.Only<Assign>(), Status(Code::kInternal, "disk full"), true);
    const Instant failed = farm.now;
    while (!farm.Only<Assign>() && farm.now < failed + minutes(1)) farm.Advance(milliseconds(500));
    rests.push_back(farm.now - failed);
  }

  EXPECT_THAT(rests, testing::ElementsAre(seconds(1), seconds(2), seconds(4), seconds(4),
                                          seconds(4), seconds(4)));
}

TEST(Bounds, GiveAnActionWithoutATimeoutTheDefault) {
  FakeFarm farm({.timeout_default = minutes(3)});
  farm.Join("w1", 2);

  farm.Run("a");
  EXPECT_EQ(farm.Only<Assign>()->timeout, minutes(3));
  farm.Run("b", {.timeout = minutes(5)});

  EXPECT_EQ(farm.Only<Assign>()->timeout, minutes(5));
}

TEST(Bounds, CountMemoryAndCoresUnderTheNamesThatTheOperatorGivesThem) {
  FakeFarm farm(
      {.minimum_properties = {"ram", "cpus"}, .memory_property = "ram", .cores_property = "cpus"});
  farm.Join("w1", 4, {{"ram", "8GiB"}, {"cpus", "4"}});
  farm.Run("first", {.kind = 1});
  const Assign first = *farm.Only<Assign>();
  farm.Step(WorkerReported{"w1", first.attempt, Status(), false, first.request->payload,
                           Usage{3 * kGiB, seconds(30), seconds(10)}, false});

  farm.Run("second", {.kind = 1});
  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->memory_bytes, 4 * kGiB);
  farm.Run("third", {.kind = 1});

  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "four of four cores are taken";
}

}  // namespace
}  // namespace lre::scheduler
