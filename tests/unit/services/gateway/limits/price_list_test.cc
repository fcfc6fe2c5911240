#include "services/gateway/limits/price_list.h"

#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

TEST(PriceListTest, AStarStandsForAnyText) {
  EXPECT_TRUE(FitsPattern("*", ""));
  EXPECT_TRUE(FitsPattern("tenants/acme/*", "tenants/acme/deployments/d"));
  EXPECT_TRUE(FitsPattern("tenants/*/models/m/*", "tenants/acme/models/m/versions/3"));
  EXPECT_TRUE(FitsPattern("*a*b*", "xxaxxaxb"));
  EXPECT_TRUE(FitsPattern("ab", "ab"));
  EXPECT_FALSE(FitsPattern("ab", "abc"));
  EXPECT_FALSE(FitsPattern("*/d", "tenants/acme/deployments/dd"));
  EXPECT_FALSE(FitsPattern("", "a"));
  EXPECT_TRUE(FitsPattern("", ""));
}

TEST(PriceListTest, TheLongestMatchHolds) {
  const PriceList prices({{.id = "all", .match = "*", .request = 1},
                          {.id = "acme", .match = "tenants/acme/*", .request = 2},
                          {.id = "model", .match = "tenants/acme/models/m/*", .request = 3}});
  EXPECT_EQ(prices.Find("tenants/acme/deployments/d", "tenants/acme/models/m/versions/1")->price.id,
            "model");
  EXPECT_EQ(prices.Find("tenants/acme/deployments/d", "tenants/acme/models/n/versions/1")->price.id,
            "acme");
  EXPECT_EQ(prices.Find("tenants/globex/deployments/d", "")->price.id, "all");
  EXPECT_EQ(PriceList({}).Find("tenants/globex/deployments/d", ""), nullptr);
}

TEST(PriceListTest, AddsUpWhatACallDid) {
  const Price price{.id = "p",
                    .match = "*",
                    .request = 10,
                    .compute_second = 2'000'000,
                    .input_million = 150'000,
                    .output_million = 600'000};
  EXPECT_EQ(price.CostOf({}), 10);
  EXPECT_EQ(price.CostOf({.input_tokens = 100, .output_tokens = 50, .compute_micros = 3'000}),
            10 + 15 + 30 + 6'000);
  // A tenth of a millionth, and the most there is.
  EXPECT_EQ(price.CostOf({.input_tokens = 3}), 10);
  EXPECT_GT((Price{.id = "", .match = "", .compute_second = INT64_MAX}.CostOf(
                {.compute_micros = INT64_MAX})),
            1LL << 62);
}

}  // namespace
}  // namespace slipway::gateway
