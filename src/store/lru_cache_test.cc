#include "store/lru_cache.h"

#include <gtest/gtest.h>

namespace lre::store {
namespace {

TEST(LruCache, GivesUpTheLeastRecentlyUsedBeyondItsBytes) {
  LruCache<int> cache(100);
  cache.Put({1, 0}, 1, 40);
  cache.Put({2, 0}, 2, 40);
  ASSERT_TRUE(cache.Find({1, 0}));

  cache.Put({3, 0}, 3, 40);

  EXPECT_EQ(cache.Find({1, 0}), 1);
  EXPECT_FALSE(cache.Find({2, 0}));
  EXPECT_EQ(cache.Find({3, 0}), 3);
}

TEST(LruCache, KeepsNothingThatIsLargerThanItself) {
  LruCache<int> cache(100), none(0);
  cache.Put({1, 0}, 1, 100);
  cache.Put({2, 0}, 2, 101);
  none.Put({1, 0}, 1, 1);

  EXPECT_TRUE(cache.Find({1, 0}));
  EXPECT_FALSE(cache.Find({2, 0}));
  EXPECT_FALSE(none.Find({1, 0}));
}

}  // namespace
}  // namespace lre::store
