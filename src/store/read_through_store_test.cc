#include "store/read_through_store.h"

#include <gmock/gmock.h>

#include <latch>
#include <thread>

#include "store/blob_store_contract.h"
#include "store/fake_blob_store.h"

namespace lre::store {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

BlobStoreMaker Maker(bool write_through) {
  return [write_through] {
    auto clock = std::make_shared<FakeClock>();
    return BlobStoreUnderTest{
        clock, NewReadThroughStore(NewMemoryStore(*clock, {}), NewMemoryStore(*clock, {}), *clock,
                                   {.write_through = write_through})};
  };
}
INSTANTIATE_TEST_SUITE_P(ReadThrough, BlobStoreContract,
                         testing::Values(Maker(false), Maker(true)));

// An upstream whose reads wait until they are let go, and whose bytes may be wrong.
class SlowStore : public FakeBlobStore {
 public:
  Result<BytesList> Read(const BlobKey& key, ByteRange range) override {
    if (gate != nullptr) {
      arrived.count_down();
      gate->wait();
    }
    auto read = FakeBlobStore::Read(key, range);
    if (wrong && read) {
      std::string text = Flatten(*read);
      text[0] = static_cast<char>(~text[0]);
      return BytesList{Bytes(text)};
    }
    return read;
  }
  std::unique_ptr<std::latch> gate;
  std::latch arrived{1};
  bool wrong = false;
};

class ReadThroughTest : public testing::Test {
 protected:
  void Make(ReadThroughOptions options = {}, MemoryStoreOptions local = {}) {
    auto here = std::make_unique<FakeBlobStore>(local);
    auto there = std::make_unique<SlowStore>();
    local_ = here.get();
    upstream_ = there.get();
    store_ = NewReadThroughStore(std::move(here), std::move(there), clock_, options);
  }
  Code ReadCode(const Digest& digest) { return ToStatus(store_->Read({digest, 0}, {})).code(); }

  FakeClock clock_;
  FakeBlobStore* local_ = nullptr;
  SlowStore* upstream_ = nullptr;
  std::unique_ptr<BlobStore> store_;
};

TEST_F(ReadThroughTest, WhatIsOnlyUpstreamIsFetchedOnceAndKept) {
  Make({.piece_bytes = 3});
  Digest digest = upstream_->Add("upstream's");

  EXPECT_EQ(Flatten(*store_->Read({digest, 0}, {2, 6})), "stre");
  EXPECT_EQ(upstream_->read_calls, 4) << "pieces of three bytes";
  EXPECT_EQ(ReadAll(*store_, {digest, 0}), "upstream's");
  EXPECT_EQ(upstream_->read_calls, 4);
  upstream_->Lose(digest);
  EXPECT_EQ(ReadAll(*store_, {digest, 0}), "upstream's");
  EXPECT_EQ(ReadCode(ComputeDigest(digest.function, "nowhere")), Code::kNotFound);
}

TEST_F(ReadThroughTest, ManyWhoWantTheSameBlobCauseOneFetch) {
  Make();
  Digest digest = upstream_->Add("wanted");
  upstream_->gate = std::make_unique<std::latch>(1);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  auto read = [&] { right += ReadAll(*store_, {digest, 0}) == "wanted" ? 1 : 0; };

  threads.emplace_back(read);
  upstream_->arrived.wait();
  for (int i = 0; i < 4; ++i) threads.emplace_back(read);
  threads.emplace_back([&] {
    auto many = store_->ReadMany(0, {{digest, digest}});
    right += many[0] && many[1] && Flatten(*many[1]) == "wanted" ? 1 : 0;
  });
  // All look here first.
  while (local_->read_calls < 7) std::this_thread::yield();
  upstream_->gate->count_down();
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(right, 6);
  EXPECT_EQ(upstream_->read_calls, 1);
}

TEST_F(ReadThroughTest, AWaiterDoesNotWaitForEver) {
  Make({.fetch_max = 1ms});
  Digest digest = upstream_->Add("slow");
  upstream_->gate = std::make_unique<std::latch>(1);
  std::thread first([&] { EXPECT_EQ(ReadAll(*store_, {digest, 0}), "slow"); });
  upstream_->arrived.wait();

  EXPECT_EQ(ReadCode(digest), Code::kNotFound);

  upstream_->gate->count_down();
  first.join();
}

TEST_F(ReadThroughTest, FindMissingAsksUpstreamOnlyForWhatIsNotHere) {
  Make();
  Digest here = local_->Add("here"), there = upstream_->Add("there");
  Digest nowhere = ComputeDigest(here.function, "nowhere");

  EXPECT_THAT(*store_->FindMissing(0, {{nowhere, here, there, nowhere}}), ElementsAre(0, 3));
  EXPECT_EQ(upstream_->find_calls, 1);
  EXPECT_THAT(*store_->FindMissing(0, {{here}}), IsEmpty());
  EXPECT_EQ(upstream_->find_calls, 1);
  EXPECT_TRUE(store_->TryFindMissing(0, {{here}}).has_value());
  EXPECT_FALSE(store_->TryFindMissing(0, {{there}}).has_value()) << "upstream must be asked";

  Make({.find_upstream = false});
  there = upstream_->Add("there");
  EXPECT_THAT(*store_->FindMissing(0, {{there}}), ElementsAre(0));
}

TEST_F(ReadThroughTest, WhileUpstreamIsDownItWorksAloneAndAsksAgainLater) {
  Make({.write_through = true, .down_pause = 10s});
  Digest here = local_->Add("here"), there = upstream_->Add("there");
  upstream_->Fail(Status(Code::kUnavailable, "connection refused"));

  EXPECT_EQ(ReadCode(there), Code::kNotFound);
  int calls = upstream_->read_calls;
  EXPECT_EQ(ReadCode(there), Code::kNotFound);
  EXPECT_EQ(ToStatus(*store_->TryRead({there, 0}, {})).code(), Code::kNotFound);
  EXPECT_THAT(*store_->FindMissing(0, {{here, there}}), ElementsAre(1));
  EXPECT_EQ(ReadAll(*store_, {here, 0}), "here");
  EXPECT_EQ(Put(*store_, {ComputeDigest(here.function, "new"), 0}, Bytes::Static("new")), Status());
  EXPECT_EQ(upstream_->read_calls, calls) << "it is left alone";
  EXPECT_EQ(upstream_->find_calls + upstream_->write_calls, 0);

  upstream_->Fail(Status());
  clock_.Advance(10s);
  EXPECT_FALSE(store_->TryRead({there, 0}, {}).has_value());
  EXPECT_EQ(ReadAll(*store_, {there, 0}), "there");
}

TEST_F(ReadThroughTest, ManyAreFetchedWithOneCallAndKept) {
  Make();
  Digest here = local_->Add("here"), a = upstream_->Add("a"), b = upstream_->Add("b");
  Digest nowhere = ComputeDigest(here.function, "nowhere");

  auto answers = store_->ReadMany(0, {{a, here, nowhere, b, a}});

  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(
      Flatten(*answers[0]) + Flatten(*answers[1]) + Flatten(*answers[3]) + Flatten(*answers[4]),
      "ahereba");
  EXPECT_EQ(ToStatus(answers[2]).code(), Code::kNotFound);
  EXPECT_THAT(*local_->FindMissing(0, {{a, b}}), IsEmpty());
}

TEST_F(ReadThroughTest, WrongBytesFromUpstreamStayAbsent) {
  Make();
  Digest digest = upstream_->Add("right");
  upstream_->wrong = true;

  EXPECT_EQ(ReadCode(digest), Code::kNotFound);
  EXPECT_EQ(ToStatus(store_->ReadMany(0, {{digest}})[0]).code(), Code::kNotFound);
  EXPECT_THAT(*local_->FindMissing(0, {{digest}}), ElementsAre(0));
  upstream_->wrong = false;
  EXPECT_EQ(ReadAll(*store_, {digest, 0}), "right");
}

TEST_F(ReadThroughTest, AFullLocalStoreDoesNotStopReading) {
  Make({}, {.size_bytes_max = 10});
  Digest digest = upstream_->Add("more than ten bytes");

  EXPECT_EQ(Flatten(*store_->Read({digest, 0}, {5, 9})), "than");
  EXPECT_EQ(Flatten(*store_->ReadMany(0, {{digest}})[0]), "more than ten bytes");
}

TEST_F(ReadThroughTest, BlobsBeyondTheBoundAreLeftAlone) {
  Make({.blob_bytes_max = 5});
  Digest large = upstream_->Add("123456"), fits = upstream_->Add("12345");

  EXPECT_EQ(ReadCode(large), Code::kNotFound);
  EXPECT_EQ(ReadCode(fits), Code::kOk);
  EXPECT_THAT(*store_->FindMissing(0, {{large, fits}}), ElementsAre(0));
  EXPECT_EQ(ToStatus(store_->ReadMany(0, {{large}})[0]).code(), Code::kNotFound);
  EXPECT_TRUE(store_->TryFindMissing(0, {{large}}).has_value());
}

TEST_F(ReadThroughTest, TenantsHaveNoUpstream) {
  Make({.write_through = true});
  Digest there = upstream_->Add("theirs", DigestFunction::kSha256, 7);
  std::string mine = "mine";
  Digest digest = ComputeDigest(DigestFunction::kSha256, mine);

  EXPECT_THAT(*store_->FindMissing(7, {{there}}), ElementsAre(0));
  EXPECT_EQ(ToStatus(store_->Read({there, 7}, {})).code(), Code::kNotFound);
  EXPECT_EQ(Put(*store_, {digest, 7}, Bytes(mine)), Status());
  EXPECT_THAT(store_->PutMany(7, {{{digest, Bytes(mine)}}}), ElementsAre(Status()));

  EXPECT_EQ(upstream_->find_calls + upstream_->read_calls + upstream_->write_calls, 0);
  EXPECT_THAT(*store_->FindMissing(7, {{digest}}), IsEmpty());
}

TEST_F(ReadThroughTest, WritesGoThroughWhenAskedTo) {
  Make({.write_through = true, .piece_bytes = 4});
  std::string one = "one, in pieces", two = "two";
  Digest first = ComputeDigest(DigestFunction::kSha256, one),
         second = ComputeDigest(DigestFunction::kSha256, two);

  EXPECT_EQ(Put(*store_, {first, 0}, Bytes(one)), Status());
  EXPECT_THAT(store_->PutMany(0, {{{second, Bytes(two)}}}), ElementsAre(Status()));
  EXPECT_FALSE(store_->TryPut({second, 0}, Bytes(two), true).has_value());

  EXPECT_THAT(*upstream_->FindMissing(0, {{first, second}}), IsEmpty());
  upstream_->Fail(Status(Code::kResourceExhausted, "full"));
  EXPECT_EQ(Put(*store_, {ComputeDigest(DigestFunction::kSha256, "x"), 0}, Bytes::Static("x")),
            Status());

  Make();
  EXPECT_EQ(Put(*store_, {first, 0}, Bytes(one)), Status());
  EXPECT_THAT(*upstream_->FindMissing(0, {{first}}), ElementsAre(0));
}

}  // namespace
}  // namespace lre::store
