#include "common/nn/table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsNan;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr char kColumns[] = R"([
  {"type": "number", "name": "age", "fill": [30], "clip": [0, 100], "center": 50, "spread": 10},
  {"type": "category", "name": "city", "encoding": "one_hot", "values": ["oslo", "rome"]},
  {"type": "number", "name": "income", "log": true},
  {"type": "date", "name": "since", "parts": ["year", "weekday"], "center": [2020, 0],
   "spread": [2, 1]}
])";

Table TableOf(std::string_view json) {
  auto table = Table::Parse(nlohmann::json::parse(json), "table");
  EXPECT_TRUE(table.ok()) << table.status();
  return *std::move(table);
}

std::vector<float> Encode(const Table& table, std::vector<float> numbers,
                          std::vector<std::string_view> texts) {
  std::vector<float> out(static_cast<size_t>(table.width()));
  table.Encode(numbers, texts, out);
  return out;
}

std::vector<float> EncodeText(std::string_view column, std::string_view text) {
  return Encode(TableOf("[" + std::string(column) + "]"), {}, {text});
}

TEST(TableTest, EncodesARowColumnByColumn) {
  const Table table = TableOf(kColumns);
  EXPECT_EQ(table.numbers(), 2);
  EXPECT_EQ(table.texts(), 2);
  EXPECT_THAT(Encode(table, {60, 0}, {"rome", "2024-05-03"}), ElementsAre(1, 0, 1, 0, 2, 5));
}

TEST(TableTest, TakesNumbersAndTextsEachAsOneTensor) {
  EXPECT_THAT(TableOf(kColumns).inputs(),
              ElementsAre(TensorSpec{"features", DataType::kFp32, {-1, 2}},
                          TensorSpec{"texts", DataType::kBytes, {-1, 2}}));
  EXPECT_THAT(TableOf(R"([{"type": "number", "name": "x"}])").inputs(),
              ElementsAre(TensorSpec{"features", DataType::kFp32, {-1, 1}}));
}

TEST(TableTest, FillsClipsAndTakesLogarithmsOfNumbers) {
  const Table table = TableOf(kColumns);
  const std::vector<float> filled = Encode(table, {kNan, 0}, {"oslo", "2020-01-01"});
  EXPECT_FLOAT_EQ(filled[0], -2);  // (30 - 50) / 10
  EXPECT_FLOAT_EQ(Encode(table, {1000, 0}, {"oslo", "2020-01-01"})[0], 5);
  EXPECT_FLOAT_EQ(Encode(table, {-1, 0}, {"oslo", "2020-01-01"})[0], -5);
  const float e = std::exp(1.f);
  EXPECT_FLOAT_EQ(Encode(table, {0, e - 1}, {"oslo", "2020-01-01"})[3], 1);
  EXPECT_FLOAT_EQ(Encode(table, {0, 1 - e}, {"oslo", "2020-01-01"})[3], -1);
}

TEST(TableTest, ACellThatIsMissingAndHasNoSubstituteLeavesNaN) {
  const Table table = TableOf(kColumns);
  EXPECT_THAT(Encode(table, {60, kNan}, {"rome", "2024-05-03"})[3], IsNan());
  const std::vector<float> row = Encode(table, {60, 0}, {"", "soon"});
  EXPECT_THAT(row[1], IsNan());
  EXPECT_THAT(row[2], IsNan());
  EXPECT_THAT(row[4], IsNan());
}

TEST(TableTest, EncodesCategories) {
  constexpr char kOneHot[] =
      R"({"type": "category", "name": "c", "encoding": "one_hot", "values": ["a", "b", "c"]})";
  EXPECT_THAT(EncodeText(kOneHot, "b"), ElementsAre(0, 1, 0));
  EXPECT_THAT(EncodeText(kOneHot, "never seen"), ElementsAre(0, 0, 0));
  constexpr char kOrdinal[] = R"({"type": "category", "name": "c", "encoding": "ordinal",
                                  "values": ["low", "middle", "high"], "fill": ["middle"]})";
  EXPECT_THAT(EncodeText(kOrdinal, "low"), ElementsAre(0));
  EXPECT_THAT(EncodeText(kOrdinal, "high"), ElementsAre(1));
  EXPECT_THAT(EncodeText(kOrdinal, ""), ElementsAre(0.5f));
  EXPECT_THAT(EncodeText(kOrdinal, "never seen"), ElementsAre(-1));
}

TEST(TableTest, HashesCategoriesAlikeOnEveryMachine) {
  constexpr char kHash[] = R"({"type": "category", "name": "c", "encoding": "hash", "buckets": 8})";
  // FNV-1a of "a" is af63dc4c8601ec8c; its halves together are 296230c0.
  EXPECT_THAT(EncodeText(kHash, "a"), ElementsAre(1, 0, 0, 0, 0, 0, 0, 0));
  for (const char* text : {"b", "oslo", "\xc3\xa9"}) {
    const std::vector<float> row = EncodeText(kHash, text);
    EXPECT_EQ(std::count(row.begin(), row.end(), 1.f), 1) << text;
    EXPECT_EQ(std::count(row.begin(), row.end(), 0.f), 7) << text;
  }
}

constexpr char kText[] = R"({"type": "text", "name": "t", "max_length": 3,
    "tokenizer": {"type": "word", "lowercase": true, "vocabulary": ["the", "sea"]}})";

TEST(TableTest, TextBecomesIdsAndPadding) {
  EXPECT_THAT(EncodeText(kText, "The sea"), ElementsAre(2, 3, 0));
  EXPECT_THAT(EncodeText(kText, "a boat"), ElementsAre(1, 1, 0));
  EXPECT_THAT(EncodeText(kText, "sea the sea the"), ElementsAre(3, 2, 3));
  auto last = nlohmann::json::parse(kText);
  last["keep"] = "last";
  EXPECT_THAT(EncodeText(last.dump(), "sea the sea the"), ElementsAre(2, 3, 2));
  EXPECT_THAT(EncodeText(last.dump(), "sea"), ElementsAre(3, 0, 0));
}

TEST(TableTest, ATextWithoutATokenIsMissing) {
  EXPECT_THAT(EncodeText(kText, ""), ElementsAre(IsNan(), IsNan(), IsNan()));
  EXPECT_THAT(EncodeText(kText, " \n"), ElementsAre(IsNan(), IsNan(), IsNan()));
  auto filled = nlohmann::json::parse(kText);
  filled["fill"] = {"the"};
  EXPECT_THAT(EncodeText(filled.dump(), " "), ElementsAre(2, 0, 0));
}

TEST(TableTest, KnowsItsTokenizer) {
  const Table table = TableOf("[" + std::string(kText) + "]");
  ASSERT_NE(table.tokenizer(), nullptr);
  EXPECT_EQ(table.tokenizer()->size(), 4);
  EXPECT_EQ(TableOf(table.ToJson().dump()).ToJson(), table.ToJson());
  EXPECT_EQ(TableOf(kColumns).tokenizer(), nullptr);
}

TEST(TableTest, EncodesABatchOfTensors) {
  const Table table = TableOf(kColumns);
  const std::vector<float> numbers = {60, 0, 40, 0};
  const Tensor features =
      Tensor::Make("features", DataType::kFp32, {2, 2},
                   Buffer::Own(std::string(reinterpret_cast<const char*>(numbers.data()),
                                           numbers.size() * sizeof(float))),
                   "f")
          .value();
  const Tensor texts =
      Tensor::Make("texts", DataType::kBytes, {2, 2},
                   Buffer::Own(EncodeTexts({"rome", "2024-05-03", "oslo", "2020-01-01"})), "t")
          .value();
  const auto encoded = table.Encode(std::vector<Tensor>{features, texts});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->shape(), Shape({2, 6}));
  std::vector<float> values(12);
  std::memcpy(values.data(), encoded->data().data(), values.size() * sizeof(float));
  EXPECT_THAT(values, ElementsAre(1, 0, 1, 0, 2, 5, -1, 1, 0, 0, 0, 3));

  EXPECT_FALSE(table.Encode(std::vector<Tensor>{features}).ok());
  EXPECT_FALSE(table.Encode(std::vector<Tensor>{texts, features}).ok());
  const Tensor one = Tensor::Make("texts", DataType::kBytes, {1, 2},
                                  Buffer::Own(EncodeTexts({"rome", "2024-05-03"})), "t")
                         .value();
  EXPECT_THAT(std::string(table.Encode(std::vector<Tensor>{features, one}).status().message()),
              HasSubstr("texts: has 1 rows, the other tensor 2"));
}

TEST(TableTest, MasksRawRowsBeforeItEncodesThem) {
  const Table table = TableOf(R"([
      {"type": "number", "name": "age", "mask": {"method": "generalize", "width": 10}},
      {"type": "number", "name": "plain"},
      {"type": "category", "name": "zip", "encoding": "one_hot", "values": ["10", "20"],
       "mask": {"method": "generalize", "prefix": 2}},
      {"type": "category", "name": "mail", "encoding": "one_hot", "values": ["redacted"],
       "fill": ["none"], "mask": {"method": "redact"}}])");
  const std::vector<float> numbers = {37, 37, kNan, 1};
  const Tensor features =
      Tensor::Make("features", DataType::kFp32, {2, 2},
                   Buffer::Own(std::string(reinterpret_cast<const char*>(numbers.data()),
                                           numbers.size() * sizeof(float))),
                   "f")
          .value();
  const Tensor texts = Tensor::Make("texts", DataType::kBytes, {2, 2},
                                    Buffer::Own(EncodeTexts({"20095", "a@b.c", "10115", ""})), "t")
                           .value();
  const auto encoded = table.Encode(std::vector<Tensor>{features, texts});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  std::vector<float> values(10);
  std::memcpy(values.data(), encoded->data().data(), values.size() * sizeof(float));
  EXPECT_THAT(values, ElementsAre(30, 37, 0, 1, 1, IsNan(), 1, 1, 0, 0));
  EXPECT_EQ(TableOf(table.ToJson().dump()).ToJson(), table.ToJson());
}

TEST(TableTest, IsReadBackAsItWasPrinted) {
  const Table table = TableOf(kColumns);
  const Table again = TableOf(table.ToJson().dump());
  EXPECT_EQ(again.ToJson(), table.ToJson());
  EXPECT_EQ(Encode(again, {42, 7}, {"oslo", "2021-02-03"}),
            Encode(table, {42, 7}, {"oslo", "2021-02-03"}));
}

TEST(TableTest, NamesWhatIsWrongWithADescription) {
  const std::pair<const char*, const char*> table[] = {
      {R"([])", "table: must be a list of 1 to"},
      {R"([{"name": "x"}])", "table[0].type: is required"},
      {R"([{"type": "number"}])", "table[0].name: is required"},
      {R"([{"type": "number", "name": "x", "spread": 0}])", "table[0].spread: "},
      {R"([{"type": "number", "name": "x", "clip": [2, 1]}])", "table[0].clip: must be the least"},
      {R"([{"type": "number", "name": "x", "clip": [2]}])", "table[0].clip: must be the least"},
      {R"([{"type": "number", "name": "x"}, {"type": "number", "name": "x"}])",
       "table[1].name: repeats \"x\""},
      {R"([{"type": "category", "name": "c", "encoding": "one_hot"}])", "table[0].values: must"},
      {R"([{"type": "category", "name": "c", "encoding": "one_hot", "values": ["a", "a"]}])",
       "table[0].values: must name each value once"},
      {R"([{"type": "category", "name": "c", "encoding": "hash"}])", "table[0].buckets: must be"},
      {R"([{"type": "date", "name": "d", "parts": ["year"], "center": [0], "spread": []}])",
       "table[0].spread: "},
      {R"([{"type": "date", "name": "d", "parts": ["week"], "center": [0], "spread": [1]}])",
       "table[0].parts[0]: is no part of a date"},
      {R"([{"type": "number", "name": "x", "mask": {"method": "hash", "key": "k"}}])",
       "table[0].mask: must generalize numbers by a width"},
      {R"([{"type": "category", "name": "c", "encoding": "hash", "buckets": 9,
            "mask": {"method": "hash"}}])",
       "table[0].mask: must have a key to hash by"},
      {R"([{"type": "date", "name": "d", "parts": ["year"], "center": [0], "spread": [1],
            "mask": {"method": "generalize", "unit": "week"}}])",
       "table[0].mask: must generalize dates to year, month or day"},
      {R"([{"type": "number", "name": "x", "mask": {"width": 5}}])",
       "table[0].mask.method: is req"},
      {R"([{"type": "text", "name": "t", "max_length": 3}])", "table[0].tokenizer: is required"},
      {R"([{"type": "text", "name": "t", "tokenizer": {"type": "byte"}}])",
       "table[0].max_length: is required"},
      {R"([{"type": "text", "name": "t", "max_length": 3,
            "tokenizer": {"type": "word", "vocabulary": ["a", "a"]}}])",
       "table[0].tokenizer.vocabulary: must name each token once"},
      {R"([{"type": "number", "name": "x"},
           {"type": "text", "name": "t", "max_length": 3, "tokenizer": {"type": "byte"}}])",
       "table[1]: is text, which must be the only column"},
      {R"([{"type": "text", "name": "t", "max_length": 3, "tokenizer": {"type": "byte"}},
           {"type": "number", "name": "x"}])",
       "table[0]: is text, which must be the only column"},
  };
  for (const auto& [json, error] : table) {
    EXPECT_THAT(std::string(Table::Parse(nlohmann::json::parse(json), "table").status().message()),
                ::testing::StartsWith(error))
        << json;
  }
}

TEST(ParseDateTest, ReadsDatesWithAndWithoutTime) {
  EXPECT_EQ(ParseDate("2026-11-22"), absl::CivilSecond(2026, 11, 22));
  EXPECT_EQ(ParseDate("2026-11-22T21:45"), absl::CivilSecond(2026, 11, 22, 21, 45));
  EXPECT_EQ(ParseDate("2026-11-22 21:45:30.5"), absl::CivilSecond(2026, 11, 22, 21, 45, 30));
  EXPECT_EQ(ParseDate("2026-11-22T21:45:30Z"), absl::CivilSecond(2026, 11, 22, 21, 45, 30));
  EXPECT_EQ(ParseDate("2026-11-22T00:30:00+01:00"), absl::CivilSecond(2026, 11, 21, 23, 30));
  for (const char* bad : {"", "soon", "22.11.2026", "2026-13-01", "2026-02-30", "2026-11-22T25:00",
                          "2026-11-22 and more", "infinite-future"}) {
    EXPECT_FALSE(ParseDate(bad).has_value()) << bad;
  }
}

TEST(ModelDescriptionTest, ATableIsWhatCallersSend) {
  ModelDescription description;
  description.table = TableOf(kColumns);
  description.input = description.table->encoded();
  description.output = OutputOf(Task::kClassification, 2);
  description.architecture =
      ParseArchitecture(nlohmann::json::parse(R"({"type": "mlp", "hidden": [4]})"), "a").value();
  const auto again = ModelDescription::Parse(description.Print(), "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Print(), description.Print());
  EXPECT_EQ(again->inputs(), description.table->inputs());
  EXPECT_EQ(again->input, (TensorSpec{"encoded", DataType::kFp32, {-1, 6}}));
  auto other = nlohmann::json::parse(description.Print());
  other["inputs"].erase(1);
  EXPECT_EQ(ModelDescription::Parse(other.dump(), "").status().message(),
            "inputs: must be what the table takes");
}

}  // namespace
}  // namespace slipway::nn
