#include "worker/live_updates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lre::worker {
namespace {

v1::Assignment Listened(const std::string& operation) {
  v1::Assignment assignment;
  assignment.mutable_attempt()->set_operation(operation);
  assignment.set_stdout_stream_name("out");
  return assignment;
}

TEST(LiveUpdates, TellsTheLastStageAndWhatIsListenedTo) {
  LiveUpdates updates({.slots = 2});
  updates.Begin(1, Listened("a"));
  v1::Progress progress;
  progress.set_stage(v1::Progress::FETCHING_INPUTS);
  updates.SetProgress(1, progress);
  progress.set_stage(v1::Progress::RUNNING);
  updates.SetProgress(1, progress);
  updates.Append(1, false, "one ");
  updates.Append(1, false, "two");
  updates.Append(1, true, "nobody listens");

  auto messages = updates.Take();

  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].progress().stage(), v1::Progress::RUNNING);
  EXPECT_EQ(messages[1].output().data(), "one two");
  EXPECT_EQ(messages[1].output().attempt().operation(), "a");
  EXPECT_THAT(updates.Take(), testing::IsEmpty());
}

TEST(LiveUpdates, OffsetsTellWhatWasLeftOut) {
  LiveUpdates updates({.slots = 1, .pending_bytes_max = 5, .message_bytes_max = 3});
  updates.Begin(0, Listened("a"));
  updates.Append(0, false, "abcdefgh");
  updates.Append(0, false, "ij");
  auto first = updates.Take();
  updates.Append(0, false, "k");
  auto last = updates.End(0);

  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].output().data(), "abc");
  EXPECT_EQ(first[1].output().data(), "de");
  EXPECT_EQ(first[1].output().offset(), 3);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0].output().offset(), 10);
  EXPECT_EQ(last[0].output().data(), "k");
}

TEST(LiveUpdates, TheEndTellsOutputsButNoStage) {
  LiveUpdates updates({.slots = 1});
  updates.Begin(0, Listened("a"));
  updates.SetProgress(0, {});
  updates.Append(0, false, "x");

  EXPECT_EQ(updates.End(0).size(), 1u);
  EXPECT_THAT(updates.Take(), testing::IsEmpty());
}

}  // namespace
}  // namespace lre::worker
