#include "common/net/network.h"

#include <gtest/gtest.h>

namespace slipway {
namespace {

bool Contains(const char* network, const char* address) {
  const auto parsed = Network::Parse(network);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Contains(IpAddress::Parse(address).value());
}

TEST(IpAddressTest, ReadsAndWritesBothFamilies) {
  EXPECT_EQ(IpAddress::Parse("192.0.2.1")->ToString(), "192.0.2.1");
  EXPECT_EQ(IpAddress::Parse("2001:DB8:0:0::0001")->ToString(), "2001:db8::1");
  EXPECT_EQ(IpAddress(IpAddress::V4Bytes{10, 0, 0, 1}), IpAddress::Parse("10.0.0.1"));
}

TEST(IpAddressTest, TakesAMappedAddressForTheOneThatItMaps) {
  const auto mapped = IpAddress::Parse("::ffff:192.0.2.1");
  ASSERT_TRUE(mapped.has_value());
  EXPECT_TRUE(mapped->is_v4());
  EXPECT_EQ(mapped->ToString(), "192.0.2.1");
  EXPECT_EQ(mapped, IpAddress::Parse("192.0.2.1"));
}

TEST(IpAddressTest, RefusesWhatIsNoAddress) {
  for (const char* text :
       {"", "unix", "192.0.2", "192.0.2.256", "192.0.2.01", "0x7f.0.0.1", "192.0.2.1:80", "[::1]",
        "fe80::1%lo", " 192.0.2.1", "192.0.2.1 ", "::1::"}) {
    EXPECT_FALSE(IpAddress::Parse(text).has_value()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string("192.0.2.1\0x", 11)).has_value());
}

TEST(NetworkTest, ContainsTheAddressesThatShareItsBits) {
  EXPECT_TRUE(Contains("192.0.2.0/24", "192.0.2.255"));
  EXPECT_FALSE(Contains("192.0.2.0/24", "192.0.3.0"));
  EXPECT_TRUE(Contains("192.0.2.128/25", "192.0.2.129"));
  EXPECT_FALSE(Contains("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(Contains("172.16.0.0/12", "172.31.255.255"));
  EXPECT_FALSE(Contains("172.16.0.0/12", "172.32.0.0"));
  EXPECT_TRUE(Contains("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(Contains("2001:db8::/33", "2001:db8:8000::1"));
}

TEST(NetworkTest, IsOneAddressWithoutALength) {
  EXPECT_TRUE(Contains("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(Contains("192.0.2.1", "192.0.2.2"));
  EXPECT_TRUE(Contains("::1", "::1"));
  EXPECT_FALSE(Contains("::1", "::2"));
}

TEST(NetworkTest, KeepsTheFamiliesApart) {
  EXPECT_TRUE(Contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_TRUE(Contains("0.0.0.0/0", "::ffff:203.0.113.9"));
  EXPECT_FALSE(Contains("0.0.0.0/0", "::1"));
  EXPECT_TRUE(Contains("::/0", "2001:db8::1"));
  EXPECT_FALSE(Contains("::/0", "203.0.113.9"));
}

TEST(NetworkTest, RefusesWhatIsNoNetwork) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8",
                           "10.0.0.0/+8", "::/129", "10.0.0.1/8", "2001:db8::1/32", "all"}) {
    EXPECT_FALSE(Network::Parse(text).ok()) << text;
  }
}

TEST(NetworksTest, ContainWhatAnyOfThemDoes) {
  const auto networks = Networks::Parse({"10.0.0.0/8", "::1"}, "trusted_proxies");
  ASSERT_TRUE(networks.ok()) << networks.status();
  EXPECT_TRUE(networks->Contain("10.9.8.7"));
  EXPECT_TRUE(networks->Contain("::1"));
  EXPECT_FALSE(networks->Contain("11.0.0.1"));
  EXPECT_FALSE(networks->Contain("unix"));
  EXPECT_FALSE(Networks().Contain("10.0.0.1"));
}

TEST(NetworksTest, NameTheFieldAndTheTextThatIsWrong) {
  const auto networks = Networks::Parse({"10.0.0.0/8", "10.0.0.1/8"}, "trusted_proxies");
  EXPECT_EQ(FieldOf(networks.status()), "trusted_proxies");
  EXPECT_NE(networks.status().message().find("10.0.0.1/8"), std::string::npos);
}

}  // namespace
}  // namespace slipway
