// The pure parts: header text, message framing, gzip, loop and timers.
#include "rpc/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "rpc/address.h"
#include "rpc/loop.h"
#include "rpc/message_reader.h"

namespace lre::rpc {
namespace {

using namespace std::chrono_literals;

TEST(Text, ReadsTimeouts) {
  EXPECT_EQ(ParseTimeout("10S"), Duration(10s));
  EXPECT_EQ(ParseTimeout("250m"), Duration(250ms));
  EXPECT_EQ(ParseTimeout("1u"), Duration(1us));
  EXPECT_EQ(ParseTimeout("0n"), Duration(0));
  EXPECT_GT(*ParseTimeout("99999999H"), Duration(24h * 365 * 100));
  for (const char* bad : {"", "S", "10", "10s", "-1S", "1.5S", "123456789S", " 1S"}) {
    EXPECT_EQ(ParseTimeout(bad), std::nullopt) << bad;
  }
}

TEST(Text, WritesTimeoutsThatReadBackNoShorter) {
  for (Duration timeout : {Duration(1), Duration(99'999'999), Duration(100'000'001), Duration(1s),
                           Duration(37ms), Duration(90min), Duration(24h * 400)}) {
    auto back = ParseTimeout(FormatTimeout(timeout));
    ASSERT_TRUE(back.has_value());
    EXPECT_GE(*back, timeout);
    EXPECT_LE(*back - timeout, timeout / 1000 + Duration(1));
  }
  EXPECT_EQ(FormatTimeout(-5s), "1n");
}

TEST(Text, PercentEncodesAndBack) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = random.NextBytes(random.Below(50));
    std::string text = PercentEncode(bytes);
    for (char c : text) EXPECT_TRUE(c >= 0x20 && c <= 0x7e);
    EXPECT_EQ(PercentDecode(text), bytes);
    EXPECT_EQ(Base64Decode(Base64Encode(bytes)), bytes);
  }
  EXPECT_EQ(PercentEncode("a b%\n"), "a b%25%0A");
  EXPECT_EQ(PercentDecode("100%"), "100%");
  EXPECT_EQ(PercentDecode("%zz%4"), "%zz%4");
}

TEST(Text, ReadsBase64WithAndWithoutPadding) {
  EXPECT_EQ(Base64Encode("ab"), "YWI");
  EXPECT_EQ(Base64Decode("YWI="), "ab");
  EXPECT_EQ(Base64Decode("YWI"), "ab");
  EXPECT_EQ(Base64Decode("Y"), std::nullopt);
  EXPECT_EQ(Base64Decode("YW I"), std::nullopt);
}

TEST(Text, ReadsAddresses) {
  EXPECT_EQ(ParseAddress("[::1]:80")->host, "::1");
  EXPECT_EQ(ParseAddress("localhost:0")->port, "0");
  EXPECT_EQ(ParseAddress("unix:/a/b")->unix_path, "/a/b");
  for (const std::string& bad :
       {std::string(""), std::string("host"), std::string(":80"), std::string("h:x"),
        std::string("h:70000"), std::string("unix:"), "unix:" + std::string(200, 'p')}) {
    EXPECT_FALSE(ParseAddress(bad).has_value()) << bad;
  }
}

std::string Framed(std::string_view message, char flags = 0) {
  std::string out(1, flags);
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(message.size() >> shift));
  return out.append(message);
}

TEST(MessageReader, TakesMessagesInPartsOfAnySize) {
  std::string all =
      Framed("one") + Framed("") + Framed(std::string(1000, '3')) + Framed(Gzip("compressed"), 1);
  for (size_t step = 1; step <= all.size(); step += step < 20 ? 1 : 97) {
    MessageReader reader;
    reader.Configure(1000, Encoding::kGzip);
    std::vector<std::string> got;
    for (size_t at = 0; at < all.size(); at += step) {
      std::string_view chunk = std::string_view(all).substr(at, step);
      while (!chunk.empty()) {
        MessageReader::Message message;
        auto complete = reader.Next(chunk, message);
        ASSERT_TRUE(complete.has_value()) << complete.error().ToString();
        if (*complete) got.emplace_back(message.bytes.view());
      }
    }
    EXPECT_TRUE(reader.at_boundary());
    EXPECT_THAT(got, testing::ElementsAre("one", "", std::string(1000, '3'), "compressed"));
  }
}

TEST(MessageReader, RefusesWhatItMust) {
  auto code = [](const std::string& bytes, Encoding encoding) {
    MessageReader reader;
    reader.Configure(100, encoding);
    std::string_view chunk = bytes;
    MessageReader::Message message;
    auto result = reader.Next(chunk, message);
    return result ? Code::kOk : result.error().code();
  };
  EXPECT_EQ(code(Framed(std::string(100, 'x')), Encoding::kIdentity), Code::kOk);
  EXPECT_EQ(code(Framed(std::string(101, 'x')), Encoding::kIdentity), Code::kResourceExhausted);
  EXPECT_EQ(code(Framed("x", 2), Encoding::kGzip), Code::kInternal);
  EXPECT_EQ(code(Framed("x", 1), Encoding::kIdentity), Code::kInternal);
  EXPECT_EQ(code(Framed(Gzip(std::string(100, 'x')), 1), Encoding::kGzip), Code::kOk);
  EXPECT_EQ(code(Framed(Gzip(std::string(101, 'x')), 1), Encoding::kGzip),
            Code::kResourceExhausted);
  EXPECT_EQ(code(Framed("not gzip", 1), Encoding::kGzip), Code::kInternal);
  std::string cut = Gzip("hello");
  cut.resize(cut.size() - 4);
  EXPECT_EQ(code(Framed(cut, 1), Encoding::kGzip), Code::kInternal);
  EXPECT_EQ(code(Framed("", 1), Encoding::kGzip), Code::kInternal);
}

TEST(LoopTimers, FireInOrderAndCanBeMovedAndCancelled) {
  uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  Loop loop(SystemClock());
  Instant begin = SystemClock().Now();
  std::vector<int64_t> fired;
  std::vector<std::unique_ptr<Timer>> timers;
  size_t expected = 0;
  for (int i = 0; i < 500; ++i) {
    int64_t at = static_cast<int64_t>(random.Below(1000));
    timers.push_back(std::make_unique<Timer>([&fired, at] { fired.push_back(at); }));
    timers.back()->Set(loop, begin + std::chrono::hours(1));
    timers.back()->Set(loop, begin + std::chrono::microseconds(at));
  }
  for (auto& timer : timers) {
    if (random.OneIn(3)) {
      timer->Cancel();
    } else {
      ++expected;
    }
  }
  Timer stop([&] { loop.Stop(); });
  stop.Set(loop, begin + std::chrono::milliseconds(5));

  loop.Run();

  EXPECT_EQ(fired.size(), expected);
  EXPECT_TRUE(std::ranges::is_sorted(fired));
}

TEST(LoopPost, RunsWorkOfOtherThreadsInOrderAndDropsItAfterTheEnd) {
  auto loop = std::make_shared<Loop>(SystemClock());
  std::vector<int> ran;
  std::jthread poster([&] {
    for (int i = 0; i < 1000; ++i) loop->Post([&ran, i] { ran.push_back(i); });
    loop->Post([&] { loop->Stop(); });
  });
  loop->Run();
  poster.join();
  ASSERT_EQ(ran.size(), 1000u);
  EXPECT_TRUE(std::ranges::is_sorted(ran));
  auto held = std::make_shared<int>(1);
  loop->Post([held] { ADD_FAILURE(); });
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace lre::rpc
