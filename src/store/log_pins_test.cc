// What keeps blobs beyond least recent use: pins, leases under either policy; and what a refused
// writer is told.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "reapi/error_details.h"
#include "store/fake_file_system.h"
#include "store/lease_holder.h"
#include "store/lease_ledger.h"
#include "store/log_store.h"
#include "store/stress.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LogPinsTest : public testing::Test {
 protected:
  LogPinsTest() { Open(); }
  void Open() {
    store_.reset();
    auto opened = OpenLogStore(clock_, options_);
    ASSERT_TRUE(opened) << opened.error().ToString();
    store_ = std::move(*opened);
  }
  static std::string TextOf(uint64_t i) { return Random(i).NextBytes(10'000); }
  Digest Add(uint64_t i) {
    std::string text = TextOf(i);
    Digest digest = ComputeDigest(DigestFunction::kSha256, text);
    EXPECT_EQ(Put(*store_, {digest, 0}, Bytes(text)), Status());
    return digest;
  }
  // Writes twice what fits.
  void Churn() {
    for (int i = 0; i < 900; ++i) {
      clock_.Advance(1min);
      Add(next_++);
    }
  }
  size_t Missing(const std::vector<Digest>& digests) {
    return store_->FindMissing(0, digests)->size();
  }
  Status SetPin(const std::string& name, std::vector<Digest> digests,
                WallTime until = WallTime::max()) {
    return store_->SetPin({.name = name, .until = until}, 0, digests);
  }

  TempDir dir_{StressDirectory()};
  FakeClock clock_;
  FakeFileSystem files_;
  LogStoreOptions options_{.directory = dir_ / "store",
                           .size_bytes_max = 4 << 20,
                           .segment_bytes = 128 << 10,
                           .lease = 0min,
                           .lease_min = 0min,
                           .pins_max = 3,
                           .pinned_blobs_max = 150,
                           .background = false,
                           .files = &files_};
  std::unique_ptr<LogStore> store_;
  uint64_t next_ = 1'000'000;
};

TEST_F(LogPinsTest, WhatIsPinnedOutlivesEverythingElseUntilThePinIsRemoved) {
  std::vector<Digest> pinned, free;
  for (uint64_t i = 0; i < 50; ++i) pinned.push_back(Add(i));
  for (uint64_t i = 100; i < 150; ++i) free.push_back(Add(i));
  ASSERT_EQ(SetPin("tool", pinned), Status());

  Churn();
  Open();
  Churn();

  EXPECT_GT(Missing(free), 30u) << "some may lie beside pinned ones";
  EXPECT_EQ(Missing(pinned), 0u);
  EXPECT_EQ(ReadAll(*store_, {pinned[7], 0}), TextOf(7));
  ASSERT_THAT(store_->Pins(), SizeIs(1));
  EXPECT_EQ(store_->Pins()[0].name, "tool");
  EXPECT_EQ(store_->Pins()[0].blobs, 50u);
  EXPECT_EQ(store_->Pins()[0].size_bytes, 500'000u);
  EXPECT_EQ(store_->Pins()[0].until, WallTime::max());
  ASSERT_EQ(store_->RemovePin("tool"), Status());
  ASSERT_EQ(store_->RemovePin("tool"), Status());
  Churn();
  EXPECT_EQ(Missing(pinned), 50u);
  Open();
  EXPECT_THAT(store_->Pins(), IsEmpty());
}

TEST_F(LogPinsTest, APinEndsWhenItsTimeHasCome) {
  std::vector<Digest> pinned = {Add(1)};
  ASSERT_EQ(SetPin("asset", pinned, clock_.WallNow() + 24h), Status());

  Churn();
  EXPECT_EQ(Missing(pinned), 0u);
  Open();
  ASSERT_THAT(store_->Pins(), SizeIs(1));
  clock_.Advance(24h);
  EXPECT_THAT(store_->Pins(), IsEmpty());
  Churn();

  EXPECT_EQ(Missing(pinned), 1u);
  EXPECT_THAT(*SystemFiles().List(dir_ / "store/pins"), IsEmpty());
}

TEST_F(LogPinsTest, PinsAreBoundedInBytesBlobsAndNumber) {
  std::vector<Digest> many, some;
  for (uint64_t i = 0; i < 151; ++i) many.push_back(Add(i));
  EXPECT_EQ(SetPin("many", many).code(), Code::kResourceExhausted) << "blobs";
  many.pop_back();
  EXPECT_EQ(SetPin("many", many), Status());
  EXPECT_EQ(SetPin("one", {many[0]}).code(), Code::kResourceExhausted);
  some.assign(many.begin(), many.begin() + 40);
  EXPECT_EQ(SetPin("many", some), Status()) << "the new one of a name replaces the old";
  for (std::string name : {"two", "three"}) EXPECT_EQ(SetPin(name, {many[0]}), Status());
  EXPECT_EQ(SetPin("four", {many[0]}).code(), Code::kResourceExhausted) << "names";
  EXPECT_EQ(store_->RemovePin("two"), Status());
  std::string large = Random(1).NextBytes(1'900'000);
  Digest digest = ComputeDigest(DigestFunction::kSha256, large);
  ASSERT_EQ(Put(*store_, {digest, 0}, Bytes(large)), Status());
  EXPECT_THAT(SetPin("large", {digest}).message(), HasSubstr("bytes")) << "half of the store";

  EXPECT_EQ(SetPin("absent", {ComputeDigest(DigestFunction::kSha256, "absent")}).code(),
            Code::kNotFound);
  EXPECT_EQ(SetPin("", {}).code(), Code::kInvalidArgument);
  EXPECT_THAT(store_->Pins(), SizeIs(2));
}

TEST_F(LogPinsTest, APinIsOnTheDiskOnceItIsAcknowledged) {
  uint64_t seed = std::random_device()();
  Random random(seed);
  std::vector<Digest> pinned = {Add(1), Add(2)};
  ASSERT_EQ(SetPin("tool", pinned), Status());
  files_.LosePower(dir_ / "store", dir_ / "after", random);
  options_.directory = dir_ / "after";
  options_.boot_id = "another";

  Open();

  EXPECT_THAT(store_->Pins(), SizeIs(1)) << "seed " << seed;
  EXPECT_EQ(Missing(pinned), 0u) << "seed " << seed;
}

TEST_F(LogPinsTest, APinThatCannotBeWrittenIsNotThere) {
  std::vector<Digest> pinned = {Add(1)};
  for (std::string operation : {"write", "sync", "rename"}) {
    files_.SetFault([&](std::string_view what, const std::string& path) {
      bool hit = what == operation && path.find("/pins/") != std::string::npos;
      return hit ? Status(Code::kResourceExhausted, "no space") : Status();
    });
    EXPECT_EQ(SetPin("tool", pinned).code(), Code::kResourceExhausted) << operation;
    files_.SetFault(nullptr);
    EXPECT_THAT(store_->Pins(), IsEmpty());
    EXPECT_THAT(*SystemFiles().List(dir_ / "store/pins"), IsEmpty());
  }
  EXPECT_EQ(SetPin("tool", pinned), Status());
}

TEST_F(LogPinsTest, ADamagedPinIsLeftOut) {
  ASSERT_EQ(SetPin("tool", {Add(1)}), Status());
  ASSERT_EQ(SetPin("fine", {Add(2)}), Status());
  store_.reset();
  std::string name = SystemFiles().List(dir_ / "store/pins")->front();
  std::fstream(dir_ / "store/pins/" + name, std::ios::in | std::ios::out).seekp(70).put('?');

  Open();

  EXPECT_THAT(store_->Pins(), SizeIs(1));
}

TEST_F(LogPinsTest, ARefusedWriterIsToldWhenToComeAgain) {
  options_.lease = options_.lease_min = 20min;
  Open();
  Status status;
  for (uint64_t i = 0; i < 1000 && status.ok(); ++i) {
    std::string text = TextOf(i);
    status = Put(*store_, {ComputeDigest(DigestFunction::kSha256, text), 0}, Bytes(text));
  }

  ASSERT_EQ(status.code(), Code::kResourceExhausted);
  google::rpc::Status details;
  google::rpc::RetryInfo info;
  ASSERT_TRUE(details.ParseFromString(status.details()));
  ASSERT_EQ(details.details_size(), 1);
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.retry_delay().seconds(), 300) << "never longer than five minutes";
  clock_.Advance(24min);
  std::string text = TextOf(5000);
  status = Put(*store_, {ComputeDigest(DigestFunction::kSha256, text), 0}, Bytes(text));
  ASSERT_EQ(status.code(), Code::kResourceExhausted);
  ASSERT_TRUE(details.ParseFromString(status.details()));
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.retry_delay().seconds(), 240) << "one tick of four minutes is left";
  clock_.Advance(8min);
  EXPECT_EQ(Put(*store_, {ComputeDigest(DigestFunction::kSha256, text), 0}, Bytes(text)), Status());
}

TEST_F(LogPinsTest, StrictLeasesDoNotShrink) {
  options_.lease = 3h;
  options_.lease_min = 15min;
  options_.lease_policy = LeasePolicy::kStrict;
  Open();
  auto put = [&](uint64_t i) {
    std::string text = TextOf(i);
    return Put(*store_, {ComputeDigest(DigestFunction::kSha256, text), 0}, Bytes(text));
  };
  uint64_t taken = 0;
  while (taken < 1000 && put(taken).ok()) ++taken;
  clock_.Advance(150min);
  EXPECT_EQ(put(2000).code(), Code::kResourceExhausted) << "under kShrink this fits";

  clock_.Advance(1h);
  EXPECT_EQ(put(2000), Status());
}

class LeaseShareTest : public LogPinsTest {
 protected:
  LeaseShareTest() {
    options_.size_bytes_max = 16 << 20;
    options_.segment_bytes = 1 << 20;
    options_.lease = 3h;
    options_.lease_min = 15min;
    options_.lease_share_percent = 25;
    Open();
  }
  // As many blobs of 10,000 bytes as `identity` may write; the last answer.
  Status Fill(std::string identity, uint64_t* taken) {
    LeaseHolder scope(identity);
    for (*taken = 0;; ++*taken) {
      std::string text = TextOf(next_++);
      Digest digest = ComputeDigest(DigestFunction::kSha256, text);
      Status status = Put(*store_, {digest, 0}, Bytes(text));
      if (!status.ok()) return status;
      last_.push_back(digest);
    }
  }
  static Duration RetryAfter(const Status& status) {
    google::rpc::Status details;
    google::rpc::RetryInfo info;
    EXPECT_TRUE(details.ParseFromString(status.details()));
    EXPECT_TRUE(details.details_size() == 1 && details.details(0).UnpackTo(&info));
    return std::chrono::seconds(info.retry_delay().seconds());
  }
  std::vector<Digest> last_;
};

TEST_F(LeaseShareTest, OneIdentityCannotFillTheStoreAndOthersGoOn) {
  uint64_t taken = 0;
  Status status = Fill("greedy", &taken);

  EXPECT_EQ(status.code(), Code::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("`greedy` holds"));
  EXPECT_NEAR(static_cast<double>(taken), (16 << 20) / 4 / 10'000, 20);
  EXPECT_EQ(RetryAfter(status), 5min);
  {
    LeaseHolder scope("greedy");
    std::string text = "small";
    BlobKey key{ComputeDigest(DigestFunction::kSha256, text), 0};
    std::pair<Digest, Bytes> batch(key.digest, Bytes(text));
    EXPECT_TRUE(store_->TryPut(key, Bytes(text), true)->ok()) << "what fits still fits";
    std::string large = Random(1).NextBytes(400'000);
    key.digest = ComputeDigest(DigestFunction::kSha256, large);
    EXPECT_EQ(Put(*store_, key, Bytes(large)).code(), Code::kResourceExhausted);
    batch = {key.digest, Bytes(large)};
    EXPECT_EQ(store_->PutMany(0, {&batch, 1})[0].code(), Code::kResourceExhausted);
    EXPECT_EQ(store_->PutValue("key", large).code(), Code::kResourceExhausted);
    EXPECT_EQ(Missing(last_), 0u) << "nothing is taken away";
  }
  EXPECT_EQ(Fill("modest", &taken).code(), Code::kResourceExhausted);
  EXPECT_GT(taken, 350u);
  EXPECT_EQ(Fill("", &taken).code(), Code::kResourceExhausted);
  EXPECT_GT(taken, 350u) << "those without a name share one";
}

TEST_F(LeaseShareTest, LeasesThatEndMakeRoomAndRenewedOnesDoNot) {
  uint64_t taken = 0;
  ASSERT_EQ(Fill("a", &taken).code(), Code::kResourceExhausted);
  uint64_t whole = taken;
  clock_.Advance(2h);
  {
    LeaseHolder scope("a");
    ASSERT_EQ(store_->FindMissing(0, std::span(last_).first(whole / 2))->size(), 0u);
  }
  Status status = Fill("a", &taken);
  EXPECT_EQ(taken, 0u);
  clock_.Advance(84min);  // the lease and its rounding

  status = Fill("a", &taken);

  EXPECT_NEAR(static_cast<double>(taken), static_cast<double>(whole) / 2, 25);
  // What another has renewed is the other's.
  ASSERT_EQ(RetryAfter(status), 5min);
  clock_.Advance(20min);
  {
    LeaseHolder scope("b");
    ASSERT_EQ(store_->FindMissing(0, last_)->size(), 0u);
  }
  EXPECT_EQ(Fill("a", &taken).code(), Code::kResourceExhausted);
  EXPECT_GT(taken, whole - 50);
}

TEST(LeaseLedger, SamplesSmallBlobsAndIsRightOnTheWhole) {
  uint64_t seed = std::random_device()();
  Random random(seed);
  LeaseLedger ledger(1ull << 40);  // of which a sample stands for 16 MiB
  uint64_t total = 0, counted = 0;
  for (int i = 0; i < 400'000; ++i) {
    uint64_t bytes = random.OneIn(100) ? random.Below(64 << 20) : random.Below(400'000);
    LogKey key{random.Next(), random.Next()};
    total += bytes;
    counted += ledger.Counts(key, bytes);
    ledger.Note(i % 2 == 0 ? "even" : "odd", key, bytes, 100 + static_cast<uint32_t>(i % 10));
  }
  EXPECT_LT(counted, 25'000u);
  auto even = ledger.HeldBy("even", 0), odd = ledger.HeldBy("odd", 0);
  EXPECT_NEAR(static_cast<double>(even.bytes + odd.bytes), static_cast<double>(total),
              static_cast<double>(total) / 20)
      << "seed " << seed;
  EXPECT_EQ(odd.oldest_tick, 101u);
  EXPECT_EQ(ledger.HeldBy("odd", 103).oldest_tick, 103u);
  EXPECT_EQ(ledger.HeldBy("even", 200).bytes, 0u);
  EXPECT_EQ(ledger.HeldBy("nobody", 0).bytes, 0u);
}

TEST_F(LogPinsTest, TheScrubFindsDamageInTheBackground) {
  Digest damaged = Add(1);
  Add(2);
  store_.reset();
  std::string segment =
      dir_ / "store/segments/" + SystemFiles().List(dir_ / "store/segments")->front();
  std::string bytes = *ReadFile(segment);
  size_t at = bytes.find(TextOf(1).substr(0, 100));
  ASSERT_NE(at, std::string::npos);
  std::fstream(segment, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(at + 5000))
      .put(static_cast<char>(~TextOf(1)[5000]));
  options_.background = true;
  options_.scrub_interval = 100ms;
  Open();

  auto deadline = std::chrono::steady_clock::now() + 60s;
  // The damage is counted at once, the bytes when the pass ends.
  auto scrubbed = [&] { return store_->Stats().damaged > 0 && store_->Stats().scrubbed_bytes > 0; };
  while (!scrubbed() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();

  EXPECT_EQ(store_->Stats().damaged, 1u);
  EXPECT_EQ(Missing({damaged}), 1u);
  EXPECT_GT(store_->Stats().scrubbed_bytes, 0u);
}

}  // namespace
}  // namespace lre::store
