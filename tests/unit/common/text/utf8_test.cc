#include "common/text/utf8.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(Utf8Test, SaysHowLongACharacterIs) {
  EXPECT_EQ(Utf8CharacterSize("ab"), 1u);
  EXPECT_EQ(Utf8CharacterSize("\xc3\xa9z"), 2u);
  EXPECT_EQ(Utf8CharacterSize("\xe2\x82\xac"), 3u);
  EXPECT_EQ(Utf8CharacterSize("\xf0\x9f\x98\x80"), 4u);
  EXPECT_EQ(Utf8CharacterSize(std::string_view("\0", 1)), 1u);
}

TEST(Utf8Test, KnowsWhatIsNoCharacter) {
  for (const std::string_view broken :
       {"", "\x80", "\xc3", "\xc3z", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf8\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(Utf8CharacterSize(broken), 0u);
  }
}

TEST(Utf8Test, FindsWhereATextFirstBreaks) {
  EXPECT_EQ(FindBrokenUtf8("a\xc3\xa9\xe2\x82\xac"), 6u);
  EXPECT_EQ(FindBrokenUtf8("a\xc3\xa9\xff z"), 3u);
  EXPECT_EQ(FindBrokenUtf8("ab\xe2\x82"), 2u);
}

}  // namespace
}  // namespace slipway
