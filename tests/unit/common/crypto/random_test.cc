#include "common/crypto/random.h"

#include <bitset>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(RandomTest, GivesAsManyBytesAsAsked) {
  EXPECT_EQ(RandomBytes(0), "");
  EXPECT_EQ(RandomBytes(33).size(), 33u);
  EXPECT_EQ(RandomHex(16).size(), 32u);
  EXPECT_EQ(RandomHex(64).find_first_not_of("0123456789abcdef"), std::string::npos);
}

TEST(RandomTest, NeverRepeatsAnId) {
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) ids.insert(RandomHex(16));
  EXPECT_EQ(ids.size(), 10'000u);
}

// 64,000 bits, of which half are set but for 8 standard deviations.
TEST(RandomTest, SetsEachBitAsOftenAsNot) {
  int set = 0;
  for (int i = 0; i < 1000; ++i) set += static_cast<int>(std::bitset<64>(RandomUint64()).count());
  EXPECT_NEAR(set, 32'000, 8 * 126);
}

}  // namespace
}  // namespace slipway
