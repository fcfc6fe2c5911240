#include "services/training/clean_text.h"

#include "gtest/gtest.h"

namespace slipway::training {
namespace {

TEST(CleanTextTest, LeavesUtf8Alone) {
  for (const char* text : {"", "plain", "naïve", "日本", "🚢", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(CleanText(text, 100), text);
  }
}

TEST(CleanTextTest, ReplacesEachByteOfNoCharacter) {
  EXPECT_EQ(CleanText("a\x80z", 100), "a?z");
  EXPECT_EQ(CleanText("\xc3", 100), "?");                 // cut off
  EXPECT_EQ(CleanText("\xc0\xaf", 100), "??");            // overlong
  EXPECT_EQ(CleanText("\xe0\x80\x80", 100), "???");       // overlong
  EXPECT_EQ(CleanText("\xed\xa0\x80", 100), "???");       // a surrogate
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80", 100), "????");  // over U+10FFFF
  EXPECT_EQ(CleanText("\xff\xfe", 100), "??");
}

TEST(CleanTextTest, CutsBetweenCharacters) {
  EXPECT_EQ(CleanText("abc", 2), "ab");
  EXPECT_EQ(CleanText("aé", 2), "a");
  EXPECT_EQ(CleanText("日本", 5), "日");
  EXPECT_EQ(CleanText("日", 0), "");
}

}  // namespace
}  // namespace slipway::training
