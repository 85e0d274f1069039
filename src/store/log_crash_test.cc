// What survives: a killed process, a power loss, a disk that gives errors.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <set>
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

// Every third can be compressed.
std::string TextOf(uint64_t i) {
  std::string text = Random(i).NextBytes(1 + i * 7919 % 60'000);
  if (i % 3 == 0)
    for (size_t at = 200; at < text.size(); ++at) text[at] = text[at - 150];
  return text;
}
BlobKey KeyOf(std::string_view text) { return {ComputeDigest(DigestFunction::kSha256, text), 0}; }
Status PutText(BlobStore& store, const std::string& text) {
  return Put(store, KeyOf(text), Bytes(text));
}

LogStoreOptions Options(const std::string& directory) {
  return {.directory = directory,
          .size_bytes_max = 512 << 20,
          .segment_bytes = 1 << 20,
          .sync_interval = 5ms,
          .checkpoint_interval_bytes = 4000};
}

// Writes until it is killed and tells `pipe` the number of each blob once it is acknowledged.
[[noreturn]] void WriteForEver(const std::string& directory, int pipe, uint64_t first) {
  auto store = OpenLogStore(SystemClock(), Options(directory));
  if (!store) _exit(1);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = first + t;; i += 2) {
        std::string text = TextOf(i);
        Status status = i % 5 == 0 ? (*store)->PutValue("key" + std::to_string(i), text)
                                   : PutText(**store, text);
        if (!status.ok() || write(pipe, &i, sizeof i) != sizeof i) _exit(2);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  _exit(3);
}

TEST(LogStoreKill, EveryAcknowledgedBlobReadsBackAfterKill9) {
  TempDir dir(StressDirectory());
  uint64_t seed = std::random_device()();
  Random random(seed);
  std::vector<uint64_t> acknowledged;
  for (int round = 0; round < StressSize(6, 60); ++round) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(fds[0]);
      WriteForEver(dir / "store", fds[1], static_cast<uint64_t>(round) * 1'000'000);
    }
    close(fds[1]);
    // Killed after so many answers and some instructions more.
    uint64_t number = 0, wanted = random.Below(150);
    for (uint64_t i = 0; i <= wanted && read(fds[0], &number, sizeof number) == sizeof number; ++i)
      acknowledged.push_back(number);
    for (uint64_t spin = random.Below(200'000); spin > 0; --spin) asm volatile("");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    // What was acknowledged before the kill is in the pipe.
    while (read(fds[0], &number, sizeof number) == sizeof number) acknowledged.push_back(number);
    close(fds[0]);

    auto store = OpenLogStore(SystemClock(), Options(dir / "store"));
    ASSERT_TRUE(store) << store.error().ToString() << " seed " << seed;
    for (uint64_t i : acknowledged) {
      if (i % 5 == 0) {
        auto value = (*store)->GetValue("key" + std::to_string(i));
        ASSERT_TRUE(value && value->view() == TextOf(i)) << "value " << i << " seed " << seed;
      } else {
        ASSERT_EQ(ReadAll(**store, KeyOf(TextOf(i))), TextOf(i)) << "seed " << seed;
      }
    }
    ASSERT_EQ((*store)->Verify(), 0u) << "seed " << seed;
  }
  EXPECT_GT(acknowledged.size(), 6u);
}

// Seen to fail, in nearly every run of four seeds, without each of: the sync of the segments, of
// their directory, of the journal or of a checkpoint; the sync between carrying and unlinking; the
// sync of what came while a checkpoint was written, and of the directory before older journals go;
// the look at the boot id when a journal is replayed.
TEST(LogStorePowerLoss, WhatWasSyncedIsThereAndNothingThatIsThereIsWrong) {
  uint64_t first = std::random_device()();
  for (uint64_t seed = first; seed < first + static_cast<uint64_t>(StressSize(4, 400)); ++seed) {
    Random random(seed);
    FakeClock clock;
    TempDir dir(StressDirectory());
    FakeFileSystem files;
    // Half of the runs have so little room that segments are recycled all the time.
    bool roomy = random.OneIn(2);
    std::set<uint64_t> written, synced;
    std::map<std::string, std::set<std::string>> values;
    std::string directory = dir / "0";
    for (int boot = 0; boot < 4; ++boot) {
      LogStoreOptions options = {.directory = directory,
                                 .size_bytes_max = roomy ? 64u << 20 : 2u << 20,
                                 .segment_bytes = 128 << 10,
                                 .lease = roomy ? 3h : 0h,
                                 .lease_min = 0h,
                                 .at_rest = random.OneIn(2) ? AtRest::kZstd : AtRest::kIdentity,
                                 .background = false,
                                 .files = &files,
                                 .boot_id = "boot " + std::to_string(boot)};
      auto opened = OpenLogStore(clock, options);
      ASSERT_TRUE(opened) << opened.error().ToString() << " seed " << seed;
      auto& store = **opened;
      for (uint64_t i : std::set<uint64_t>(written)) {
        std::string text = TextOf(i);
        bool there = store.FindMissing(0, {{KeyOf(text).digest}})->empty();
        if (roomy && synced.count(i) != 0) {
          ASSERT_TRUE(there) << "blob " << i << " seed " << seed << " boot " << boot;
        }
        if (there) {
          ASSERT_EQ(ReadAll(store, KeyOf(text)), text) << "seed " << seed;
        } else {
          written.erase(i);
        }
      }
      for (const auto& [key, texts] : values) {
        auto value = store.GetValue(key);
        ASSERT_TRUE(!value || texts.count(std::string(value->view())) != 0) << "seed " << seed;
      }
      ASSERT_EQ(store.Verify(), 0u) << "seed " << seed;

      clock.Advance(1h);  // reading has renewed every lease
      for (uint64_t steps = 20 + random.Below(150); steps > 0; --steps) {
        clock.Advance(4min);
        uint64_t i = random.Below(300);
        switch (random.Below(12)) {
          case 0:
            ASSERT_EQ(store.Sync(), Status());
            synced = written;
            break;
          case 1:
            if (random.OneIn(4)) {
              // A blob that comes while the index is written may be in the checkpoint, too. (Where
              // there is no room it would recycle, which waits for the checkpoint.)
              files.SetFault([&](std::string_view operation, const std::string& path) {
                if (!roomy || operation != "write" || !path.ends_with(".tmp")) return Status();
                written.insert(i);
                return PutText(store, TextOf(i));
              });
              ASSERT_EQ(store.Checkpoint(), Status());
              files.SetFault(nullptr);
              synced = written;
            }
            break;
          case 2: {
            std::string key = "key" + std::to_string(i % 7), value = std::to_string(i);
            ASSERT_EQ(store.PutValue(key, value), Status());
            values[key].insert(value);
            break;
          }
          default: {
            Status status = PutText(store, TextOf(i));
            ASSERT_TRUE(status.ok()) << status.ToString() << " seed " << seed;
          }
            written.insert(i);
        }
      }
      directory = dir / std::to_string(boot + 1);
      files.LosePower(options.directory, directory, random);
      // The end of this store's life is written to the directory that is lost.
    }
  }
}

class LogStoreErrors : public testing::Test {
 protected:
  LogStoreErrors() {
    auto opened = OpenLogStore(clock_, {.directory = dir_ / "store",
                                        .size_bytes_max = 8 << 20,
                                        .segment_bytes = 128 << 10,
                                        .background = false,
                                        .files = &files_});
    store_ = std::move(*opened);
    EXPECT_EQ(PutText(*store_, "before"), Status());
  }
  void FailOn(std::string operation, std::string part, Status status) {
    files_.SetFault([=](std::string_view what, const std::string& path) {
      bool hit = what == operation && path.find(part) != std::string::npos;
      return hit ? status : Status();
    });
  }
  void ExpectWritesFail(Code code) {
    EXPECT_EQ(PutText(*store_, "during").code(), code);
    EXPECT_EQ(PutText(*store_, std::string(200'000, 'x')).code(), code);
    EXPECT_EQ(store_->TryPut(KeyOf("try"), Bytes("try"), true)->code(), code);
    EXPECT_EQ(store_->PutValue("key", "value").code(), code);
    EXPECT_EQ(ReadAll(*store_, KeyOf("before")), "before") << "reads go on";
    EXPECT_EQ(store_->FindMissing(0, {{KeyOf("during").digest}})->size(), 1u);
  }
  void ExpectWritesWork() {
    files_.SetFault(nullptr);
    EXPECT_EQ(PutText(*store_, "after"), Status());
    EXPECT_EQ(PutText(*store_, std::string(200'000, 'x')), Status());
    EXPECT_EQ(store_->Verify(), 0u);
  }

  TempDir dir_{StressDirectory()};
  FakeClock clock_;
  FakeFileSystem files_;
  std::unique_ptr<LogStore> store_;
};

TEST_F(LogStoreErrors, AFullDiskRefusesWritesUntilThereIsRoom) {
  FailOn("write", "", Status(Code::kResourceExhausted, "write: No space left on device"));
  ExpectWritesFail(Code::kResourceExhausted);
  ExpectWritesWork();
}

TEST_F(LogStoreErrors, AJournalThatCannotBeWrittenRefusesWrites) {
  FailOn("write", "journal", Status(Code::kResourceExhausted, "write: No space left on device"));
  ExpectWritesFail(Code::kResourceExhausted);
  ExpectWritesWork();
}

TEST_F(LogStoreErrors, AFullDiskWithoutRoomForASegmentLeavesNoneBehind) {
  FailOn("allocate", "", Status(Code::kResourceExhausted, "allocate: No space left on device"));
  size_t before = SystemFiles().List(dir_ / "store/segments")->size();

  EXPECT_EQ(PutText(*store_, std::string(200'000, 'x')).code(), Code::kResourceExhausted);

  EXPECT_EQ(SystemFiles().List(dir_ / "store/segments")->size(), before);
  ExpectWritesWork();
}

TEST_F(LogStoreErrors, ADiskThatDoesNotSyncRefusesWritesForGood) {
  FailOn("sync", "", Status(Code::kInternal, "fdatasync: Input/output error"));
  EXPECT_THAT(store_->Sync().message(), HasSubstr("Input/output error"));
  files_.SetFault(nullptr);
  ExpectWritesFail(Code::kUnavailable);
}

TEST_F(LogStoreErrors, ACheckpointThatFailsLosesNothing) {
  FailOn("write", "checkpoint", Status(Code::kResourceExhausted, "no space"));
  EXPECT_EQ(store_->Checkpoint().code(), Code::kResourceExhausted);
  EXPECT_EQ(PutText(*store_, "later"), Status());
  FailOn("rename", "", Status(Code::kInternal, "rename"));
  EXPECT_EQ(store_->Checkpoint().code(), Code::kInternal);
  ExpectWritesWork();
  FailOn("write", "", Status(Code::kInternal, "dead"));
  store_.reset();
  files_.SetFault(nullptr);

  auto opened = OpenLogStore(clock_, {.directory = dir_ / "store", .background = false});

  ASSERT_TRUE(opened) << opened.error().ToString();
  for (std::string text : {"before", "later", "after"})
    EXPECT_EQ(ReadAll(**opened, KeyOf(text)), text);
}

// With everything running at once: small and large writers, readers, recycling, syncs, checkpoints.
class LogStoreStress : public testing::TestWithParam<AtRest> {};
INSTANTIATE_TEST_SUITE_P(AtRest, LogStoreStress, testing::Values(AtRest::kIdentity, AtRest::kZstd));

TEST_P(LogStoreStress, ThreadsReadAndWriteWhileSegmentsAreRecycled) {
  TempDir dir(StressDirectory());
  LogStoreOptions options = Options(dir / "store");
  options.at_rest = GetParam();
  options.small_blob_bytes_max = 8 << 10;  // larger ones take their place while they come
  options.lease_share_percent = 99;
  options.size_bytes_max = 4 << 20;
  options.segment_bytes = 128 << 10;
  options.lease = options.lease_min = 0h;
  options.sync_interval = 2ms;
  FakeClock clock;
  auto opened = OpenLogStore(clock, options);
  ASSERT_TRUE(opened);
  auto& store = **opened;
  std::atomic<int> wrong{0}, refused{0};
  auto note = [&](const Status& status) {
    ++wrong;
    ADD_FAILURE() << status.ToString();
  };
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (int step = 0; step < StressSize(100, 3000); ++step) {
        clock.Advance(1min);
        std::string text = TextOf(random.Below(400));
        Status status = PutText(store, text);
        if (!status.ok() && status.code() != Code::kResourceExhausted &&
            status.code() != Code::kAborted)
          note(status);
        if (!status.ok()) ++refused;
        std::string other = TextOf(random.Below(400));
        auto read = random.OneIn(2) ? store.TryRead(KeyOf(other), {})
                                    : std::optional(store.Read(KeyOf(other), {}));
        if (read && *read && Flatten(**read) != other) note(Status(Code::kDataLoss, "wrong bytes"));
        if (read && !*read && read->error().code() != Code::kNotFound) note(read->error());
        if (!store.PutValue("key" + std::to_string(random.Below(20)), other).ok()) ++refused;
        auto value = store.GetValue("key" + std::to_string(random.Below(20)));
        if (!value && value.error().code() != Code::kNotFound) note(value.error());
      }
    });
  }
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(wrong, 0);
  EXPECT_LT(refused, StressSize(100, 3000));
  EXPECT_EQ(store.Verify(), 0u);
  EXPECT_GT(store.Stats().recycled_segments, 10u);
}

}  // namespace
}  // namespace lre::store
