// What a disk that misbehaves does to the store, errno by errno: what is refused says why, what is
// there is still read, and once the disk is well again so is the store.
#include <gmock/gmock.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <thread>

#include "base/file.h"
#include "base/random.h"
#include "store/fake_file_system.h"
#include "store/log_store.h"
#include "store/stress.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::SizeIs;

std::string TextOf(uint64_t i, size_t size = 10'000) { return Random(i).NextBytes(size); }
BlobKey KeyOf(std::string_view text) { return {ComputeDigest(DigestFunction::kSha256, text), 0}; }

class LogFaultsTest : public testing::Test {
 protected:
  LogFaultsTest() {
    EXPECT_EQ(Open(), Status());
    for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(PutText(TextOf(i)), Status());
    EXPECT_EQ(PutText(TextOf(5, 300'000)), Status());
  }
  Status Open() {
    store_.reset();
    TRY_ASSIGN(store_, OpenLogStore(clock_, options_));
    return {};
  }
  Status PutText(const std::string& text) { return Put(*store_, KeyOf(text), Bytes(text)); }
  // Every `operation` on a path with `part` in it fails as `error` does.
  void FailWith(int error, std::string operation, std::string part = "") {
    files_.SetFault([=](std::string_view what, const std::string& path) {
      bool hit = (operation.empty() ? what != "read" : what == operation) &&
                 path.find(part) != std::string::npos;
      return hit ? ErrnoStatus(error, std::string(what) + " " + path) : Status();
    });
  }
  void ExpectReadsWork() {
    for (uint64_t i = 0; i < 5; ++i) EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(i))), TextOf(i));
    EXPECT_TRUE(*ReadAll(*store_, KeyOf(TextOf(5, 300'000))) == TextOf(5, 300'000));
    EXPECT_TRUE(store_->FindMissing(0, {{KeyOf(TextOf(1)).digest}})->empty());
  }
  // Small and large, so that a new segment is wanted too.
  void ExpectWritesSay(std::string what) {
    Status large = PutText(TextOf(100, 400'000));
    EXPECT_THAT(large.message(), HasSubstr(what)) << large.ToString();
    EXPECT_FALSE(large.ok());
  }
  void ExpectAllWell() {
    files_.SetFault(nullptr);
    ExpectReadsWork();
    EXPECT_EQ(PutText(TextOf(200, 400'000)), Status());
    EXPECT_EQ(PutText(TextOf(201)), Status());
    EXPECT_EQ(store_->Sync(), Status());
    EXPECT_EQ(store_->Verify(), 0u);
    EXPECT_EQ(Open(), Status());
    ExpectReadsWork();
    EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(201))), TextOf(201));
  }

  TempDir dir_{StressDirectory()};
  FakeClock clock_;
  FakeFileSystem files_;
  LogStoreOptions options_{.directory = dir_ / "store",
                           .size_bytes_max = 8 << 20,
                           .segment_bytes = 256 << 10,
                           .lease = 0min,
                           .lease_min = 0min,
                           .background = false,
                           .files = &files_};
  std::unique_ptr<LogStore> store_;
};

TEST_F(LogFaultsTest, ADiskErrorWhileWritingIsSaidAndPasses) {
  FailWith(EIO, "write", "segments/");
  ExpectWritesSay("Input/output error");
  EXPECT_THAT(PutText(TextOf(101)).message(), HasSubstr("Input/output error"));
  ExpectReadsWork();
  FailWith(EIO, "write", "journal-");
  EXPECT_THAT(PutText(TextOf(102)).message(), HasSubstr("Input/output error"));
  EXPECT_FALSE(store_->FindMissing(0, {{KeyOf(TextOf(102)).digest}})->empty());
  ExpectReadsWork();
  ExpectAllWell();
}

TEST_F(LogFaultsTest, AFullDiskIsResourceExhausted) {
  for (std::string operation : {"write", "allocate", "open"}) {
    FailWith(ENOSPC, operation);
    Status status = PutText(TextOf(100, 400'000));
    EXPECT_EQ(status.code(), Code::kResourceExhausted) << operation;
    EXPECT_THAT(status.message(), HasSubstr("No space left on device")) << operation;
    ExpectReadsWork();
  }
  FailWith(ENOSPC, "write", "journal-");
  // The mark of a sync does not fit: what is synced is synced, and the next one tries again.
  ASSERT_FALSE(store_->Sync().ok());
  ExpectAllWell();
}

TEST_F(LogFaultsTest, BatchesAndValuesAreRefusedAsSingleBlobsAreAndGoOnAfterwards) {
  ASSERT_EQ(store_->PutValue("kept", "value"), Status());
  const std::string bad = "not what the digest says", first = TextOf(1), one = TextOf(301),
                    two = TextOf(302);
  const std::vector<std::pair<Digest, Bytes>> batch = {{KeyOf(one).digest, Bytes(one)},
                                                       {KeyOf("other").digest, Bytes(bad)},
                                                       {KeyOf(first).digest, Bytes(first)},
                                                       {KeyOf(two).digest, Bytes(two)}};
  for (auto [error, code] : {std::pair(ENOSPC, Code::kResourceExhausted),
                             {EIO, Status(ErrnoStatus(EIO, "")).code()},
                             {EROFS, Status(ErrnoStatus(EROFS, "")).code()}}) {
    FailWith(error, "write");
    auto tried = store_->TryPutMany(0, batch, false);
    ASSERT_TRUE(tried.has_value());
    for (const std::vector<Status>& answers : {*tried, store_->PutMany(0, batch)}) {
      ASSERT_THAT(answers, SizeIs(4));
      EXPECT_EQ(answers[0].code(), code) << error;
      EXPECT_EQ(answers[1].code(), Code::kInvalidArgument) << "whatever the disk does";
      EXPECT_EQ(answers[2], Status()) << "it is there";
      EXPECT_EQ(answers[3].code(), code) << error;
    }
    EXPECT_EQ(store_->PutValue("new", "value").code(), code) << error;
    EXPECT_EQ(store_->GetValue("kept")->view(), "value");
    ExpectReadsWork();
    EXPECT_EQ(store_->FindMissing(0, {{KeyOf(one).digest, KeyOf(two).digest}})->size(), 2u);
  }
  files_.SetFault(nullptr);
  EXPECT_EQ(store_->PutMany(0, batch)[0], Status());
  EXPECT_EQ(ReadAll(*store_, KeyOf(two)), two);
  ExpectAllWell();
}

TEST_F(LogFaultsTest, ADiskThatBecomesReadOnlyRefusesWritesAndReadsGoOn) {
  FailWith(EROFS, "");
  ExpectWritesSay("Read-only file system");
  EXPECT_FALSE(PutText(TextOf(101)).ok());
  EXPECT_FALSE(store_->PutValue("key", "value").ok());
  EXPECT_FALSE(store_->Recycle(1).ok());
  Digest digest = KeyOf(TextOf(1)).digest;
  EXPECT_FALSE(store_->SetPin({.name = "tool"}, 0, {&digest, 1}).ok());
  ExpectReadsWork();
  store_.reset();

  Status opened = Open();

  EXPECT_THAT(opened.message(), HasSubstr("Read-only file system"));
  files_.SetFault(nullptr);
  ASSERT_EQ(Open(), Status());
  ExpectAllWell();
}

TEST_F(LogFaultsTest, TooManyOpenFilesAreSaidAndLoseNothing) {
  FailWith(EMFILE, "open");
  ExpectWritesSay("Too many open files");
  EXPECT_EQ(PutText(TextOf(101)), Status()) << "no file is needed for it";
  ExpectReadsWork();
  // At a start, too: a segment that cannot be opened is not a segment that is damaged.
  files_.SetFault(nullptr);
  store_.reset();
  size_t before = SystemFiles().List(dir_ / "store/segments")->size();
  FailWith(EMFILE, "open", ".seg");
  EXPECT_THAT(Open().message(), HasSubstr("Too many open files"));
  EXPECT_THAT(*SystemFiles().List(dir_ / "store/segments"), SizeIs(before));
  FailWith(EMFILE, "open", "journal-");
  EXPECT_THAT(Open().message(), HasSubstr("Too many open files"));
  files_.SetFault(nullptr);
  ASSERT_EQ(Open(), Status());
  ExpectAllWell();
}

TEST_F(LogFaultsTest, BytesThatTheDiskDoesNotGiveAreAbsentAndCounted) {
  ASSERT_EQ(Open(), Status());
  FailWith(EIO, "read", ".seg");

  EXPECT_EQ(ToStatus(store_->Read(KeyOf(TextOf(1)), {})).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(store_->Read(KeyOf(TextOf(5, 300'000)), {})).code(), Code::kNotFound);

  files_.SetFault(nullptr);
  EXPECT_EQ(store_->Stats().damaged, 2u);
  EXPECT_EQ(store_->FindMissing(0, {{KeyOf(TextOf(1)).digest, KeyOf(TextOf(2)).digest}})->size(),
            1u);
  EXPECT_EQ(ReadAll(*store_, KeyOf(TextOf(2))), TextOf(2));
  ASSERT_EQ(PutText(TextOf(1)), Status());
  ASSERT_EQ(PutText(TextOf(5, 300'000)), Status());
  ExpectAllWell();
}

TEST_F(LogFaultsTest, RecyclingThatFailsHalfwayLosesNothing) {
  std::string used = TextOf(50);
  ASSERT_EQ(PutText(used), Status());
  for (uint64_t i = 1000; i < 1500; ++i) {
    clock_.Advance(4min);
    ASSERT_EQ(PutText(TextOf(i)), Status());
    ASSERT_EQ(ReadAll(*store_, KeyOf(used)), used);
  }
  uint64_t seen = 0;
  for (std::string operation : {"write", "sync_directory", "remove"}) {
    FailWith(EIO, operation, "segments");
    seen += store_->Recycle(1 << 20).ok() ? 0 : 1;
    files_.SetFault(nullptr);
    ASSERT_EQ(ReadAll(*store_, KeyOf(used)), used) << operation;
    ASSERT_EQ(store_->Verify(), 0u) << operation;
    if (PutText(TextOf(60)).code() != Code::kUnavailable) continue;
    ASSERT_EQ(Open(), Status()) << "a directory that could not be synced waits for a restart";
  }
  EXPECT_GT(seen, 1u);
  for (uint64_t i = 2000; i < 3000; ++i) {
    clock_.Advance(4min);
    ASSERT_EQ(PutText(TextOf(i)), Status()) << i;
  }
  EXPECT_LE(store_->Stats().used_bytes, options_.size_bytes_max);
  EXPECT_EQ(store_->Verify(), 0u);
}

TEST_F(LogFaultsTest, ASyncThatFailedIsNeverTakenBack) {
  FailWith(EIO, "sync", "segments/");
  EXPECT_THAT(store_->Sync().message(), HasSubstr("Input/output error"));
  files_.SetFault(nullptr);

  EXPECT_EQ(PutText(TextOf(101)).code(), Code::kUnavailable);
  EXPECT_THAT(PutText(TextOf(101)).message(), HasSubstr("until a restart"));
  EXPECT_FALSE(store_->Sync().ok());
  ExpectReadsWork();
  ASSERT_EQ(Open(), Status());
  ExpectAllWell();
}

TEST_F(LogFaultsTest, AFinderWaitsForNoWriterAndItsTouchIsJournalledAllTheSame) {
  options_.directory = dir_ / "second";
  options_.lease = 3h;
  options_.sync_interval = 24h;
  options_.scrub_bytes_per_second = 0;
  options_.background = true;
  ASSERT_EQ(Open(), Status());
  ASSERT_EQ(PutText("found"), Status());
  clock_.Advance(1h);
  std::promise<void> writing, go_on;
  std::atomic<bool> first{true};
  files_.SetFault([&](std::string_view what, const std::string& path) {
    if (what != "write" || path.find("journal-") == std::string::npos || !first.exchange(false))
      return Status();
    writing.set_value();
    go_on.get_future().wait();
    return Status();
  });
  std::thread writer([&] { EXPECT_EQ(PutText("written"), Status()); });
  writing.get_future().wait();

  auto found = std::async(std::launch::async,
                          [&] { return store_->TryFindMissing(0, {{KeyOf("found").digest}}); });

  bool waited = found.wait_for(60s) != std::future_status::ready;
  go_on.set_value();
  writer.join();
  EXPECT_FALSE(waited);
  auto missing = found.get();
  EXPECT_TRUE(missing && *missing && (*missing)->empty());
  files_.SetFault(nullptr);
  std::string journal;
  std::vector<std::string> names = *SystemFiles().List(options_.directory);
  for (const std::string& name : names)
    if (name.starts_with("journal-")) journal = options_.directory + "/" + name;
  EXPECT_EQ(ReadFile(journal)->size(), 64 + 3 * 40u) << "put, put, touch";
}

TEST_F(LogFaultsTest, TheKernelsBootIdTellsAnotherBoot) {
  options_.boot_id = "this";
  options_.directory = dir_ / "second";
  ASSERT_EQ(Open(), Status());
  ASSERT_EQ(PutText("synced"), Status());
  ASSERT_EQ(store_->Sync(), Status());
  ASSERT_EQ(PutText("not synced"), Status());
  uint64_t seed = std::random_device()();
  Random random(seed);
  files_.LosePower(dir_ / "second", dir_ / "third", random);
  options_.directory = dir_ / "third";
  options_.boot_id = "";  // then the kernel's, which is not `this`

  ASSERT_EQ(Open(), Status()) << "seed " << seed;

  EXPECT_TRUE(store_->FindMissing(0, {{KeyOf("synced").digest}})->empty()) << "seed " << seed;
  EXPECT_FALSE(store_->FindMissing(0, {{KeyOf("not synced").digest}})->empty()) << "seed " << seed;
}

}  // namespace
}  // namespace lre::store
