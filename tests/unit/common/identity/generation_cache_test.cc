#include "common/identity/generation_cache.h"

#include <string>

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(GenerationCacheTest, FindsWhatWasPutIn) {
  GenerationCache<int> cache(4);
  EXPECT_EQ(cache.Find("a"), nullptr);
  cache.Insert("a", 1);
  ASSERT_NE(cache.Find("a"), nullptr);
  EXPECT_EQ(*cache.Find("a"), 1);
  cache.Insert("a", 2);
  EXPECT_EQ(*cache.Find("a"), 2);
  cache.Clear();
  EXPECT_EQ(cache.Find("a"), nullptr);
}

TEST(GenerationCacheTest, StaysBounded) {
  GenerationCache<int> cache(100);
  for (int i = 0; i < 10'000; ++i) {
    cache.Insert(std::to_string(i), i);
    EXPECT_LE(cache.size(), 200u);
  }
}

TEST(GenerationCacheTest, KeepsWhatIsAskedForThroughAnyNumberOfOthers) {
  GenerationCache<int> cache(10);
  cache.Insert("hot", 7);
  for (int i = 0; i < 1000; ++i) {
    cache.Insert(std::to_string(i), i);
    ASSERT_NE(cache.Find("hot"), nullptr) << i;
    EXPECT_EQ(*cache.Find("hot"), 7);
  }
  EXPECT_EQ(cache.Find("0"), nullptr);
}

TEST(GenerationCacheTest, NeverBringsAnOlderValueBack) {
  GenerationCache<int> cache(2);
  cache.Insert("a", 1);
  cache.Insert("b", 1);
  cache.Insert("c", 1);  // "a" and "b" are old now
  cache.Insert("a", 2);
  for (int i = 0; i < 2; ++i) {
    const int* found = cache.Find("a");
    EXPECT_TRUE(found == nullptr || *found == 2);
    cache.Insert("x" + std::to_string(i), 0);
  }
}

}  // namespace
}  // namespace slipway
