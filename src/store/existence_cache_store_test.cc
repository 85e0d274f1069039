#include "store/existence_cache_store.h"

#include <gmock/gmock.h>

#include "store/blob_store_contract.h"
#include "store/fake_blob_store.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

INSTANTIATE_TEST_SUITE_P(ExistenceCache, BlobStoreContract, testing::Values([] {
                           auto clock = std::make_shared<FakeClock>();
                           return BlobStoreUnderTest{
                               clock,
                               NewExistenceCacheStore(NewMemoryStore(*clock, {}), *clock, {})};
                         }));

class ExistenceCacheTest : public testing::Test {
 protected:
  void Make(ExistenceCacheOptions options) {
    auto base = std::make_unique<FakeBlobStore>();
    base_ = base.get();
    store_ = NewExistenceCacheStore(std::move(base), clock_, options);
  }
  std::vector<uint32_t> Missing(std::vector<Digest> digests, Partition partition = 0) {
    return *store_->FindMissing(partition, digests);
  }

  FakeClock clock_;
  FakeBlobStore* base_ = nullptr;
  std::unique_ptr<BlobStore> store_;
};

TEST_F(ExistenceCacheTest, AsksTheBaseOnlyForWhatItDoesNotKnow) {
  Make({});
  Digest a = base_->Add("a"), b = base_->Add("b"), absent = ComputeDigest(a.function, "absent");

  EXPECT_THAT(Missing({absent, a}), ElementsAre(0));
  EXPECT_THAT(Missing({a, a}), IsEmpty());
  EXPECT_EQ(base_->find_calls, 1);
  EXPECT_THAT(Missing({a, absent, b}), ElementsAre(1)) << "absence is never remembered";
  EXPECT_EQ(base_->find_calls, 2);
  EXPECT_THAT(Missing({a}, 7), ElementsAre(0)) << "another partition has other blobs";
}

TEST_F(ExistenceCacheTest, SaysPresentOnlyWhileThePromiseFitsIntoTheLease) {
  Make({.lease = 3h, .promise = 2h});
  Digest a = base_->Add("a");
  EXPECT_THAT(Missing({a}), IsEmpty());

  // Its own answers do not renew what the base granted.
  for (int minute = 0; minute < 59; ++minute) {
    clock_.Advance(1min);
    EXPECT_THAT(Missing({a}), IsEmpty());
  }
  EXPECT_EQ(base_->find_calls, 1);
  clock_.Advance(1min);
  EXPECT_THAT(Missing({a}), IsEmpty());
  EXPECT_EQ(base_->find_calls, 2);
}

TEST_F(ExistenceCacheTest, ForgetsABlobThatCannotBeRead) {
  Make({});
  Digest a = base_->Add("a"), b = base_->Add("b");
  EXPECT_THAT(Missing({a, b}), IsEmpty());
  base_->Lose(a);
  base_->Lose(b);

  EXPECT_EQ(ToStatus(store_->Read({a, 0}, {})).code(), Code::kNotFound);
  EXPECT_EQ(ToStatus(*store_->TryRead({b, 0}, {})).code(), Code::kNotFound);

  EXPECT_THAT(Missing({a, b}), ElementsAre(0, 1));
}

TEST_F(ExistenceCacheTest, HoldsABoundedNumberOfEntries) {
  Make({.entries_max = 10});
  std::vector<Digest> digests;
  for (int i = 0; i < 100; ++i) digests.push_back(base_->Add(std::to_string(i)));
  for (const Digest& digest : digests) EXPECT_THAT(Missing({digest}), IsEmpty());
  EXPECT_EQ(base_->find_calls, 100);

  for (const Digest& digest : digests) EXPECT_THAT(Missing({digest}), IsEmpty());
  EXPECT_EQ(base_->find_calls, 200) << "none of the first hundred was left when its turn came";
  EXPECT_THAT(Missing({digests.back()}), IsEmpty());
  EXPECT_EQ(base_->find_calls, 200);
}

TEST_F(ExistenceCacheTest, TryBlocksWhenTheBaseMustBeAskedAndDoes) {
  Make({});
  Digest a = base_->Add("a");
  base_->would_block = true;
  EXPECT_FALSE(store_->TryFindMissing(0, {{a}}).has_value());
  EXPECT_THAT(Missing({a}), IsEmpty());

  auto known = store_->TryFindMissing(0, {{a}});

  ASSERT_TRUE(known.has_value());
  EXPECT_THAT(known->value(), IsEmpty());
}

}  // namespace
}  // namespace lre::store
