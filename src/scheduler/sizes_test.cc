// Learned sizes: what is remembered of past runs, and what it does to where actions run.
#include "scheduler/sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/fake_farm.h"

namespace lre::scheduler {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kGiB = 1 << 30;

Usage UsageOf(int64_t memory_peak_bytes, int cores = 1) {
  return {memory_peak_bytes, seconds(2 * cores), seconds(2)};
}

void Finish(FakeFarm& farm, const Assign& assign, const Usage& usage) {
  farm.Step(WorkerReported{assign.worker, assign.attempt, Status(), false, assign.request->payload,
                           usage, false});
  farm.Step(Published{assign.attempt, Status(), false, assign.request->payload});
}
void RunOutOfMemory(FakeFarm& farm, const Assign& assign) {
  farm.Step(WorkerReported{assign.worker, assign.attempt,
                           Status(Code::kResourceExhausted, "the command ran out of memory"), true,
                           nullptr, UsageOf(kGiB), true});
}

TEST(Sizes, FollowsALargerRunAtOnceAndASmallerOneSlowly) {
  Sizes sizes(100);
  sizes.Learn(1, UsageOf(100 * kMiB));
  EXPECT_EQ(sizes.Of(1), (Size{128 * kMiB, 0}));
  sizes.Learn(1, UsageOf(3 * kGiB, 4));
  EXPECT_EQ(sizes.Of(1), (Size{4 * kGiB, 4}));

  sizes.Learn(1, UsageOf(kMiB));
  EXPECT_EQ(sizes.Of(1), (Size{4 * kGiB, 4}));
  for (int i = 0; i < 50; i++) sizes.Learn(1, UsageOf(kMiB));

  EXPECT_EQ(sizes.Of(1), Size()) << "what is small is not counted";
}

TEST(Sizes, BoundsWhatItKnowsAndTakesNonsense) {
  Sizes sizes(1);
  sizes.Learn(1, UsageOf(kGiB));
  sizes.Learn(2, UsageOf(INT64_MAX));
  EXPECT_EQ(sizes.Of(1), Size());
  EXPECT_GT(sizes.Of(2).memory_bytes, kGiB);
  sizes.Learn(2, {-5, seconds(-1), seconds(1)});
  sizes.Learn(0, UsageOf(kGiB));
  EXPECT_EQ(sizes.Of(0), Size());
  Sizes none(0);
  none.Learn(1, UsageOf(kGiB));
  EXPECT_EQ(none.Of(1), Size());
}

TEST(Sizes, PacksByWhatEarlierRunsTook) {
  FakeFarm farm;
  farm.Join("w1", 10, {{"memory", "8GiB"}});
  farm.Run("first", {.kind = 1});
  Finish(farm, *farm.Only<Assign>(), UsageOf(3 * kGiB));

  farm.Run("a", {.kind = 1});
  ASSERT_TRUE(farm.Only<Assign>());
  EXPECT_EQ(farm.Only<Assign>()->memory_bytes, 4 * kGiB);
  farm.Run("b", {.kind = 1});
  ASSERT_TRUE(farm.Only<Assign>());
  farm.Run("c", {.kind = 1});
  EXPECT_THAT(farm.All<Assign>(), IsEmpty()) << "there is room for two";
  farm.Run("small", {.kind = 2});

  EXPECT_THAT(farm.AssignedActions(), ElementsAre("small"));
}

TEST(Sizes, RunsALargeActionAloneOnAWorkerThatIsSmallerThanWhatWasLearned) {
  FakeFarm farm;
  farm.Join("w1", 10, {{"memory", "2GiB"}});
  farm.Run("first", {.kind = 1});
  Finish(farm, *farm.Only<Assign>(), UsageOf(3 * kGiB));

  farm.Run("a", {.kind = 1});

  ASSERT_TRUE(farm.Only<Assign>()) << "experience is advice, not a demand";
  EXPECT_EQ(farm.Only<Assign>()->memory_bytes, 2 * kGiB);
}

TEST(Sizes, RunsOnceMoreWithMoreMemoryAfterItRanOut) {
  FakeFarm farm;
  farm.Join("w1", 4, {{"memory", "8GiB"}});
  const ClientId client = farm.Run("a", {.kind = 1});
  const Assign first = *farm.Only<Assign>();
  EXPECT_EQ(first.memory_bytes, 0);

  RunOutOfMemory(farm, first);
  ASSERT_TRUE(farm.Only<Assign>()) << "at once, on the same worker too: it is not its fault";
  EXPECT_EQ(farm.Only<Assign>()->memory_bytes, 2 * kGiB);
  EXPECT_EQ(farm.Only<Assign>()->attempt.number, 2);
  RunOutOfMemory(farm, *farm.Only<Assign>());

  ASSERT_TRUE(farm.AnswerTo(client)) << "not a third time";
  EXPECT_EQ(farm.AnswerTo(client)->status.code(), Code::kResourceExhausted);
  EXPECT_EQ(farm.scheduler.Stats(farm.now).out_of_memory, 2u);
  farm.Run("next", {.kind = 1});
  EXPECT_GE(farm.Only<Assign>()->memory_bytes, 2 * kGiB) << "the next of its kind starts larger";
}

TEST(Sizes, EnlargesAnActionOfWhichNothingIsKnown) {
  FakeFarm farm;
  farm.Join("w1");
  const ClientId client = farm.Run("a");

  RunOutOfMemory(farm, *farm.Only<Assign>());
  ASSERT_TRUE(farm.Only<Assign>());
  farm.Finish(*farm.Only<Assign>());

  EXPECT_TRUE(farm.AnswerTo(client)->status.ok());
}

}  // namespace
}  // namespace lre::scheduler
