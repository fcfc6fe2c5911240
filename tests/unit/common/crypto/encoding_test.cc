#include "common/crypto/encoding.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace slipway {
namespace {

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

TEST(HexTest, GoesThereAndBack) {
  EXPECT_EQ(HexEncode(std::string("\x00\x9f\xff", 3)), "009fff");
  EXPECT_EQ(HexDecode(HexEncode(AllBytes())), AllBytes());
  EXPECT_EQ(HexDecode("ABcd"), "\xab\xcd");
}

TEST(HexTest, RefusesWhatIsNoHex) {
  for (const char* bad : {"0", "0g", "g0", " 00", "0x00", "00 "}) {
    EXPECT_FALSE(HexDecode(bad).has_value()) << bad;
  }
}

// RFC 4648, section 10, without the padding.
TEST(Base64UrlTest, AgreesWithRfc4648) {
  EXPECT_EQ(Base64UrlEncode(""), "");
  EXPECT_EQ(Base64UrlEncode("f"), "Zg");
  EXPECT_EQ(Base64UrlEncode("fo"), "Zm8");
  EXPECT_EQ(Base64UrlEncode("foo"), "Zm9v");
  EXPECT_EQ(Base64UrlEncode("foob"), "Zm9vYg");
  EXPECT_EQ(Base64UrlEncode("fooba"), "Zm9vYmE");
  EXPECT_EQ(Base64UrlEncode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64UrlEncode("\xfb\xff"), "-_8");
}

TEST(Base64UrlTest, GoesThereAndBackAtEveryLength) {
  const std::string bytes = AllBytes();
  for (size_t size = 0; size <= bytes.size(); ++size) {
    EXPECT_EQ(Base64UrlDecode(Base64UrlEncode(bytes.substr(0, size))), bytes.substr(0, size));
  }
}

TEST(Base64UrlTest, RefusesEveryOtherText) {
  for (const char* bad : {"A", "Zg==", "Zg=", "Zm+v", "Zm/v", "Zm9v\n", " Zm9v", "Zm9vA"}) {
    EXPECT_FALSE(Base64UrlDecode(bad).has_value()) << bad;
  }
}

TEST(Base64UrlTest, GivesEachValueOneTextOnly) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::set<std::string> values;
  int accepted = 0;
  for (const char a : digits) {
    for (const char b : digits) {
      const auto value = Base64UrlDecode(std::string{a, b});
      if (!value) continue;
      ++accepted;
      values.insert(*value);
    }
  }
  EXPECT_EQ(accepted, 256);
  EXPECT_EQ(values.size(), 256u);
}

}  // namespace
}  // namespace slipway
