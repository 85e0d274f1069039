#include "worker/patience.h"

#include <gmock/gmock.h>

#include "worker/fake_worker_setup.h"

namespace lre::worker {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

Status Away() { return Status(Code::kUnavailable, "connection refused"); }

TEST(Patience, DoesAStepAgainUntilTheServerIsBack) {
  Patience patience(SystemClock(), {.wait_min = milliseconds(1)}, {});
  int tries = 0;
  const Instant started = SystemClock().Now();

  Status status = patience.Do([&] { return ++tries < 5 ? Away() : Status(); });

  EXPECT_TRUE(status.ok());
  EXPECT_EQ(tries, 5);
  EXPECT_GE(SystemClock().Now() - started, milliseconds(1 + 2 + 4 + 8));
}

TEST(Patience, EndsWithItsBoundAndStartsAgainWithTheNextStep) {
  Patience patience(SystemClock(), {.away_max = milliseconds(20), .wait_min = milliseconds(1)}, {});
  int tries = 0;

  EXPECT_EQ(patience.Do([&] { return ++tries, Away(); }), Away());
  EXPECT_GT(tries, 1);
  tries = 0;
  EXPECT_TRUE(patience.Do([&] { return ++tries < 2 ? Away() : Status(); }).ok());
  EXPECT_EQ(tries, 2);
}

TEST(Patience, OtherErrorsAreAnswersAndNoneIsWaitedForWithoutABound) {
  Patience patience(SystemClock(), {}, {}), none(SystemClock(), {.away_max = Duration(0)}, {});
  int tries = 0;

  Status status = patience.Do([&] { return ++tries, Status(Code::kInternal, "broken"); });
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_EQ(none.Do([&] { return ++tries, Away(); }), Away());
  EXPECT_EQ(tries, 2);
}

TEST(Patience, AStopEndsTheWaiting) {
  std::stop_source stop;
  Patience patience(SystemClock(), {.away_max = std::chrono::hours(1)}, stop.get_token());

  Status status = patience.Do([&] { return stop.request_stop(), Away(); });

  EXPECT_EQ(status.code(), Code::kCancelled);
}

// A server that restarts: reads, finds and writes each fail so often before they work again.
class RestartingStore final : public store::BlobStore {
 public:
  explicit RestartingStore(store::BlobStore& base) : base_(base) {}
  void GoAway(int calls) { reads_ = finds_ = writes_ = calls; }
  int refused() const { return refused_; }

  Result<std::vector<uint32_t>> FindMissing(store::Partition partition,
                                            std::span<const Digest> digests) override {
    TRY(Answer(finds_));
    return base_.FindMissing(partition, digests);
  }
  Result<BytesList> Read(const store::BlobKey& key, store::ByteRange range) override {
    TRY(Answer(reads_));
    return base_.Read(key, range);
  }
  Result<std::unique_ptr<store::BlobWriter>> Write(const store::BlobKey& key) override {
    TRY(Answer(writes_));
    return base_.Write(key);
  }

 private:
  Status Answer(std::atomic<int>& left) {
    if (left.fetch_sub(1) <= 0) return {};
    ++refused_;
    return Away();
  }

  store::BlobStore& base_;
  std::atomic<int> reads_ = 0, finds_ = 0, writes_ = 0, refused_ = 0;
};

class RestartingServerTest : public WorkerSetupTest {
 protected:
  void Start(Duration away_max, int calls) {
    store_ = std::make_unique<RestartingStore>(setup_->cas);
    setup_->blobs = store_.get();
    setup_->Start({.patience = {.away_max = away_max, .wait_min = milliseconds(1)}});
    store_->GoAway(calls);
  }
  void TearDown() override { setup_.reset(); }

  std::unique_ptr<RestartingStore> store_;
};

TEST_F(RestartingServerTest, AnAttemptOutlivesTheServersRestartAtEveryOfItsCalls) {
  Start(std::chrono::hours(1), 4);

  v1::Report report = setup_->Run({.script = "cat in; cat in >out; head -c 4000000 in >large",
                                   .files = {{"in", std::string(5'000'000, 'x')}},
                                   .output_paths = {"out", "large"}});

  EXPECT_EQ(report.status().code(), 0) << report.DebugString();
  EXPECT_EQ(setup_->Output(report, "out").size(), 5'000'000u);
  EXPECT_EQ(setup_->Output(report, "large").size(), 4'000'000u);
  EXPECT_EQ(store_->refused(), 12);
}

TEST_F(RestartingServerTest, AServerThatStaysAwayIsTheWorkersFailure) {
  Start(milliseconds(30), 1'000'000);

  v1::Report report = setup_->Run({.script = "true", .files = {{"in", "x"}}});

  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kUnavailable));
  EXPECT_TRUE(report.retryable());
  EXPECT_FALSE(report.has_result());
}

TEST_F(RestartingServerTest, AnActionIsCancelledWhileItsWorkerWaits) {
  Start(std::chrono::hours(1), 1'000'000);
  v1::Assignment assignment = setup_->Assign({.script = "true", .files = {{"in", "x"}}});
  ASSERT_TRUE(setup_->server.NextOf(v1::FromWorker::kProgress));

  setup_->Cancel(assignment.attempt());

  v1::Report report = setup_->WaitForReport();
  EXPECT_EQ(report.status().code(), static_cast<int>(Code::kCancelled));
  EXPECT_FALSE(report.retryable());
}

}  // namespace
}  // namespace lre::worker
