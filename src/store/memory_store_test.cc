#include "store/memory_store.h"

#include <gmock/gmock.h>

#include "store/blob_store_contract.h"
#include "store/fake_blob_store.h"
#include "store/value_store.h"

namespace lre::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(Memory, BlobStoreContract, testing::Values(BlobStoreMaker([] {
                           return BlobStoreUnderTest{nullptr, NewMemoryStore(SystemClock())};
                         })));
INSTANTIATE_TEST_SUITE_P(Fake, BlobStoreContract, testing::Values(BlobStoreMaker([] {
                           return BlobStoreUnderTest{nullptr, std::make_unique<FakeBlobStore>()};
                         })));

BlobKey KeyOf(std::string_view text) { return {ComputeDigest(DigestFunction::kSha256, text), 0}; }
Status PutText(BlobStore& store, const std::string& text) {
  return Put(store, KeyOf(text), Bytes(text));
}

TEST(MemoryStore, RefusesABlobBeyondItsBound) {
  auto store = NewMemoryStore(SystemClock(), {.blob_bytes_max = 10});
  std::string fits(10, 'a'), large(11, 'b');

  EXPECT_EQ(PutText(*store, fits), Status());
  EXPECT_EQ(PutText(*store, large).code(), Code::kInvalidArgument);
  EXPECT_EQ(store->TryPut(KeyOf(large), Bytes(large), true)->code(), Code::kInvalidArgument);
}

TEST(MemoryStore, TheLeastRecentlyUsedGoesFirst) {
  auto store = NewMemoryStore(SystemClock(), {.size_bytes_max = 30});
  std::string a(10, 'a'), b(10, 'b'), c(10, 'c'), d(10, 'd');
  ASSERT_EQ(PutText(*store, a), Status());
  ASSERT_EQ(PutText(*store, b), Status());
  ASSERT_EQ(PutText(*store, c), Status());
  ASSERT_TRUE(store->Read(KeyOf(a), {}));

  ASSERT_EQ(PutText(*store, d), Status());

  EXPECT_THAT(*store->FindMissing(
                  0, {{KeyOf(a).digest, KeyOf(b).digest, KeyOf(c).digest, KeyOf(d).digest}}),
              ElementsAre(1));
}

TEST(MemoryStore, LeasedBlobsAreNotEvictedBeforeTheirLeaseEnds) {
  FakeClock clock;
  auto store = NewMemoryStore(clock, {.size_bytes_max = 15, .lease = 1h});
  ASSERT_EQ(PutText(*store, std::string(10, 'a')), Status());

  EXPECT_EQ(PutText(*store, std::string(10, 'b')).code(), Code::kResourceExhausted);
  clock.Advance(1h);
  EXPECT_EQ(PutText(*store, std::string(10, 'b')), Status());
}

TEST(MemoryStore, ABlobLargerThanTheStoreIsRefusedBeforeItComes) {
  auto store = NewMemoryStore(SystemClock(), {.size_bytes_max = 9});

  auto writer = store->Write(KeyOf(std::string(10, 'a')));

  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code(), Code::kResourceExhausted);
}

TEST(MemoryStore, ReadAllRefusesMoreThanItsBound) {
  FakeBlobStore store;
  Digest digest = store.Add("0123456789");

  EXPECT_EQ(ToStatus(ReadAll(store, {digest}, 9)).code(), Code::kResourceExhausted);
  EXPECT_EQ(ReadAll(store, {digest}, 10), "0123456789");
}

TEST(FakeBlobStore, FailsBlocksAndLosesWhenTold) {
  FakeBlobStore store;
  Digest digest = store.Add("abc");

  store.Lose(digest);
  EXPECT_THAT(*store.FindMissing(0, {{digest}}), ElementsAre(0));
  ASSERT_EQ(PutText(store, "abc"), Status());
  EXPECT_THAT(*store.FindMissing(0, {{digest}}), IsEmpty());
  store.Fail(Status(Code::kUnavailable, "down"));
  EXPECT_EQ(ToStatus(store.Read({digest}, {})).code(), Code::kUnavailable);
  store.would_block = true;
  EXPECT_FALSE(store.TryRead({digest}, {}).has_value());
}

TEST(MemoryValueStore, TheLastPutWinsAndRemoveForgets) {
  auto values = NewMemoryValueStore();
  ASSERT_EQ(values->PutValue("key", "old"), Status());
  ASSERT_EQ(values->PutValue("key", "new"), Status());

  EXPECT_EQ(values->GetValue("key")->view(), "new");
  EXPECT_EQ(values->RemoveValue("key"), Status());
  EXPECT_EQ(values->RemoveValue("key"), Status());
  EXPECT_EQ(ToStatus(values->GetValue("key")).code(), Code::kNotFound);
}

TEST(MemoryValueStore, EvictsTheLeastRecentlyUsedBeyondItsBound) {
  auto values = NewMemoryValueStore({.size_bytes_max = 24});
  ASSERT_EQ(values->PutValue("a", "0123456789"), Status());
  ASSERT_EQ(values->PutValue("b", "0123456789"), Status());
  ASSERT_TRUE(values->GetValue("a"));

  ASSERT_EQ(values->PutValue("c", "0123456789"), Status());

  EXPECT_TRUE(values->GetValue("a"));
  EXPECT_FALSE(values->GetValue("b"));
  EXPECT_TRUE(values->GetValue("c"));
}

TEST(MemoryValueStore, KeysAndValuesOutsideTheirBoundsAreRefused) {
  auto values = NewMemoryValueStore();

  EXPECT_EQ(values->PutValue("", "x").code(), Code::kInvalidArgument);
  EXPECT_EQ(values->PutValue(std::string(ValueStore::kKeyBytesMax + 1, 'k'), "x").code(),
            Code::kInvalidArgument);
  EXPECT_EQ(values->PutValue("k", std::string(ValueStore::kValueBytesMax + 1, 'v')).code(),
            Code::kInvalidArgument);
}

}  // namespace
}  // namespace lre::store
