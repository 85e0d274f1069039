#include "service/zstd_cache.h"

#include <gtest/gtest.h>

namespace lre::service {
namespace {

store::BlobKey Key(int i) { return {ComputeDigest(DigestFunction::kSha256, std::to_string(i)), 0}; }
BytesList Frames(char what, size_t size) {
  return {Bytes(std::string(1, what)), Bytes(std::string(size - 1, what))};
}

TEST(ZstdCacheTest, GivesBackWhatWasPut) {
  ZstdCache cache(1000);
  cache.Put(Key(1), Frames('a', 100));
  cache.Put(Key(1), Frames('b', 50));  // the same blob again: what is there stays

  ASSERT_TRUE(cache.Find(Key(1)).has_value());
  EXPECT_EQ(Flatten(*cache.Find(Key(1))), std::string(100, 'a'));
  EXPECT_FALSE(cache.Find(Key(2)).has_value());
  EXPECT_EQ(cache.bytes(), 100u);
}

TEST(ZstdCacheTest, DropsWhatWasNotUsedForLongest) {
  ZstdCache cache(1000);
  for (int i = 0; i < 10; ++i) cache.Put(Key(i), Frames('x', 100));
  EXPECT_TRUE(cache.Find(Key(0)).has_value());

  cache.Put(Key(10), Frames('x', 100));

  EXPECT_TRUE(cache.Find(Key(0)).has_value());
  EXPECT_FALSE(cache.Find(Key(1)).has_value());
  EXPECT_TRUE(cache.Find(Key(2)).has_value());
  EXPECT_EQ(cache.bytes(), 1000u);
}

TEST(ZstdCacheTest, DoesNotGiveAllItsRoomToOneBlob) {
  ZstdCache cache(1000);
  cache.Put(Key(1), Frames('x', 126));
  EXPECT_FALSE(cache.Find(Key(1)).has_value());
  cache.Put(Key(1), Frames('x', 125));
  EXPECT_TRUE(cache.Find(Key(1)).has_value());
}

}  // namespace
}  // namespace lre::service
