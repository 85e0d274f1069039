#include "store/blob_store_contract.h"

#include <gmock/gmock.h>

#include <thread>

#include "base/random.h"

namespace lre::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BlobKey KeyOf(std::string_view text, Partition partition = 0,
              DigestFunction function = DigestFunction::kSha256) {
  return {ComputeDigest(function, text), partition};
}
Status PutText(BlobStore& store, std::string_view text, Partition partition = 0) {
  return Put(store, KeyOf(text, partition), Bytes(std::string(text)));
}
template <typename T>
Code CodeOf(const Result<T>& result) {
  return ToStatus(result).code();
}

TEST_P(BlobStoreContract, WhatWasWrittenIsFoundAndRead) {
  for (size_t size : {1, 63, 4096, 65535, 65536, 65537, 3'000'000}) {
    std::string text = Random(size).NextBytes(size);

    ASSERT_EQ(PutText(store_, text), Status());

    EXPECT_THAT(*store_.FindMissing(0, {{KeyOf(text).digest}}), IsEmpty());
    EXPECT_EQ(ReadAll(store_, KeyOf(text)), text);
  }
}

TEST_P(BlobStoreContract, EveryDigestFunctionCanBeUsed) {
  for (DigestFunction function : kDigestFunctions) {
    BlobKey key = KeyOf("text", 0, function);

    ASSERT_EQ(Put(store_, key, Bytes("text")), Status());

    EXPECT_EQ(ReadAll(store_, key), "text");
  }
}

TEST_P(BlobStoreContract, AbsentBlobsAreListedInOrderAndNotFoundWhenRead) {
  ASSERT_EQ(PutText(store_, "b"), Status());
  std::vector<Digest> digests = {KeyOf("a").digest, KeyOf("b").digest, KeyOf("c").digest};

  EXPECT_THAT(*store_.FindMissing(0, digests), ElementsAre(0, 2));
  EXPECT_EQ(CodeOf(store_.Read(KeyOf("a"), {})), Code::kNotFound);
}

TEST_P(BlobStoreContract, TheSameHashWithAnotherSizeIsAnotherBlob) {
  ASSERT_EQ(PutText(store_, "abc"), Status());
  BlobKey other = KeyOf("abc");
  other.digest.size_bytes = 4;

  EXPECT_THAT(*store_.FindMissing(0, {{other.digest}}), ElementsAre(0));
  EXPECT_EQ(CodeOf(store_.Read(other, {})), Code::kNotFound);
}

TEST_P(BlobStoreContract, ManyDigestsAreAnsweredAtOnce) {
  std::vector<Digest> digests;
  std::vector<uint32_t> expected;
  for (uint32_t i = 0; i < 3000; ++i) {
    std::string text = "blob " + std::to_string(i);
    digests.push_back(KeyOf(text).digest);
    if (i % 3 == 0)
      expected.push_back(i);
    else
      ASSERT_EQ(PutText(store_, text), Status());
  }

  EXPECT_EQ(*store_.FindMissing(0, digests), expected);
}

TEST_P(BlobStoreContract, PartitionsDoNotSeeEachOther) {
  ASSERT_EQ(PutText(store_, "secret", 1), Status());

  EXPECT_THAT(*store_.FindMissing(2, {{KeyOf("secret").digest}}), ElementsAre(0));
  EXPECT_EQ(CodeOf(store_.Read(KeyOf("secret", 2), {})), Code::kNotFound);
  EXPECT_EQ(ReadAll(store_, KeyOf("secret", 1)), "secret");
}

TEST_P(BlobStoreContract, TheEmptyBlobIsAlwaysThere) {
  for (DigestFunction function : kDigestFunctions) {
    BlobKey key{EmptyDigest(function), 7};

    EXPECT_THAT(*store_.FindMissing(7, {{key.digest}}), IsEmpty());
    EXPECT_EQ(ReadAll(store_, key), "");
    EXPECT_EQ(Put(store_, key, Bytes()), Status());
  }
}

TEST_P(BlobStoreContract, ASizeOfZeroWithAnotherHashIsNotTheEmptyBlob) {
  BlobKey key = KeyOf("x");
  key.digest.size_bytes = 0;

  EXPECT_EQ(CodeOf(store_.Read(key, {})), Code::kNotFound);
  EXPECT_EQ(Put(store_, key, Bytes()).code(), Code::kInvalidArgument);
}

TEST_P(BlobStoreContract, RangesAreCutToTheBlob) {
  std::string text = Random(1).NextBytes(200'000);
  ASSERT_EQ(PutText(store_, text), Status());
  auto read = [&](uint64_t offset, uint64_t end) {
    auto pieces = store_.Read(KeyOf(text), {offset, end});
    return pieces ? Flatten(*pieces) : pieces.error().ToString();
  };

  EXPECT_EQ(read(0, 10), text.substr(0, 10));
  EXPECT_EQ(read(65'000, 140'000), text.substr(65'000, 75'000));
  EXPECT_EQ(read(199'999, UINT64_MAX), text.substr(199'999));
  EXPECT_EQ(read(200'000, UINT64_MAX), "");
  EXPECT_EQ(read(5, 5), "");
  EXPECT_EQ(read(5, 3), "");
  EXPECT_EQ(CodeOf(store_.Read(KeyOf(text), {200'001, UINT64_MAX})), Code::kOutOfRange);
}

TEST_P(BlobStoreContract, BytesThatDoNotHashToTheDigestAreRefusedAndLeaveNothing) {
  auto writer = store_.Write(KeyOf("abcd"));
  ASSERT_TRUE(writer);
  ASSERT_EQ((*writer)->Append(Bytes("abcX")), Status());

  EXPECT_EQ((*writer)->Commit().code(), Code::kInvalidArgument);

  EXPECT_EQ(CodeOf(store_.Read(KeyOf("abcd"), {})), Code::kNotFound);
  EXPECT_EQ(CodeOf(store_.Read(KeyOf("abcX"), {})), Code::kNotFound);
}

TEST_P(BlobStoreContract, TooFewBytesAreRefused) {
  auto writer = store_.Write(KeyOf("abcd"));
  ASSERT_TRUE(writer);
  ASSERT_EQ((*writer)->Append(Bytes("abc")), Status());

  EXPECT_EQ((*writer)->Commit().code(), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf(store_.Read(KeyOf("abcd"), {})), Code::kNotFound);
}

TEST_P(BlobStoreContract, TooManyBytesAreRefusedAsTheyCome) {
  auto writer = store_.Write(KeyOf("abcd"));
  ASSERT_TRUE(writer);
  ASSERT_EQ((*writer)->Append(Bytes("abcd")), Status());

  EXPECT_EQ((*writer)->Append(Bytes("e")).code(), Code::kInvalidArgument);
}

TEST_P(BlobStoreContract, ADroppedWriterLeavesNothing) {
  {
    auto writer = store_.Write(KeyOf("abcd"));
    ASSERT_TRUE(writer);
    ASSERT_EQ((*writer)->Append(Bytes("abcd")), Status());
  }

  EXPECT_EQ(CodeOf(store_.Read(KeyOf("abcd"), {})), Code::kNotFound);
}

TEST_P(BlobStoreContract, PiecesAreTakenInOrderAndSizeCountsThem) {
  std::string text = Random(3).NextBytes(1'000'000);
  auto writer = store_.Write(KeyOf(text));
  ASSERT_TRUE(writer);
  Random random(5);
  for (size_t at = 0; at < text.size();) {
    size_t n = std::min<size_t>(random.Below(100'000), text.size() - at);
    ASSERT_EQ((*writer)->Append(Bytes(text.substr(at, n))), Status());
    at += n;
    EXPECT_EQ((*writer)->size(), at);
  }

  ASSERT_EQ((*writer)->Commit(), Status());

  EXPECT_EQ(ReadAll(store_, KeyOf(text)), text);
}

TEST_P(BlobStoreContract, ABlobIsNotVisibleBeforeItsCommit) {
  auto writer = store_.Write(KeyOf("abcd"));
  ASSERT_TRUE(writer);
  ASSERT_EQ((*writer)->Append(Bytes("abcd")), Status());

  EXPECT_THAT(*store_.FindMissing(0, {{KeyOf("abcd").digest}}), ElementsAre(0));
}

TEST_P(BlobStoreContract, TwoWritersOfTheSameBlobBothSucceed) {
  auto first = store_.Write(KeyOf("abcd"));
  auto second = store_.Write(KeyOf("abcd"));
  ASSERT_TRUE(first && second);
  ASSERT_EQ((*first)->Append(Bytes("ab")), Status());
  ASSERT_EQ((*second)->Append(Bytes("abcd")), Status());
  ASSERT_EQ((*second)->Commit(), Status());
  ASSERT_EQ((*first)->Append(Bytes("cd")), Status());

  EXPECT_EQ((*first)->Commit(), Status());
  EXPECT_EQ(ReadAll(store_, KeyOf("abcd")), "abcd");
}

TEST_P(BlobStoreContract, BytesThatWereReadStayValidWhenTheBlobIsWrittenAgain) {
  ASSERT_EQ(PutText(store_, "abcd"), Status());
  auto held = store_.Read(KeyOf("abcd"), {});
  ASSERT_TRUE(held);

  ASSERT_EQ(PutText(store_, "abcd"), Status());

  EXPECT_EQ(Flatten(*held), "abcd");
}

TEST_P(BlobStoreContract, AnUnknownDigestFunctionIsRefused) {
  EXPECT_EQ(CodeOf(store_.Write({Digest{.size_bytes = 1}, 0})), Code::kInvalidArgument);
}

TEST_P(BlobStoreContract, TryMethodsThatAnswerAgreeWithTheBlockingOnes) {
  std::string text = Random(9).NextBytes(1000);
  auto put = store_.TryPut(KeyOf(text), Bytes(text), false);
  ASSERT_EQ(put.has_value() ? *put : PutText(store_, text), Status());
  auto wrong = store_.TryPut(KeyOf("abcd"), Bytes("abcX"), false);

  auto missing = store_.TryFindMissing(0, {{KeyOf("absent").digest, KeyOf(text).digest}});
  auto read = store_.TryRead(KeyOf(text), {10, 20});
  auto absent = store_.TryRead(KeyOf("absent"), {});

  EXPECT_EQ(wrong ? wrong->code() : Code::kInvalidArgument, Code::kInvalidArgument);
  if (missing) {
    EXPECT_THAT(missing->value(), ElementsAre(0));
  }
  EXPECT_EQ(read ? Flatten(read->value()) : text.substr(10, 10), text.substr(10, 10));
  EXPECT_EQ(absent ? CodeOf(*absent) : Code::kNotFound, Code::kNotFound);
  EXPECT_EQ(ReadAll(store_, KeyOf(text)), text);
}

TEST_P(BlobStoreContract, ManyBlobsAreStoredAtOnceEachWithItsOwnAnswer) {
  std::vector<std::pair<Digest, Bytes>> blobs;
  for (size_t i = 0; i < 300; ++i) {
    std::string text = Random(i).NextBytes(i * i % 90'000);
    blobs.emplace_back(KeyOf(text).digest, Bytes(i % 50 == 7 ? "other bytes" : text));
  }
  auto check = [&](const std::vector<Status>& answers) {
    ASSERT_EQ(answers.size(), blobs.size());
    for (size_t i = 0; i < blobs.size(); ++i) {
      const auto& [digest, bytes] = blobs[i];
      EXPECT_EQ(answers[i].code(), i % 50 == 7 ? Code::kInvalidArgument : Code::kOk) << i;
      EXPECT_EQ(CodeOf(store_.Read({digest, 0}, {})), i % 50 == 7 ? Code::kNotFound : Code::kOk);
      if (i % 50 != 7) {
        EXPECT_EQ(ReadAll(store_, {digest, 0}), bytes.view());
      }
    }
  };

  // Neither, either or both ways may come first.
  auto tried = store_.TryPutMany(0, std::span(blobs).first(100), false);
  check(store_.PutMany(0, blobs));

  if (tried) {
    EXPECT_EQ(tried->size(), 100u);
  }
  auto read = store_.ReadMany(0, {{blobs[1].first, blobs[7].first, blobs[2].first}});
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(Flatten(*read[0]), blobs[1].second.view());
  EXPECT_EQ(CodeOf(read[1]), Code::kNotFound);
  EXPECT_EQ(Flatten(*read[2]), blobs[2].second.view());
}

TEST_P(BlobStoreContract, ManyBlobsReadWithoutBlockingAreThoseReadOneByOne) {
  std::vector<Digest> digests;
  for (size_t i = 0; i < 60; ++i) {
    std::string text = Random(i).NextBytes(i * i * 15);
    if (i % 10 != 3) {
      ASSERT_EQ(PutText(store_, text), Status());
    }
    digests.push_back(KeyOf(text).digest);
  }
  digests.push_back(digests[5]);

  // The first time some are checked, the second none.
  for (int i = 0; i < 2; ++i) {
    auto tried = store_.TryReadMany(0, digests);
    auto read = store_.ReadMany(0, digests);
    if (!tried) continue;
    ASSERT_EQ(tried->size(), read.size());
    for (size_t k = 0; k < read.size(); ++k) {
      EXPECT_EQ(CodeOf((*tried)[k]), CodeOf(read[k])) << k;
      EXPECT_EQ(CodeOf(read[k]), k % 10 == 3 && k < 60 ? Code::kNotFound : Code::kOk) << k;
      if (read[k]) {
        EXPECT_EQ(Flatten(*(*tried)[k]), Flatten(*read[k])) << k;
      }
    }
  }
}

TEST_P(BlobStoreContract, ManyThreadsReadAndWriteAtOnce) {
  constexpr int kThreads = 4, kBlobs = 60;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<uint64_t>(t));
      for (int i = 0; i < kBlobs; ++i) {
        // Every blob is written by two of the threads.
        std::string text = Random(static_cast<uint64_t>(i + t / 2 * 1000))
                               .NextBytes(static_cast<size_t>(1 + i * 997));
        if (!PutText(store_, text).ok()) ++wrong;
        if (ReadAll(store_, KeyOf(text)) != text) ++wrong;
        if (!store_.FindMissing(0, {{KeyOf(text).digest}})->empty()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace lre::store
