#include "store/log_index.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "base/random.h"
#include "store/crc32c.h"

namespace lre::store {
namespace {

TEST(Crc32c, AgreesWithTheVectorsOfRfc3720) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
}

TEST(Crc32c, PiecesGiveTheChecksumOfTheWhole) {
  std::string text = Random(1).NextBytes(70'000);
  for (size_t cut : {0, 1, 7, 4079, 4080, 4081, 65536, 70'000}) {
    std::string_view view(text);
    EXPECT_EQ(Crc32c(view.substr(cut), Crc32c(view.substr(0, cut))), Crc32c(text)) << cut;
  }
}

TEST(LogIndex, ReadersSeeEveryEntryWhileOthersWriteToItsShard) {
  LogIndex index;
  auto key = [](uint64_t i) { return LogKey{(i << 30) & ((1ull << 54) - 1), i + 1}; };
  constexpr uint64_t kStays = 100;
  for (uint64_t i = 0; i < kStays; ++i) index.Put(LogEntry::Make(key(i), 1, 16, i));
  std::atomic<bool> stop{false};
  std::vector<std::jthread> writers;
  for (uint64_t t = 1; t <= 2; ++t) {
    writers.emplace_back([&, t] {
      while (!stop) {
        for (uint64_t i = 0; i < 300; ++i) index.Put(LogEntry::Make(key(t * 1000 + i), 1, 16, i));
        for (uint64_t i = 0; i < 300; ++i)
          index.Erase(key(t * 1000 + i), LogEntry::Make(key(0), 1, 16, 0).location);
      }
    });
  }

  std::vector<std::jthread> readers;
  std::atomic<int> wrong{0}, touched{0};
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      for (uint64_t i = 0; i < 20'000; ++i) {
        bool moved = false;
        auto entry = index.Touch(key(i % kStays), static_cast<uint32_t>(i / 1000), 5, &moved);
        if (!entry || entry->size() != i % kStays) ++wrong;
        if (moved) ++touched;
      }
    });
  }
  // And one who looks at all of them, as recycling does.
  for (int pass = 0; pass < 200; ++pass) {
    uint64_t seen = 0;
    LogKey before{};
    index.ForEach(LogIndex::ShardOf(key(0)), [&](const LogEntry& entry) {
      if (entry.key.low <= kStays) ++seen;
      if (entry.key < before) ++wrong;
      before = entry.key;
    });
    if (seen != kStays) ++wrong;
  }
  readers.clear();
  stop = true;
  writers.clear();

  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(touched, 3 * static_cast<int>(kStays));  // at ticks 5, 10 and 15, by one of the two
  EXPECT_EQ(index.size(), kStays);
}

TEST(LogIndex, BehavesLikeAMapUnderRandomOperations) {
  uint64_t seed = 4;
  Random random(seed);
  LogIndex index;
  std::map<LogKey, LogEntry> model;
  for (int i = 0; i < 60'000; ++i) {
    // Few shards and few keys, so that clusters, removals and replacements happen.
    LogKey key{random.Below(3) << 54 | random.Below(4000) << 36, random.Below(2) + 1};
    auto it = model.find(key);
    if (random.OneIn(3)) {
      uint64_t location = random.OneIn(4) || it == model.end() ? 1 : it->second.location;
      bool expected = it != model.end() && it->second.location == location;
      ASSERT_EQ(index.Erase(key, location), expected) << "seed " << seed << " step " << i;
      if (expected) model.erase(it);
    } else {
      LogEntry entry = LogEntry::Make(key, static_cast<uint32_t>(i), 16, random.Below(1000));
      ASSERT_EQ(index.Put(entry).has_value(), it != model.end()) << "seed " << seed;
      model[key] = entry;
    }
    LogKey other{random.Below(3) << 54 | random.Below(4000) << 36, random.Below(2) + 1};
    auto found = index.Find(other);
    auto expected = model.find(other);
    ASSERT_EQ(found.has_value(), expected != model.end()) << "seed " << seed << " step " << i;
    if (found) {
      ASSERT_EQ(found->location, expected->second.location);
    }
  }
  EXPECT_EQ(index.size(), model.size());
  std::vector<LogEntry> entries;
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) index.Copy(shard, &entries);
  ASSERT_EQ(entries.size(), model.size());
  auto it = model.begin();
  for (const LogEntry& entry : entries) EXPECT_EQ(entry.key, (it++)->first);
}

TEST(LogIndex, AnEntryKeepsItsFields) {
  LogEntry entry =
      LogEntry::Make({1, 2}, LogEntry::kSegmentMax, (1ull << 39) - 16, LogEntry::kSizeMax);
  entry.set_tick(0xFFFFFF);

  EXPECT_EQ(entry.segment(), LogEntry::kSegmentMax);
  EXPECT_EQ(entry.offset(), (1ull << 39) - 16);
  EXPECT_EQ(entry.size(), LogEntry::kSizeMax);
  EXPECT_EQ(entry.tick(), 0xFFFFFFu);
  EXPECT_FALSE(entry.verified());
  entry.set_verified();
  entry.set_tick(5);
  EXPECT_TRUE(entry.verified());
  EXPECT_EQ(entry.tick(), 5u);
  EXPECT_EQ(entry.size(), LogEntry::kSizeMax);
}

TEST(LogIndex, WhatWasCopiedFillsAnotherAndEraseIfErases) {
  Random random(3);
  LogIndex index, other;
  for (int i = 0; i < 50'000; ++i)
    index.Put(LogEntry::Make({random.Next(), random.Next()}, static_cast<uint32_t>(i), 0, 1));
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    std::vector<LogEntry> entries;
    index.Copy(shard, &entries);
    other.Fill(shard, entries);
    for (const LogEntry& entry : entries) EXPECT_TRUE(other.Find(entry.key));
  }
  EXPECT_EQ(other.size(), 50'000u);

  for (size_t shard = 0; shard < LogIndex::kShards; ++shard)
    other.EraseIf(shard, [](const LogEntry& entry) { return entry.segment() % 2 == 0; });

  EXPECT_EQ(other.size(), 25'000u);
  for (size_t shard = 0; shard < LogIndex::kShards; ++shard) {
    std::vector<LogEntry> entries;
    other.Copy(shard, &entries);
    for (const LogEntry& entry : entries) ASSERT_TRUE(other.Find(entry.key));
  }
}

// Keys of one shard, spread over it, in the order of `i`, which is below 2048.
LogKey KeyOfShard0(uint64_t i) { return {i << 43, 1}; }

TEST(LogIndex, WhoLooksAtEverythingHoldsUpNeitherReadersNorWriters) {
  LogIndex index;
  for (uint64_t i = 1; i <= 1000; ++i) index.Put(LogEntry::Make(KeyOfShard0(i), 1, 16, i));

  // With any lock of the shard held this would wait for itself.
  size_t seen = 0;
  index.ForEach(0, [&](const LogEntry& entry) {
    bool moved = false;
    EXPECT_TRUE(index.Find(entry.key));
    EXPECT_TRUE(index.Touch(entry.key, 9, 1, &moved));
    EXPECT_TRUE(moved);
    EXPECT_TRUE(index.EraseUntouched(entry.key, entry.location, 10));
    ++seen;
  });

  EXPECT_EQ(seen, 1000u);
  EXPECT_EQ(index.size(), 0u);
}

TEST(LogIndex, CopiesNoMoreAtOnceThanItsBoundAndMissesNothing) {
  LogIndex index;
  // Even numbers; what comes while it looks are odd ones.
  for (uint64_t i = 1; i <= 1000; ++i) index.Put(LogEntry::Make(KeyOfShard0(2 * i), 1, 16, i));
  std::vector<uint64_t> late;

  index.ForEach(0, [&](const LogEntry& entry) {
    const uint64_t i = entry.key.high >> 43;
    if (i == 2) {
      for (uint64_t k = 1; k <= 1000; ++k)
        index.Put(LogEntry::Make(KeyOfShard0(2 * k + 1), 1, 16, k));
    }
    if (i % 2 == 1) late.push_back(i);
  });

  // All but those among the first that had been copied by then.
  ASSERT_EQ(late.size(), 1000 - (LogIndex::kCopiedAtOnce - 1));
  EXPECT_EQ(late.front(), 2 * LogIndex::kCopiedAtOnce + 1);
  EXPECT_TRUE(std::is_sorted(late.begin(), late.end()));
}

TEST(LogIndex, GivesUpWhatWasNotTouchedSinceAndTellsWhatWas) {
  LogIndex index;
  LogEntry entry = LogEntry::Make(KeyOfShard0(1), 1, 16, 1);
  entry.set_tick(5);
  index.Put(entry);

  EXPECT_FALSE(index.EraseUntouched(entry.key, entry.location, 5));
  EXPECT_TRUE(index.EraseUntouched(entry.key, entry.location + 64, 6)) << "it is elsewhere";
  EXPECT_TRUE(index.Find(entry.key));
  EXPECT_TRUE(index.EraseUntouched(entry.key, entry.location, 6));
  EXPECT_FALSE(index.Find(entry.key));
  EXPECT_TRUE(index.EraseUntouched(entry.key, entry.location, 6)) << "it is nowhere";
}

TEST(LogIndex, NeedsAtMost48BytesForEachOfManyEntries) {
  Random random(5);
  LogIndex index;
  for (int i = 0; i < 300'000; ++i) {
    index.Put(LogEntry::Make({random.Next(), random.Next()}, 1, 0, 1));
    if (i > 200'000 && i % 10'000 == 0) {
      EXPECT_LE(index.memory_bytes(), index.size() * 52) << i;
    }
  }
}

TEST(LogKey, DependsOnEverythingItNames) {
  LogSecret secret{{1, 2}}, other{{1, 3}};
  Digest digest = ComputeDigest(DigestFunction::kSha256, "x");
  Digest larger = digest;
  larger.size_bytes = 2;
  Digest blake = digest;
  blake.function = DigestFunction::kBlake3;
  LogKey key = KeyOfBlob(secret, digest, 0);

  EXPECT_EQ(KeyOfBlob(secret, digest, 0), key);
  EXPECT_NE(KeyOfBlob(other, digest, 0), key);
  EXPECT_NE(KeyOfBlob(secret, larger, 0), key);
  EXPECT_NE(KeyOfBlob(secret, blake, 0), key);
  EXPECT_NE(KeyOfBlob(secret, digest, 1), key);
  EXPECT_NE(KeyOfValue(secret, "a"), KeyOfValue(secret, std::string_view("a\0", 2)));
}

}  // namespace
}  // namespace lre::store
