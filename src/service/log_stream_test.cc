#include "service/log_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"

namespace lre::service {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

const std::string kName = "main/logstreams/1-stdout";

class LogStreamTest : public testing::Test {
 protected:
  Bytes Text(const std::string& text) { return Bytes(text); }
  // All there is from `offset` on; "..." when it goes on.
  std::string All(LogStreams& streams, const std::string& name, int64_t offset = 0) {
    std::string text;
    while (true) {
      auto piece = streams.Read({name, offset, 4}, [this] { woken_++; });
      if (!piece) return ToStatus(piece).message();
      text += piece->data.view();
      if (piece->end) return text;
      if (piece->data.empty()) return text + "...";
      offset = piece->next_offset;
    }
  }

  FakeClock clock_;
  int woken_ = 0;
};

TEST_F(LogStreamTest, NamesTheStreamsOfAnOperation) {
  EXPECT_EQ(LogStreamNameOf("main", "operations/1", false), kName);
  EXPECT_EQ(LogStreamNameOf("", "operations/1", true), "logstreams/1-stderr");
  EXPECT_TRUE(IsLogStreamName(kName));
  EXPECT_TRUE(IsLogStreamName("logstreams/x"));
  EXPECT_FALSE(IsLogStreamName("main/mylogstreams/x"));
  EXPECT_FALSE(IsLogStreamName("main/blobs/logstreams"));
}

TEST_F(LogStreamTest, LetsReadersFollowUntilTheWriterFinishes) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName).ok());
  EXPECT_EQ(All(streams, kName), "...");

  ASSERT_TRUE(streams.Append(kName, 0, Text("first ")).ok());
  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(All(streams, kName), "first ...");
  ASSERT_TRUE(streams.Append(kName, 6, Text("second")).ok());
  streams.Finish(kName);

  EXPECT_EQ(All(streams, kName), "first second");
  EXPECT_EQ(All(streams, kName, 6), "second");
  EXPECT_EQ(streams.Append(kName, 12, Text("late")).code(), Code::kFailedPrecondition);
}

TEST_F(LogStreamTest, WakesThoseWhoWaitAtTheEnd) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName).ok());
  EXPECT_EQ(All(streams, kName), "...");

  streams.Finish(kName);

  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(All(streams, kName), "") << "it still sees that it ended";
}

TEST_F(LogStreamTest, ForgetsAnEmptyStreamThatNobodyReads) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName).ok());

  streams.Finish(kName);

  EXPECT_EQ(streams.size(), 0u);
  EXPECT_THAT(All(streams, kName), HasSubstr("is not known"));
}

TEST_F(LogStreamTest, KeepsTheLatestBytesOfAStream) {
  LogStreams streams(clock_, {.stream_bytes_max = 10});
  ASSERT_TRUE(streams.Open(kName).ok());
  ASSERT_TRUE(streams.Append(kName, 0, Text("abcdefgh")).ok());
  ASSERT_TRUE(streams.Append(kName, 8, Text("ijklmn")).ok());

  EXPECT_EQ(All(streams, kName), "efghijklmn...");
  EXPECT_EQ(All(streams, kName, 12), "mn...");
}

TEST_F(LogStreamTest, KeepsLessOfEachWhenAllTogetherAreTooMuch) {
  LogStreams streams(clock_, {.stream_bytes_max = 1 << 20, .bytes_max = 100 << 10});
  for (const char* name : {"logstreams/a", "logstreams/b"}) {
    ASSERT_TRUE(streams.Open(name).ok());
    ASSERT_TRUE(streams.Append(name, 0, Text(std::string(90 << 10, 'x'))).ok());
  }

  auto piece = streams.Read({"logstreams/b", 0, 1 << 20}, [] {});

  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->data.size(), size_t{64} << 10);
}

TEST_F(LogStreamTest, TakesWhatComesTwiceOnceAndBeginsAnewBehindAGap) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName).ok());
  ASSERT_TRUE(streams.Append(kName, 0, Text("abc")).ok());
  ASSERT_TRUE(streams.Append(kName, 1, Text("bcde")).ok());
  EXPECT_EQ(All(streams, kName), "abcde...");

  ASSERT_TRUE(streams.Append(kName, 100, Text("xyz")).ok());

  EXPECT_EQ(All(streams, kName), "xyz...");
  EXPECT_EQ(streams.Append(kName, -1, Text("x")).code(), Code::kInvalidArgument);
}

TEST_F(LogStreamTest, LetsOnlyWhoKnowsTheWriteNameWrite) {
  LogStreams streams(clock_);
  auto names = streams.Create("parent");
  ASSERT_TRUE(names);
  EXPECT_THAT(names->name, testing::StartsWith("parent/logstreams/"));

  EXPECT_EQ(streams.AppendAsWriter(names->name + "/guess", 0, Text("x")).code(), Code::kNotFound);
  EXPECT_EQ(streams.AppendAsWriter(names->name, 0, Text("x")).code(), Code::kNotFound);
  ASSERT_TRUE(streams.AppendAsWriter(names->write_name, 0, Text("text")).ok());
  EXPECT_EQ(streams.AppendAsWriter(names->write_name, 9, Text("x")).code(), Code::kInvalidArgument);
  EXPECT_EQ(streams.WrittenOf(names->write_name)->bytes, 4);
  ASSERT_TRUE(streams.FinishAsWriter(names->write_name).ok());

  EXPECT_TRUE(streams.WrittenOf(names->write_name)->finished);
  EXPECT_EQ(All(streams, names->name), "text");
}

TEST_F(LogStreamTest, ASecondAttemptBeginsAnewAndEndsTheFirst) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName).ok());
  ASSERT_TRUE(streams.Append(kName, 0, Text("of the first")).ok());
  EXPECT_EQ(All(streams, kName, 12), "...");

  ASSERT_TRUE(streams.Open(kName).ok());

  EXPECT_EQ(woken_, 1);
  EXPECT_EQ(All(streams, kName), "...");
}

TEST_F(LogStreamTest, ShowsAStreamOnlyToThoseWhoMaySeeItsPartition) {
  LogStreams streams(clock_);
  ASSERT_TRUE(streams.Open(kName, 7).ok());
  ASSERT_TRUE(streams.Append(kName, 0, Text("text")).ok());
  auto read = [&](scheduler::Scope scope) {
    return streams.Read({kName, 0, 4, std::move(scope)}, [] {});
  };

  EXPECT_EQ(read({.only = 7})->data.view(), "text");
  EXPECT_EQ(read({.only = 8}).error().code(), Code::kNotFound);
  const scheduler::Scope open{
      .except = std::make_shared<const std::set<uint32_t>>(std::set<uint32_t>{7})};
  EXPECT_EQ(read(open).error().code(), Code::kNotFound);
}

TEST_F(LogStreamTest, BoundsTheStreamsAndForgetsTheFinishedOnesFirst) {
  LogStreams streams(clock_, {.streams_max = 2});
  ASSERT_TRUE(streams.Open("logstreams/a").ok());
  ASSERT_TRUE(streams.Append("logstreams/a", 0, Text("x")).ok());
  ASSERT_TRUE(streams.Open("logstreams/b").ok());
  EXPECT_EQ(streams.Open("logstreams/c").code(), Code::kResourceExhausted);

  streams.Finish("logstreams/a");

  EXPECT_TRUE(streams.Open("logstreams/c").ok());
  EXPECT_THAT(All(streams, "logstreams/a"), HasSubstr("is not known"));
}

TEST_F(LogStreamTest, ForgetsWhatEndedAWhileAgoAndEndsWhatNobodyWritesTo) {
  LogStreams streams(clock_, {.retention = minutes(1), .idle_max = minutes(30)});
  ASSERT_TRUE(streams.Open(kName).ok());
  ASSERT_TRUE(streams.Append(kName, 0, Text("x")).ok());
  streams.Finish(kName);
  ASSERT_TRUE(streams.Create("idle"));
  EXPECT_EQ(streams.size(), 2u);

  clock_.Advance(minutes(2));
  ASSERT_TRUE(streams.Open("logstreams/other").ok());
  EXPECT_EQ(streams.size(), 2u) << "the idle one and the other";
  clock_.Advance(minutes(30));
  ASSERT_TRUE(streams.Open("logstreams/more").ok());
  clock_.Advance(minutes(2));
  ASSERT_TRUE(streams.Open("logstreams/last").ok());

  EXPECT_EQ(streams.size(), 2u) << "more and last";
}

}  // namespace
}  // namespace lre::service
