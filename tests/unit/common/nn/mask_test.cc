#include "common/nn/mask.h"

#include <cmath>
#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace slipway::nn {
namespace {

Mask MaskBy(MaskMethod method) {
  Mask mask;
  mask.method = method;
  return mask;
}

TEST(MaskTest, ANumberBecomesTheMultipleThatIsNotAbove) {
  Mask mask = MaskBy(MaskMethod::kGeneralize);
  mask.width = 10;
  EXPECT_EQ(mask.Apply(37.f), 30);
  EXPECT_EQ(mask.Apply(40.f), 40);
  EXPECT_EQ(mask.Apply(39.999f), 30);
  EXPECT_EQ(mask.Apply(-3.f), -10);
  EXPECT_EQ(mask.Apply(0.f), 0);
  EXPECT_TRUE(std::isnan(mask.Apply(std::numeric_limits<float>::quiet_NaN())));
  mask.width = 0.1;
  EXPECT_EQ(mask.Apply(0.7f), 0.7f) << "which lies below 0.7 as a float";
  EXPECT_EQ(mask.Apply(0.69f), 0.6f);
}

// A worker masks what was recorded of masked rows once more.
TEST(MaskTest, AMaskedNumberStaysWhatItIs) {
  Mask mask = MaskBy(MaskMethod::kGeneralize);
  for (const double width : {0.001, 0.1, 0.3, 1.0, 3.3, 7.0, 1e6}) {
    mask.width = width;
    for (int i = -5000; i < 5000; ++i) {
      const float once = mask.Apply(static_cast<float>(i) * 0.37f);
      ASSERT_EQ(mask.Apply(once), once) << width << " " << i;
    }
  }
}

TEST(MaskTest, ATextKeepsItsFirstCharacters) {
  Mask mask = MaskBy(MaskMethod::kGeneralize);
  mask.prefix = 2;
  EXPECT_EQ(mask.Apply("10115"), "10");
  EXPECT_EQ(mask.Apply("\xc3\xa9\xe2\x82\xac"
                       "x"),
            "\xc3\xa9\xe2\x82\xac")
      << "not bytes";
  EXPECT_EQ(mask.Apply("1"), "1");
  EXPECT_EQ(mask.Apply(""), "");
}

TEST(MaskTest, ADateBecomesTheFirstDayOfItsUnit) {
  Mask mask = MaskBy(MaskMethod::kGeneralize);
  const auto masked = [&](const char* unit) {
    mask.unit = unit;
    return mask.Apply("1988-03-14T12:30:00Z");
  };
  EXPECT_EQ(masked("year"), "1988-01-01");
  EXPECT_EQ(masked("month"), "1988-03-01");
  EXPECT_EQ(masked("day"), "1988-03-14");
  EXPECT_EQ(mask.Apply("soon"), "");
}

TEST(MaskTest, AHashIsKeyed) {
  Mask mask = MaskBy(MaskMethod::kHash);
  mask.key = "Jefe";
  // RFC 4231, test case 2, and of it the first 16 bytes.
  EXPECT_EQ(mask.Apply("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
  mask.key = "another";
  EXPECT_NE(mask.Apply("what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
  EXPECT_EQ(mask.Apply(""), "") << "what is missing stays missing";
}

TEST(MaskTest, RedactedTextsAreAllAlike) {
  const Mask mask = MaskBy(MaskMethod::kRedact);
  EXPECT_EQ(mask.Apply("a@b.c"), mask.Apply("+49 30 1234"));
  EXPECT_EQ(mask.Apply(""), "");
}

}  // namespace
}  // namespace slipway::nn
