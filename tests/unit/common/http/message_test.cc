#include "common/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slipway::http {
namespace {

using ::testing::ElementsAre;

TEST(HeadersTest, FindsNamesWhateverTheirCase) {
  const Headers headers = {{"Content-Type", "text/plain"}, {"X-A", ""}};
  EXPECT_EQ(headers.Get("content-TYPE"), "text/plain");
  EXPECT_TRUE(headers.Has("x-a"));
  EXPECT_EQ(headers.Find("x-a"), "");
  EXPECT_FALSE(headers.Has("x-"));
  EXPECT_EQ(headers.Find("x-ab"), std::nullopt);
  EXPECT_EQ(headers.Get("x-ab"), "");
}

TEST(HeadersTest, KeepsOrderAndRepetition) {
  Headers headers;
  headers.Add("b", "1");
  headers.Add("a", "2");
  headers.Add("B", "3");
  std::string all;
  for (const Headers::Field field : headers) {
    all += std::string(field.name) + "=" + std::string(field.value) + ";";
  }
  EXPECT_EQ(all, "b=1;a=2;B=3;");
  EXPECT_THAT(headers.All("b"), ElementsAre("1", "3"));
  EXPECT_EQ(headers.Get("b"), "1");
}

TEST(HeadersTest, SetReplacesEveryFieldOfThatName) {
  Headers headers = {{"a", "1"}, {"b", "2"}, {"A", "3"}};
  headers.Set("a", "4");
  EXPECT_THAT(headers.All("a"), ElementsAre("4"));
  EXPECT_EQ(headers.size(), 2u);
  headers.Remove("B");
  EXPECT_EQ(headers.size(), 1u);
}

TEST(HeadersTest, TakesItsOwnViewsAsArguments) {
  Headers headers = {{"a", "a value of some length, beyond the small strings"}};
  for (int i = 0; i < 100; ++i) {
    headers.Add(headers.at(0).name, headers.at(0).value);
    headers.Set("b", headers.Get("a"));
  }
  EXPECT_EQ(headers.Get("b"), "a value of some length, beyond the small strings");
  EXPECT_EQ(headers.All("a").size(), 101u);
}

TEST(HeadersTest, CopiesAreApart) {
  Headers headers = {{"a", "1"}};
  const Headers copy = headers;
  headers.Set("a", "2");
  EXPECT_EQ(copy.Get("a"), "1");
}

TEST(MessageTest, ComparesOnlyLettersWithoutCase) {
  EXPECT_TRUE(EqualsIgnoringCase("aZ-09", "Az-09"));
  EXPECT_FALSE(EqualsIgnoringCase("a@", "a`"));
  EXPECT_FALSE(EqualsIgnoringCase("[", "{"));
  EXPECT_FALSE(EqualsIgnoringCase("a", "ab"));
}

}  // namespace
}  // namespace slipway::http
