// Over the log store itself: leases are its promise, so only it can tell whether they were renewed.
#include "service/input_leases.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/random.h"
#include "reapi/tree.h"
#include "store/log_store.h"

namespace lre::service {
namespace {

using namespace std::chrono_literals;  // NOLINT(build/namespaces)

constexpr auto kSha256 = DigestFunction::kSha256;

class InputLeasesTest : public testing::Test {
 protected:
  InputLeasesTest() {
    store_ = store::OpenLogStore(clock_, {.directory = directory_ / "store",
                                          .size_bytes_max = 4 << 20,
                                          .segment_bytes = 256 << 10,
                                          .lease = 1h,
                                          .lease_min = 15min,
                                          .background = false,
                                          .boot_id = "boot"})
                 .value();
  }
  Digest Put(std::string bytes, store::Partition partition = 0) {
    const Digest digest = ComputeDigest(kSha256, bytes);
    EXPECT_EQ(store::Put(*store_, {digest, partition}, Bytes(std::move(bytes))), Status());
    return digest;
  }
  // An action with files in several directories, all its own, and in segments of its own: what
  // keeps one action's bytes keeps no other's.
  InputLeases::Inputs PutAction(uint64_t seed, store::Partition partition = 0) {
    for (int i = 0; i < 6; i++) Put(random_.NextBytes(50'000));
    Random random(seed);
    reapi::TreeBuilder builder(kSha256);
    auto put = [&](size_t size) {
      blobs_[seed].push_back(Put(random.NextBytes(size), partition));
      return blobs_[seed].back();
    };
    for (const char* path : {"a", "lib/b", "lib/deep/er/c"}) {
      EXPECT_EQ(builder.AddFile(path, put(20'000), false), Status());
    }
    reapi::TreeBuilder::Built built = builder.Build();
    for (const reapi::NewBlob& directory : built.directories) {
      blobs_[seed].push_back(Put(directory.bytes, partition));
    }
    return {partition, put(200), put(300), built.root};
  }
  size_t Missing(uint64_t seed, store::Partition partition = 0) {
    return store_->FindMissing(partition, blobs_[seed])->size();
  }
  // What other clients do meanwhile: more than the store holds.
  void Fill() {
    for (int i = 0; i < 120; i++) {
      std::string bytes = random_.NextBytes(50'000);
      const store::BlobKey key{ComputeDigest(kSha256, bytes)};
      // When all is leased, writes are refused.
      if (!store::Put(*store_, key, Bytes(std::move(bytes))).ok()) return;
    }
  }
  // Hours in which the cache is filled again and again.
  void Wait(Duration duration, InputLeases& leases) {
    for (Duration passed{}; passed < duration; passed += 6min) {
      clock_.Advance(6min);
      leases.RenewDue();
      Fill();
    }
  }

  TempDir directory_;
  FakeClock clock_;
  Random random_{1};
  std::map<uint64_t, std::vector<Digest>> blobs_;
  std::unique_ptr<store::LogStore> store_;
  Metrics metrics_;
};

TEST_F(InputLeasesTest, AnActionThatWaitsLongerThanTheLeaseFindsItsInputs) {
  InputLeases leases(*store_, clock_, metrics_, {.interval = 5min, .background = false});
  auto held = leases.Hold(PutAction(1));
  PutAction(2);  // of nobody who waits

  Wait(4h, leases);

  EXPECT_EQ(Missing(2), blobs_[2].size()) << "the cache was never full";
  EXPECT_EQ(Missing(1), 0u);
}

TEST_F(InputLeasesTest, WhatIsNoLongerHeldIsNotRenewed) {
  InputLeases leases(*store_, clock_, metrics_, {.interval = 5min, .background = false});
  Counter& renewed = metrics_.AddCounter("lre_input_leases_renewed_total", "");
  auto held = leases.Hold(PutAction(1));
  clock_.Advance(5min);
  leases.RenewDue();
  const uint64_t while_held = renewed.value();
  EXPECT_EQ(while_held, blobs_[1].size());

  held.reset();
  clock_.Advance(5min);
  leases.RenewDue();

  EXPECT_EQ(renewed.value(), while_held);
}

TEST_F(InputLeasesTest, KeepsTheInputsOfThePartitionThatTheActionIsIn) {
  InputLeases leases(*store_, clock_, metrics_, {.interval = 5min, .background = false});
  auto held = leases.Hold(PutAction(1, 7));
  PutAction(1, 8);

  Wait(4h, leases);

  EXPECT_EQ(Missing(1, 7), 0u);
  EXPECT_NE(Missing(1, 8), 0u);
}

TEST_F(InputLeasesTest, RenewsOnceInAnIntervalAndDirectoriesInCommonOnce) {
  InputLeases leases(*store_, clock_, metrics_, {.interval = 5min, .background = false});
  Counter& renewed = metrics_.AddCounter("lre_input_leases_renewed_total", "");
  const InputLeases::Inputs inputs = PutAction(1);
  auto first = leases.Hold(inputs), second = leases.Hold(inputs);
  leases.RenewDue();
  EXPECT_EQ(renewed.value(), 0u) << "they were looked for just now";

  clock_.Advance(5min);
  leases.RenewDue();
  leases.RenewDue();

  // Of the first everything, of the second what is not below a directory.
  EXPECT_EQ(renewed.value(), blobs_[1].size() + 2);
}

TEST_F(InputLeasesTest, WalksNoMoreDirectoriesThanItsBound) {
  InputLeases leases(*store_, clock_, metrics_,
                     {.interval = 5min, .directories_max = 1, .background = false});
  Counter& renewed = metrics_.AddCounter("lre_input_leases_renewed_total", "");
  auto held = leases.Hold(PutAction(1));

  clock_.Advance(5min);
  leases.RenewDue();

  EXPECT_EQ(renewed.value(), 4u) << "action, command, root and the file in it";
}

TEST_F(InputLeasesTest, AHoldMayOutliveItsKeeper) {
  auto leases = std::make_unique<InputLeases>(*store_, clock_, metrics_);
  auto held = leases->Hold(PutAction(1));
  leases.reset();
  held.reset();
}

TEST_F(InputLeasesTest, WhatIsAbsentIsPassedOver) {
  InputLeases leases(*store_, clock_, metrics_, {.interval = 5min, .background = false});
  const Digest nothing = ComputeDigest(kSha256, "nothing");
  auto held = leases.Hold({0, nothing, nothing, nothing});

  clock_.Advance(5min);
  leases.RenewDue();

  EXPECT_EQ(metrics_.AddCounter("lre_input_leases_renewed_total", "").value(), 0u);
}

}  // namespace
}  // namespace lre::service
