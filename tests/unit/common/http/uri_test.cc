#include "common/http/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::http {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(UriTest, DecodesPercentEncodings) {
  EXPECT_EQ(*PercentDecode("a%2Fb%c3%A9+c"), "a/b\xc3\xa9+c");
  EXPECT_EQ(*PercentDecode(""), "");
  EXPECT_EQ(*PercentDecode("%2525"), "%25") << "once, not twice";
}

TEST(UriTest, RefusesEncodingsThatAreNone) {
  for (const char* text : {"%", "a%2", "%zz", "%2z", "%%20", "%00", "%-1", "%+1", "% 1"}) {
    EXPECT_FALSE(PercentDecode(text).ok()) << text;
  }
}

TEST(UriTest, EncodesWhatASegmentMayNotHold) {
  EXPECT_EQ(PercentEncode("a-b._~/ ?#%\xc3\xa9+"), "a-b._~%2F%20%3F%23%25%C3%A9%2B");
  std::string all;
  for (int c = 1; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(*PercentDecode(PercentEncode(all)), all);
}

TEST(UriTest, SplitsAQueryInItsOrder) {
  EXPECT_THAT(*ParseQuery("b=1&a=x+y%26z&&b=&c"),
              ElementsAre(Pair("b", "1"), Pair("a", "x y&z"), Pair("b", ""), Pair("c", "")));
  EXPECT_TRUE(ParseQuery("")->empty());
  EXPECT_THAT(*ParseQuery("a=b=c"), ElementsAre(Pair("a", "b=c")));
}

TEST(UriTest, NamesTheParameterThatIsMalformed) {
  EXPECT_EQ(FieldOf(ParseQuery("a=1&size=%zz").status()), "size");
  EXPECT_EQ(FieldOf(ParseQuery("%zz=1").status()), "query");
}

}  // namespace
}  // namespace slipway::http
