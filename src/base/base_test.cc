// Tests of the small pieces in base; larger ones have a test file of their own.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/quantity.h"
#include "base/subprocess.h"
#include "base/thread_pool.h"

namespace lre {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Error(Code::kInvalidArgument, "{} is odd", n);
  return n / 2;
}
Result<int> Quarter(int n) {
  TRY_ASSIGN(int half, Half(n));
  return Half(half);
}
Status CheckQuarter(int n) {
  TRY(Quarter(n));
  return {};
}

TEST(StatusTest, TryPassesTheFirstErrorOn) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(6).error().ToString(), "INVALID_ARGUMENT: 3 is odd");
  EXPECT_EQ(CheckQuarter(7).message(), "7 is odd");
  EXPECT_TRUE(CheckQuarter(4).ok());
}

TEST(StatusTest, ErrnoGivesTheGrpcCode) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write /x").ToString(),
            "RESOURCE_EXHAUSTED: write /x: No space left on device");
}

TEST(BytesTest, SlicesKeepTheOwnerAlive) {
  Bytes slice;
  {
    Bytes whole(std::string("a long enough string to live on the heap"));
    slice = whole.Slice(2, 4);
  }

  EXPECT_EQ(slice.view(), "long");
  EXPECT_EQ(slice.Slice(9).size(), 0u);
}

TEST(HexTest, RefusesUpperCaseAndOddLengths) {
  char out[4];

  EXPECT_EQ(HexEncode("\x01\xfe"), "01fe");
  EXPECT_TRUE(HexDecodeTo("01fe", out));
  EXPECT_FALSE(HexDecodeTo("01FE", out));
  EXPECT_FALSE(HexDecodeTo("01f", out));
}

TEST(JsonTextTest, QuotesControlCharactersAndBadUtf8) {
  EXPECT_EQ(JsonQuote("a\"b\n\x01\xff\xc3\xa9"), "\"a\\\"b\\n\\u0001\\ufffd\xc3\xa9\"");
}

TEST(LogTest, WritesFieldsInOrderWithTheirTypes) {
  EXPECT_EQ(
      FormatLogLine(kWarning, "worker_lost", {{"worker", "w1"}, {"silent_ms", 5}, {"ok", true}}),
      "{\"level\":\"warning\",\"event\":\"worker_lost\",\"worker\":\"w1\",\"silent_ms\":5,"
      "\"ok\":true}\n");
}

TEST(QuantityTest, ParsesUnitsAndRefusesBareNumbers) {
  EXPECT_EQ(ParseSize("10GiB").value(), 10ull << 30);
  EXPECT_EQ(ParseSize("0").value(), 0u);
  EXPECT_EQ(ParseSize("10").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(ParseDuration("1.5s").value(), std::chrono::milliseconds(1500));
  EXPECT_FALSE(ParseDuration("-1s").has_value());
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
}

TEST(FileTest, WriteAtomicallyReplacesAndSetsTheMode) {
  TempDir dir;
  umask(077);

  ASSERT_TRUE(WriteFileAtomically(dir / "f", "old").ok());
  ASSERT_TRUE(WriteFileAtomically(dir / "f", "new", 0444).ok());

  EXPECT_EQ(ReadFile(dir / "f").value(), "new");
  struct stat info;
  ASSERT_EQ(stat((dir / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0444u);
  EXPECT_EQ(SystemFiles().List(dir.path()).value(), std::vector<std::string>{"f"});
}

TEST(FileTest, RemoveTreeTakesReadOnlyDirectoriesAndLeavesLinkTargets) {
  TempDir dir;
  ASSERT_TRUE(SystemFiles().MakeDirectories(dir / "tree/sub").ok());
  ASSERT_TRUE(WriteFileAtomically(dir / "tree/sub/f", "x").ok());
  ASSERT_TRUE(WriteFileAtomically(dir / "keep", "x").ok());
  ASSERT_EQ(symlink((dir / "keep").c_str(), (dir / "tree/link").c_str()), 0);
  ASSERT_EQ(chmod((dir / "tree/sub").c_str(), 0500), 0);

  EXPECT_TRUE(RemoveTree(dir / "tree").ok());

  EXPECT_FALSE(FileExists(dir / "tree"));
  EXPECT_TRUE(FileExists(dir / "keep"));
}

TEST(FileTest, WritesManyPiecesInOrder) {
  TempDir dir;
  auto file = SystemFiles().Open(dir / "f", OpenMode::kCreate).value();
  BytesList pieces;
  std::string expected;
  for (int i = 0; i < 150; ++i) {
    pieces.push_back(Bytes(std::to_string(i)));
    expected += std::to_string(i);
  }

  ASSERT_TRUE(file->WriteAt(pieces, 0).ok());

  EXPECT_EQ(ReadFile(dir / "f").value(), expected);
}

TEST(MailboxTest, RefusesBeyondItsBoundAndDrainsAfterClose) {
  Mailbox<int> mailbox(1);

  EXPECT_TRUE(mailbox.TryPush(1));
  EXPECT_FALSE(mailbox.TryPush(2));
  mailbox.Close();

  EXPECT_EQ(mailbox.Pop({}), 1);
  EXPECT_EQ(mailbox.Pop({}), std::nullopt);
}

TEST(ThreadPoolTest, FinishesAcceptedWorkBeforeItStops) {
  std::atomic<int> done = 0;
  ThreadPool pool({.threads = 2});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.TryRun([&] { ++done; }));

  pool.Stop();

  EXPECT_EQ(done, 100);
}

TEST(SubprocessTest, GivesInputAndReturnsBothStreamsAndTheCode) {
  auto result =
      RunSubprocess({.arguments = {"sh", "-c", "cat; echo e >&2; exit 3"}, .input = "hello"});

  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->output, "hello");
  EXPECT_EQ(result->error_output, "e\n");
  EXPECT_EQ(result->exit_code, 3);
}

TEST(SubprocessTest, KillsAtTheTimeout) {
  auto result =
      RunSubprocess({.arguments = {"sleep", "60"}, .timeout = std::chrono::milliseconds(20)});

  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
}

TEST(MetricsTest, PrintsFamiliesSorted) {
  Metrics metrics;
  metrics.AddCounter("b_total", "bees", "kind=\"x\"").Add(2);
  metrics.AddGauge("a_bytes", "ays").Set(-1);

  EXPECT_EQ(metrics.Print(),
            "# HELP a_bytes ays\n# TYPE a_bytes gauge\na_bytes -1\n"
            "# HELP b_total bees\n# TYPE b_total counter\nb_total{kind=\"x\"} 2\n");
}

}  // namespace
}  // namespace lre
