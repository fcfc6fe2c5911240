#include "services/gateway/identity/api_key.h"

#include <set>
#include <string>
#include <type_traits>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

std::string NewText(std::string_view environment = "local") {
  return std::string(MakeApiKey(environment).text.Reveal());
}

TEST(ApiKeyTest, HasAFormThatToolsCanTell) {
  const NewApiKey key = MakeApiKey("live");
  EXPECT_THAT(std::string(key.text.Reveal()),
              ::testing::MatchesRegex("slw_live_k[a-z2-7]{15}_[0-9A-Za-z]{38}"));
  EXPECT_EQ(KeyIdOf(key.text.Reveal()), key.id);
}

TEST(ApiKeyTest, IsNeverTheSameTwice) {
  std::set<std::string> texts;
  std::set<std::string> ids;
  for (int i = 0; i < 2000; ++i) {
    const NewApiKey key = MakeApiKey("local");
    texts.insert(std::string(key.text.Reveal()));
    ids.insert(key.id);
  }
  EXPECT_EQ(texts.size(), 2000u);
  EXPECT_EQ(ids.size(), 2000u);
}

TEST(ApiKeyTest, UsesTheWholeAlphabetEvenly) {
  std::map<char, int> counts;
  for (int i = 0; i < 4000; ++i) {
    const std::string text = NewText();
    for (const char c : text.substr(text.size() - 38, 32)) ++counts[c];
  }
  EXPECT_EQ(counts.size(), 62u);
  const double expected = 4000.0 * 32 / 62;
  for (const auto& [c, count] : counts) EXPECT_NEAR(count, expected, 0.15 * expected) << c;
}

TEST(ApiKeyTest, AnyChangedCharacterBreaksTheChecksum) {
  const std::string text = NewText();
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'a', 'B', '3', '_', ' ', '\0'}) {
      if (text[i] == c) continue;
      std::string changed = text;
      changed[i] = c;
      EXPECT_FALSE(KeyIdOf(changed).has_value()) << i << " " << changed;
    }
  }
}

TEST(ApiKeyTest, TwoSwappedCharactersBreakTheChecksum) {
  const std::string text = NewText();
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    std::string swapped = text;
    std::swap(swapped[i], swapped[i + 1]);
    if (swapped != text) {
      EXPECT_FALSE(KeyIdOf(swapped).has_value()) << i;
    }
  }
}

TEST(ApiKeyTest, ACutOrLengthenedKeyIsNone) {
  const std::string text = NewText();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(KeyIdOf(text.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(KeyIdOf(text + "0").has_value());
  EXPECT_FALSE(KeyIdOf(" " + text).has_value());
  EXPECT_FALSE(KeyIdOf(std::string(1 << 20, 'a')).has_value());
}

TEST(ApiKeyTest, EnvironmentsAreShortWords) {
  for (const char* good : {"local", "live", "t", "prod2"}) EXPECT_TRUE(IsKeyEnvironment(good));
  for (const char* bad : {"", "Live", "a_b", "a-b", "0123456789abcdefg"}) {
    EXPECT_FALSE(IsKeyEnvironment(bad)) << bad;
  }
}

TEST(ApiKeyTest, ASecretCannotBeFormatted) {
  static_assert(!fmt::is_formattable<Secret>::value);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
}

}  // namespace
}  // namespace slipway::gateway
