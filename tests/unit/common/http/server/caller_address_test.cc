#include "common/http/server/caller_address.h"

#include <gtest/gtest.h>

#include <vector>

namespace slipway::http {
namespace {

std::string Caller(const std::vector<std::string>& forwarded) {
  const auto proxies = Networks::Parse({"10.0.0.0/8", "2001:db8::/32"}, "proxies");
  Headers headers = {{"host", "x"}};
  for (const std::string& value : forwarded) headers.Add("X-Forwarded-For", value);
  return CallerAddress(*proxies, "10.0.0.1", headers);
}

TEST(CallerAddressTest, IsTheLastThatIsNoProxy) {
  EXPECT_EQ(Caller({"192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(Caller({"192.0.2.1, 10.9.9.9"}), "192.0.2.1");
  EXPECT_EQ(Caller({"192.0.2.1,192.0.2.2 ,10.9.9.9, 2001:db8::5"}), "192.0.2.2");
}

TEST(CallerAddressTest, BelievesNothingBeforeIt) {
  EXPECT_EQ(Caller({"10.0.0.2, 192.0.2.1"}), "192.0.2.1");
  EXPECT_EQ(Caller({"127.0.0.1, 192.0.2.1"}), "192.0.2.1");
}

TEST(CallerAddressTest, ReadsFieldsInTheirOrder) {
  EXPECT_EQ(Caller({"192.0.2.1", "192.0.2.2", "10.9.9.9"}), "192.0.2.2");
  EXPECT_EQ(Caller({"192.0.2.1", "", " , "}), "192.0.2.1");
}

TEST(CallerAddressTest, IsTheFirstWhereAllAreProxies) {
  EXPECT_EQ(Caller({"10.1.1.1, 10.2.2.2"}), "10.1.1.1");
}

TEST(CallerAddressTest, IsThePeerWithoutTheField) { EXPECT_EQ(Caller({}), "10.0.0.1"); }

TEST(CallerAddressTest, EndsAtWhatIsNoAddress) {
  EXPECT_EQ(Caller({"unknown"}), "10.0.0.1");
  EXPECT_EQ(Caller({"192.0.2.1, _hidden, 10.2.2.2"}), "10.2.2.2");
  EXPECT_EQ(Caller({"192.0.2.1, [::1"}), "10.0.0.1");
}

TEST(CallerAddressTest, PassesOverPortsAndWritesOneForm) {
  EXPECT_EQ(Caller({"192.0.2.1:4711"}), "192.0.2.1");
  EXPECT_EQ(Caller({"[2001:DB9::1]:4711"}), "2001:db9::1");
  EXPECT_EQ(Caller({"2001:DB9:0::1"}), "2001:db9::1");
  EXPECT_EQ(Caller({"::ffff:192.0.2.1"}), "192.0.2.1");
}

}  // namespace
}  // namespace slipway::http
