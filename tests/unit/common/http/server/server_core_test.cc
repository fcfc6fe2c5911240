#include "common/http/server/server_core.h"

#include <gtest/gtest.h>

#include <set>

#include "common/http/server/request_id.h"
#include "tests/support/fake_clock.h"

namespace slipway::http {
namespace {

TEST(ConnectionCountsTest, CountsInAllAndByAddress) {
  ServerOptions options;
  options.max_connections = 4;
  options.max_connections_per_address = 2;
  ConnectionCounts counts;
  EXPECT_EQ(counts.Admit("a", options), std::nullopt);
  EXPECT_EQ(counts.Admit("a", options), std::nullopt);
  EXPECT_EQ(counts.Admit("a", options), Refusal::kTooManyFromAddress);
  EXPECT_EQ(counts.Admit("b", options), std::nullopt);
  EXPECT_EQ(counts.Admit("c", options), std::nullopt);
  EXPECT_EQ(counts.Admit("d", options), Refusal::kTooManyConnections);
  EXPECT_EQ(counts.open(), 4);
  counts.Release("a");
  EXPECT_EQ(counts.Admit("a", options), std::nullopt) << "a refusal takes no place";
}

TEST(ConnectionCountsTest, HasNoLimitByAddressForUnixSockets) {
  ServerOptions options;
  options.max_connections_per_address = 1;
  ConnectionCounts counts;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(counts.Admit(kUnixPeer, options), std::nullopt);
}

TEST(ConnectionCountsTest, HasNoLimitByAddressForTrustedProxies) {
  ServerOptions options;
  options.max_connections_per_address = 1;
  options.trusted_proxies = *Networks::Parse({"10.0.0.0/8"}, "proxies");
  ConnectionCounts counts;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(counts.Admit("10.0.0.1", options), std::nullopt);
}

TEST(ConnectionCountsTest, CountsAProxysConnectionForItsCaller) {
  ServerOptions options;
  options.max_connections_per_address = 1;
  options.trusted_proxies = *Networks::Parse({"10.0.0.0/8"}, "proxies");
  ConnectionCounts counts;
  for (int i = 0; i < 2; ++i) EXPECT_EQ(counts.Admit("10.0.0.1", options), std::nullopt);
  EXPECT_EQ(counts.Rename("10.0.0.1", "a", options), std::nullopt);
  EXPECT_EQ(counts.Rename("10.0.0.1", "a", options), Refusal::kTooManyFromAddress);
  EXPECT_EQ(counts.open(), 2);
  counts.Release("10.0.0.1");
  counts.Release("a");
  EXPECT_EQ(counts.open(), 0);
  EXPECT_EQ(counts.Admit("a", options), std::nullopt);
}

TEST(ConnectionCountsTest, WaitsForNoneUntilTheTimeIsUp) {
  ConnectionCounts counts;
  const FakeClock clock;
  EXPECT_TRUE(counts.WaitForNone(clock, absl::ZeroDuration()));
  EXPECT_EQ(counts.Admit("a", {}), std::nullopt);
  EXPECT_FALSE(counts.WaitForNone(clock, absl::ZeroDuration()));
  counts.Release("a");
  EXPECT_TRUE(counts.WaitForNone(clock, absl::ZeroDuration()));
}

TEST(RequestIdTest, IsNeverTheSame) {
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) {
    const std::string id = NewRequestId();
    EXPECT_EQ(id.size(), 32u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_TRUE(ids.insert(id).second);
  }
}

TEST(RefusalTest, EachHasAName) {
  std::set<std::string_view> names;
  for (int i = 0; i < static_cast<int>(Refusal::kCount); ++i) {
    EXPECT_TRUE(names.insert(RefusalName(static_cast<Refusal>(i))).second);
  }
  EXPECT_EQ(names.count("unknown"), 0u);
}

}  // namespace
}  // namespace slipway::http
