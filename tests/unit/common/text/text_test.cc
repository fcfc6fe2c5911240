#include "common/text/text.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(TextTest, BlanksAroundATextGoAndThoseInsideStay) {
  EXPECT_EQ(WithoutBlanks(" \ta b\t "), "a b");
  EXPECT_EQ(WithoutBlanks("a"), "a");
  EXPECT_EQ(WithoutBlanks(" \t"), "");
  EXPECT_EQ(WithoutBlanks(""), "");
  EXPECT_EQ(WithoutBlanks("\na"), "\na");
}

TEST(TextTest, ANumberIsTheWholeText) {
  EXPECT_EQ(ParseNumber<int>("-17"), -17);
  EXPECT_EQ(ParseNumber<double>("2.5"), 2.5);
  for (const char* text : {"", " 1", "1 ", "1x", "+1", "x"}) {
    EXPECT_EQ(ParseNumber<int>(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseNumber<uint8_t>("256"), std::nullopt);
  EXPECT_EQ(ParseNumber<uint8_t>("-1"), std::nullopt);
}

}  // namespace
}  // namespace slipway
