#include "common/http/server/proxy_header.h"

#include <gtest/gtest.h>

#include <string>

namespace slipway::http {
namespace {

using Result = ProxyHeader::Result;

std::string Header(char version_and_command, char family, const std::string& rest) {
  return std::string(kProxySignature) + version_and_command + family +
         static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size()) + rest;
}

// 192.0.2.7:4711 to 10.0.0.1:443
const std::string kV4("\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb", 12);

TEST(ProxyHeaderTest, TellsTheSourceOfBothFamilies) {
  const ProxyHeader v4 = ReadProxyHeader(Header('\x21', '\x11', kV4) + "GET /");
  EXPECT_EQ(v4.result, Result::kDone);
  EXPECT_EQ(v4.size, 28u);
  EXPECT_EQ(v4.source, IpAddress::Parse("192.0.2.7"));

  std::string addresses(36, '\0');
  addresses[0] = '\x20';
  addresses[1] = '\x01';
  addresses[15] = '\x09';
  const ProxyHeader v6 = ReadProxyHeader(Header('\x21', '\x21', addresses));
  EXPECT_EQ(v6.result, Result::kDone);
  EXPECT_EQ(v6.size, 52u);
  EXPECT_EQ(v6.source, IpAddress::Parse("2001::9"));
}

TEST(ProxyHeaderTest, PassesOverWhatElseItSays) {
  const std::string text = Header('\x21', '\x11', kV4 + std::string("\x04\x00\x03xyz", 6));
  const ProxyHeader header = ReadProxyHeader(text);
  EXPECT_EQ(header.result, Result::kDone);
  EXPECT_EQ(header.size, text.size());
  EXPECT_EQ(header.source, IpAddress::Parse("192.0.2.7"));
}

TEST(ProxyHeaderTest, HasNoSourceWhereTheProxySpeaksForItself) {
  for (const std::string& text :
       {Header('\x20', '\x00', ""), Header('\x20', '\x11', kV4), Header('\x21', '\x00', "ab"),
        Header('\x21', '\x12', kV4), Header('\x21', '\x31', std::string(216, 'u'))}) {
    const ProxyHeader header = ReadProxyHeader(text);
    EXPECT_EQ(header.result, Result::kDone);
    EXPECT_EQ(header.size, text.size());
    EXPECT_FALSE(header.source.has_value());
  }
}

TEST(ProxyHeaderTest, AsksForWhatIsMissingAndNoMore) {
  const std::string text = Header('\x21', '\x11', kV4);
  for (size_t bytes = 0; bytes < text.size(); ++bytes) {
    const ProxyHeader header = ReadProxyHeader(std::string_view(text).substr(0, bytes));
    EXPECT_EQ(header.result, Result::kMore) << bytes;
    EXPECT_EQ(header.size, bytes < 16 ? 16 : text.size()) << bytes;
  }
}

TEST(ProxyHeaderTest, IsNoneWhereTheConnectionBeginsOtherwise) {
  for (const std::string_view text :
       {"GET / HTTP/1.1\r\n", "\x16\x03\x01", "PRI * HTTP/2.0\r\n", "\r\nGET / HTTP/1.1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"}) {
    EXPECT_EQ(ReadProxyHeader(text).result, Result::kNone) << text;
  }
}

TEST(ProxyHeaderTest, RefusesWhatIsMalformed) {
  EXPECT_EQ(ReadProxyHeader(Header('\x11', '\x11', kV4)).result, Result::kMalformed) << "version";
  EXPECT_EQ(ReadProxyHeader(Header('\x22', '\x11', kV4)).result, Result::kMalformed) << "command";
  EXPECT_EQ(ReadProxyHeader(Header('\x21', '\x11', kV4.substr(1))).result, Result::kMalformed);
  EXPECT_EQ(ReadProxyHeader(Header('\x21', '\x21', kV4)).result, Result::kMalformed);
  // Known as soon as the length is.
  EXPECT_EQ(ReadProxyHeader(Header('\x21', '\x11', std::string(4081, 'x')).substr(0, 16)).result,
            Result::kMalformed);
}

}  // namespace
}  // namespace slipway::http
