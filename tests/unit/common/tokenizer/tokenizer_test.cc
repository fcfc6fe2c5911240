#include "common/tokenizer/tokenizer.h"

#include <string>
#include <string_view>
#include <vector>

#include "common/fields/field_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using Unit = Tokenizer::Unit;

Tokenizer Fit(Tokenizer::Fields fields, const std::vector<std::string_view>& texts,
              const VocabularyLimits& limits = {}) {
  return FitTokenizer(std::move(fields), limits, texts);
}

// The tokens of a text, as they are called.
std::vector<std::string> Names(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> names;
  for (const int32_t id : tokenizer.Encode(text)) names.push_back(tokenizer.NameOf(id));
  return names;
}

TEST(TokenizerTest, WordsAreLettersInARowAndEachOtherCharacterIsOne) {
  const std::string_view text = "Don't stop_it,\tna\xc3\xafve 42!!\n";
  EXPECT_THAT(Names(Fit({Unit::kWord}, {text}), text),
              ElementsAre("Don", "'", "t", "stop_it", ",", "na\xc3\xafve", "42", "!", "!"));
}

TEST(TokenizerTest, CharactersAreThoseOfUtf8) {
  const std::string_view text = "a\xc3\xa9 \xe2\x82\xac";
  EXPECT_THAT(Names(Fit({Unit::kCharacter}, {text}), text),
              ElementsAre("a", "\xc3\xa9", "<0x20>", "\xe2\x82\xac"));
}

TEST(TokenizerTest, BytesNeedNoVocabulary) {
  const Tokenizer bytes({Unit::kByte});
  EXPECT_EQ(bytes.size(), 258);
  EXPECT_THAT(bytes.Encode(std::string_view("a\0\xff", 3)), ElementsAre(2 + 'a', 2, 2 + 255));
  EXPECT_EQ(bytes.NameOf(2), "<0x00>");
  EXPECT_TRUE(Fit({Unit::kByte}, {"abc"}).fields().vocabulary.empty());
}

TEST(TokenizerTest, AMaskIsTheLastIdAndStandsInNoText) {
  EXPECT_EQ(Tokenizer({Unit::kByte}).mask(), std::nullopt);
  Tokenizer::Fields fields = {.unit = Unit::kWord, .has_mask = true};
  const Tokenizer words = Fit(fields, {"b a c [MASK]"}, {.size = 6});
  EXPECT_EQ(words.size(), 6) << "the mask is one of them";
  EXPECT_EQ(words.mask(), 5);
  EXPECT_EQ(words.NameOf(5), "[MASK]");
  EXPECT_THAT(words.Encode("[MASK]"), ::testing::Each(::testing::Lt(5)));
  Tokenizer::Fields written = words.fields();
  EXPECT_EQ(WriteFields(written)["has_mask"], true);
  fields.unit = Unit::kByte;
  EXPECT_EQ(Tokenizer(fields).mask(), 258);
}

TEST(TokenizerTest, FrequentTokensComeFirstAndEqualOnesInTheOrderOfBytes) {
  const Tokenizer words = Fit({Unit::kWord}, {"b a c", "c b c"});
  EXPECT_THAT(words.fields().vocabulary, ElementsAre("c", "b", "a"));
  EXPECT_THAT(words.Encode("a b c"), ElementsAre(4, 3, 2));
  EXPECT_EQ(words.size(), 5);
}

TEST(TokenizerTest, WhatTheVocabularyLacksIsUnknown) {
  const std::vector<std::string_view> texts = {"a a a b b c"};
  EXPECT_THAT(Fit({Unit::kWord}, texts, {.size = 4}).fields().vocabulary, ElementsAre("a", "b"));
  const Tokenizer frequent = Fit({Unit::kWord}, texts, {.min_frequency = 3});
  EXPECT_THAT(frequent.Encode("a b never"),
              ElementsAre(2, Tokenizer::kUnknown, Tokenizer::kUnknown));
  EXPECT_THAT(Names(frequent, "b"), ElementsAre("[UNK]"));
  EXPECT_EQ(frequent.NameOf(Tokenizer::kPad), "[PAD]");
  const std::string longest(Tokenizer::kMaxTokenBytes, 'x');
  const std::string longer = longest + 'x';
  EXPECT_THAT(Fit({Unit::kWord}, {longest, longer}).fields().vocabulary, ElementsAre(longest));
}

TEST(TokenizerTest, SmallAndCapitalLettersAreOneWhereTheSpecSaysSo) {
  const Tokenizer small = Fit({.unit = Unit::kWord, .lowercase = true}, {"The the THE"});
  EXPECT_THAT(small.fields().vocabulary, ElementsAre("the"));
  EXPECT_THAT(small.Encode("tHe"), ElementsAre(2));
  EXPECT_EQ(Fit({.unit = Unit::kWord}, {"The the THE"}).fields().vocabulary.size(), 3u);
}

TEST(TokenizerTest, TakesAnyBytes) {
  const Tokenizer characters = Fit({Unit::kCharacter}, {"a\xc3\xa9"});
  // A broken character is one unknown token a byte.
  EXPECT_THAT(characters.Encode("a\xc3"), ElementsAre(2, Tokenizer::kUnknown));
  EXPECT_THAT(characters.Encode("\xff\xfe"), ElementsAre(Tokenizer::kUnknown, Tokenizer::kUnknown));
  EXPECT_TRUE(characters.Encode("").empty());
  const Tokenizer words = Fit({Unit::kWord}, {"a"});
  EXPECT_TRUE(words.Encode(" \t\r\n\v\f").empty());
  EXPECT_THAT(words.Encode("\xff\xff a"), ElementsAre(Tokenizer::kUnknown, 2));
}

TEST(TokenizerTest, IsReadBackAsItWasPrinted) {
  Tokenizer::Fields fields = Fit({.unit = Unit::kWord, .lowercase = true}, {"a b b"}).fields();
  const auto printed = WriteFields(fields);
  EXPECT_EQ(printed.dump(),
            R"({"type":"word","lowercase":true,"vocabulary":["b","a"],"has_mask":false})");
  Tokenizer::Fields again;
  ASSERT_TRUE(ReadFields(nlohmann::json(printed), "t", again).ok());
  EXPECT_EQ(Tokenizer(again).Encode("A B"), Tokenizer(fields).Encode("A B"));
}

TEST(TokenizerTest, NamesWhatIsWrongWithAVocabulary) {
  const auto error = [](const Tokenizer::Fields& fields) {
    return std::string(fields.Check("t").message());
  };
  EXPECT_EQ(error({.unit = Unit::kWord, .vocabulary = {"a", "b"}}), "");
  EXPECT_EQ(error({.unit = Unit::kWord, .vocabulary = {"a", "a"}}),
            "t.vocabulary: must name each token once");
  EXPECT_EQ(error({.unit = Unit::kByte, .vocabulary = {"a"}}),
            "t.vocabulary: must be absent for bytes");
}

}  // namespace
}  // namespace slipway
