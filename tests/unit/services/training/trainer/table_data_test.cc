// Tables with rules for their columns: cleaning, fitting, splitting. What is fitted is held to
// scikit-learn's StandardScaler, MinMaxScaler, RobustScaler and SimpleImputer, and to numpy's
// percentiles, by numbers that are small enough to check by hand.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/data/open_data.h"
#include "services/training/trainer/data/raw_table.h"
#include "services/training/trainer/data/split.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using training::TargetKind;

class TableDataTest : public ::testing::Test {
 protected:
  // A train part and a test part of its own, so that every row of the first is a training row.
  absl::StatusOr<TrainingData> Open(const json& columns, const std::string& train,
                                    const std::string& test,
                                    TargetKind targets = TargetKind::kReal) {
    spec_.emplace("format", "csv");
    spec_["train"] = {{"inputs", "train.csv"}};
    spec_["target_column"] = "y";
    if (test.empty()) {
      if (!spec_.contains("test_fraction")) spec_["test_fraction"] = 0.25;
    } else {
      spec_["test"] = {{"inputs", "test.csv"}};
    }
    spec_["columns"] = columns;
    WriteFile(folder_ / "train.csv", train);
    WriteFile(folder_ / "test.csv", test);
    training::v1::DataSpec spec;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(spec_.dump(), &spec).ok());
    return OpenData(spec, targets, seed_, [&](const std::string& path) {
      return absl::StatusOr<std::string>(folder_ / path);
    });
  }
  std::string ErrorOf(const json& columns, const std::string& train, const std::string& test) {
    return std::string(Open(columns, train, test).status().message());
  }

  static std::vector<float> RowOf(const Examples& examples, int64_t row) {
    std::vector<float> values(examples.row_bytes / sizeof(float));
    std::memcpy(values.data(),
                examples.inputs.data() + static_cast<size_t>(row) * examples.row_bytes,
                examples.row_bytes);
    return values;
  }
  // The only column, fitted.
  json Fitted(const json& rule, const std::string& cells) {
    std::string train = "x,y\n";
    for (const char c : cells) train += c == ' ' ? std::string(",1\n") : std::string(1, c);
    const auto data = Open(json::array({rule}), train + ",1\n", "x,y\n1,1\n");
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? json(data->table->ToJson()[0]) : json();
  }

  TempDir folder_;
  json spec_;
  uint64_t seed_ = 1;
};

TEST_F(TableDataTest, FitsScales) {
  const auto fit = [&](const char* scale) {
    const json column = Fitted({{"name", "x"}, {"scale", scale}}, "1 2 3 4 10");
    return std::pair(column["center"].get<double>(), column["spread"].get<double>());
  };
  EXPECT_EQ(fit("none"), std::pair(0.0, 1.0));
  EXPECT_DOUBLE_EQ(fit("standardize").first, 4);
  EXPECT_DOUBLE_EQ(fit("standardize").second, std::sqrt(10.0));
  EXPECT_EQ(fit("min_max"), std::pair(1.0, 9.0));
  EXPECT_EQ(fit("robust"), std::pair(3.0, 2.0));
}

TEST_F(TableDataTest, StandardizeIsForNumbersWhoseRuleNamesNoScale) {
  spec_["standardize"] = true;
  EXPECT_DOUBLE_EQ(Fitted({{"name", "x"}}, "1 2 3 4 10")["center"], 4);
  EXPECT_DOUBLE_EQ(Fitted({{"name", "x"}, {"scale", "none"}}, "1 2 3 4 10")["center"], 0);
}

TEST_F(TableDataTest, FillsMissingNumbers) {
  const auto fill = [&](const json& rule) {
    return Fitted(rule, "1 NA 2 2 NA 7")["fill"][0].get<double>();
  };
  EXPECT_DOUBLE_EQ(fill({{"name", "x"}, {"missing", "mean"}}), 3);
  EXPECT_DOUBLE_EQ(fill({{"name", "x"}, {"missing", "median"}}), 2);
  EXPECT_DOUBLE_EQ(fill({{"name", "x"}, {"missing", "mode"}}), 2);
  EXPECT_DOUBLE_EQ(fill({{"name", "x"}, {"missing", "constant"}, {"constant", -1}}), -1);
  // What is filled in counts when the scale is fitted.
  EXPECT_DOUBLE_EQ(
      Fitted({{"name", "x"}, {"missing", "constant"}, {"constant", 0}, {"scale", "standardize"}},
             "6 NA 6")["center"],
      4);
}

json TextRule(const json& tokenizer) {
  return {{"name", "t"}, {"kind", "text"}, {"missing", "drop"}, {"tokenizer", tokenizer}};
}

TEST_F(TableDataTest, TheVocabularyIsThatOfTheTrainingRows) {
  const auto data = Open({{{"name", "*"}, {"kind", "ignore"}},
                          TextRule({{"type", "word"}, {"lowercase", true}, {"max_length", 4}})},
                         "t,n,y\nThe sea,1,1\n\"the sea, the\",x,2\n \t,2,3\n",
                         "t,n,y\nthe boat,1,1\na long way to go,1,2\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->train->values, ElementsAre(1, 2));
  ASSERT_NE(data->table->tokenizer(), nullptr);
  EXPECT_THAT(data->table->tokenizer()->fields().vocabulary, ElementsAre("the", "sea", ","));
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(2, 3, 0, 0));
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(2, 3, 4, 2));
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(2, 1, 0, 0));
  EXPECT_THAT(RowOf(*data->test, 1), ElementsAre(1, 1, 1, 1));
}

TEST_F(TableDataTest, TextIsTheOnlyInput) {
  const json rule = TextRule({{"type", "character"}, {"max_length", 4}});
  EXPECT_THAT(ErrorOf({rule}, "t,n,y\na,1,1\n", "t,n,y\na,1,1\n"),
              StartsWith("spec.data.columns[0].kind: column \"t\" is text, which must be the only "
                         "input, and there are 2: {name: \"*\", kind: ignore}"));
}

TEST_F(TableDataTest, AVocabularyHasATokenAtLeast) {
  const json rule = TextRule({{"type", "word"}, {"max_length", 4}, {"min_frequency", 9}});
  EXPECT_EQ(ErrorOf({rule}, "t,y\na,1\n", "t,y\na,1\n"),
            "spec.data.columns[0].tokenizer.min_frequency: column \"t\" has no token that is so "
            "frequent");
}

TEST_F(TableDataTest, RowsWithMissingValuesCanBeDroppedFromEachPart) {
  const auto data = Open({{{"name", "x"}, {"missing", "drop"}},
                          {{"name", "c"}, {"kind", "category"}, {"missing", "drop"}}},
                         "x,c,y\n1,a,10\n,a,20\n3,,30\n4,b,40\n", "x,c,y\nNaN,a,1\n5,b,2\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->train->values, ElementsAre(10, 40));
  EXPECT_THAT(data->test->values, ElementsAre(2));
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(4, 0, 1));
}

TEST_F(TableDataTest, ClipsOutliersByWhatIsUsualInTheTrainingRows) {
  EXPECT_EQ(Fitted({{"name", "x"}, {"outliers", {{"method", "iqr"}, {"action", "clip"}}}},
                   "1 2 3 4 100")["clip"],
            json({-1.0, 7.0}));  // quartiles 2 and 4
  const json clip = Fitted(
      {{"name", "x"}, {"outliers", {{"method", "z_score"}, {"limit", 1}, {"action", "clip"}}}},
      "1 2 3 4 10")["clip"];
  EXPECT_NEAR(clip[0].get<double>(), 4 - std::sqrt(10.0), 1e-12);
  EXPECT_NEAR(clip[1].get<double>(), 4 + std::sqrt(10.0), 1e-12);
}

TEST_F(TableDataTest, DropsOutliersFromTheTrainingRowsOnly) {
  const auto data = Open({{{"name", "x"},
                           {"scale", "min_max"},
                           {"outliers", {{"method", "iqr"}, {"action", "drop"}}}}},
                         "x,y\n1,1\n2,2\n3,3\n4,4\n100,5\n", "x,y\n100,6\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->train_rows, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(data->test_rows, ElementsAre(0));
  // The scale is that of the rows that are left.
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(33));
}

TEST_F(TableDataTest, LeavesOutRowsThatRepeatAnEarlierOne) {
  spec_["drop_duplicates"] = true;
  const auto data = Open({{{"name", "id"}, {"kind", "ignore"}}},
                         "id,x,y\n1,5,1\n2,5,1\n3,5,2\n4, 5 ,1\n", "id,x,y\n9,5,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->train->values, ElementsAre(1, 2));
  EXPECT_EQ(data->test->count, 1);
}

TEST_F(TableDataTest, EncodesCategoriesByTheValuesOfTheTrainingRows) {
  const json rules = {{{"name", "c"}, {"kind", "category"}, {"missing", "mode"}}};
  const auto data = Open(rules, "c,y\nrome,1\noslo,2\nrome,3\n,4\n", "c,y\nparis,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(0, 1));
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(1, 0));
  EXPECT_THAT(RowOf(*data->train, 3), ElementsAre(0, 1)) << "filled with the mode";
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(0, 0)) << "a value that training never saw";
}

TEST_F(TableDataTest, OrdinalsStandInTheOrderOfTheirRule) {
  const json rules = {{{"name", "c"},
                       {"kind", "category"},
                       {"encoding", "ordinal"},
                       {"values", {"low", "middle", "high"}}}};
  const auto data = Open(rules, "c,y\nhigh,1\nlow,2\n", "c,y\nmiddle,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(1));
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(0.5f));
}

TEST_F(TableDataTest, TakesDatesApart) {
  const json rules = {
      {{"name", "d"}, {"kind", "date"}, {"parts", {"hour", "month"}}, {"scale", "min_max"}}};
  const auto data =
      Open(rules, "d,y\n2026-02-01T06:00,1\n2026-12-01T18:00,2\n", "d,y\n2020-07-05 12:00,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(1, 1));
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(0.5f, 0.5f));
}

TEST_F(TableDataTest, ARuleForAllOthersSparesTheTargetAndNamedColumns) {
  const json rules = {{{"name", "*"}, {"scale", "min_max"}}, {{"name", "b"}, {"scale", "none"}}};
  const auto data = Open(rules, "a,y,b\n1,100,1\n3,300,3\n", "y,b,a\n200,2,2\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(0.5f, 2));
  EXPECT_THAT(data->train->values, ElementsAre(100, 300));
}

// Nothing of the other parts may show in what is fitted.
TEST_F(TableDataTest, FitsOnTheTrainingRowsAlone) {
  std::string train = "x,c,y\n";
  for (int i = 0; i < 40; ++i) {
    train += std::to_string(i) + "," + std::string(1, static_cast<char>('a' + i % 20)) + "," +
             std::to_string(i) + "\n";
  }
  spec_["validation_fraction"] = 0.25;
  const json rules = {{{"name", "x"}, {"scale", "min_max"}, {"missing", "mean"}},
                      {{"name", "c"}, {"kind", "category"}}};
  const auto data = Open(rules, train, "");
  ASSERT_TRUE(data.ok()) << data.status();
  std::set<std::string> values;
  double least = 1e9;
  double largest = -1e9;
  double sum = 0;
  for (const int64_t row : data->train_rows) {
    values.insert(std::string(1, static_cast<char>('a' + row % 20)));
    least = std::min(least, static_cast<double>(row));
    largest = std::max(largest, static_cast<double>(row));
    sum += static_cast<double>(row);
  }
  const json fitted = data->table->ToJson();
  EXPECT_EQ(fitted[0]["center"].get<double>(), least);
  EXPECT_EQ(fitted[0]["spread"].get<double>(), largest - least);
  EXPECT_DOUBLE_EQ(fitted[0]["fill"][0].get<double>(),
                   sum / static_cast<double>(data->train_rows.size()));
  EXPECT_EQ(fitted[1]["values"], json(values));
  EXPECT_LT(values.size(), 20u) << "some value is in the held-out rows only";
}

// What the trainer makes of a row, a worker makes of the same row sent raw.
TEST_F(TableDataTest, RawRowsEncodeToTheExamplesBitByBit) {
  spec_["standardize"] = true;
  const json rules = {{{"name", "a"}, {"missing", "median"}, {"log", true}},
                      {{"name", "c"},
                       {"kind", "category"},
                       {"encoding", "hash"},
                       {"buckets", 5},
                       {"missing", "constant"},
                       {"constant", "none"}},
                      {{"name", "d"}, {"kind", "date"}, {"parts", {"weekday"}}}};
  const auto data = Open(rules,
                         "a,c,d,y\n0.1,x,2026-11-22,1\n,y,2026-11-23,2\n1e7,,2020-02-29,3\n"
                         "-3.3,z,1999-12-31,4\n",
                         "a,c,d,y\nnull,w,2030-01-01,5\n7,,2031-01-02,6\n");
  ASSERT_TRUE(data.ok()) << data.status();
  const std::pair<const RawTable*, const Examples*> parts[] = {
      {data->raw_train.get(), data->train.get()}, {data->raw_test.get(), data->test.get()}};
  for (const auto& [raw, examples] : parts) {
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < raw->count; ++row) rows.push_back(row);
    const auto tensors = ToTensors(*raw, rows);
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    const auto encoded = data->table->Encode(*tensors);
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    EXPECT_EQ(encoded->data().view(), examples->inputs.view());
  }
}

// ---- Other formats. ----

TEST_F(TableDataTest, AJsonlTableIsTheSameAsItsCsv) {
  const json rules = {{{"name", "x"}, {"missing", "mean"}},
                      {{"name", "c"}, {"kind", "category"}, {"missing", "mode"}}};
  const auto csv = Open(rules, "x,c,y\n1,a,10\n,b,20\n3,,30\n", "x,c,y\n4,b,40\n");
  ASSERT_TRUE(csv.ok()) << csv.status();
  spec_["format"] = "jsonl";
  const auto jsonl = Open(rules,
                          "{\"x\": 1, \"c\": \"a\", \"y\": 10}\n{\"c\": \"b\", \"y\": 20}\n"
                          "{\"x\": 3, \"c\": null, \"y\": 30}\n",
                          "{\"y\": 40, \"x\": 4, \"c\": \"b\"}\n");
  ASSERT_TRUE(jsonl.ok()) << jsonl.status();
  EXPECT_EQ(jsonl->train->inputs.view(), csv->train->inputs.view());
  EXPECT_EQ(jsonl->test->inputs.view(), csv->test->inputs.view());
  EXPECT_EQ(jsonl->train->values, csv->train->values);
  EXPECT_THAT(ErrorOf(rules, "{\"x\": 1, \"c\": \"a\", \"y\": \"tall\"}\n", "{\"y\": 40}\n"),
              "spec.data.train.inputs: train.csv, line 1, column \"y\": must be a finite number, "
              "got \"tall\"");
}

// ---- Masks. ----

TEST_F(TableDataTest, WhatIsLearntIsLearntOfMaskedCells) {
  const json rules = {
      {{"name", "age"}, {"mask", {{"method", "generalize"}, {"width", 10}}}},
      {{"name", "zip"}, {"kind", "category"}, {"mask", {{"method", "generalize"}, {"prefix", 2}}}},
      {{"name", "born"},
       {"kind", "date"},
       {"parts", {"year", "month", "day"}},
       {"mask", {{"method", "generalize"}, {"unit", "month"}}}},
      {{"name", "mail"},
       {"kind", "category"},
       {"missing", "constant"},
       {"constant", "none"},
       {"mask", {{"method", "redact"}}}}};
  const auto data = Open(rules,
                         "age,zip,born,mail,y\n37,10115,1988-03-14,a@b.c,1\n"
                         "-3,10999,1989-03-15,,2\n40,20095,1988-03-20,d@e.f,3\n",
                         "age,zip,born,mail,y\n49.9,10407,1988-12-31,g@h.i,4\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->train, 0), ElementsAre(30, 1, 0, 1988, 3, 1, 0, 1));
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(-10, 1, 0, 1989, 3, 1, 1, 0));
  EXPECT_THAT(RowOf(*data->train, 2), ElementsAre(40, 0, 1, 1988, 3, 1, 0, 1));
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(40, 1, 0, 1988, 12, 1, 0, 1));
}

TEST_F(TableDataTest, AHashLeavesItsBucketAndEqualCellsShareIt) {
  const json rules = {{{"name", "mail"},
                       {"kind", "category"},
                       {"encoding", "hash"},
                       {"buckets", 64},
                       {"mask", {{"method", "hash"}}}}};
  const auto data = Open(rules, "mail,y\na@b.c,1\nd@e.f,2\na@b.c,3\n", "mail,y\na@b.c,4\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(RowOf(*data->train, 0), RowOf(*data->train, 2));
  EXPECT_EQ(RowOf(*data->train, 0), RowOf(*data->test, 0));
  EXPECT_NE(RowOf(*data->train, 0), RowOf(*data->train, 1));
  const json column = data->table->ToJson()[0];
  EXPECT_EQ(column["mask"]["key"].get<std::string>().size(), 64u);
  EXPECT_EQ(column["values"], json::array()) << "no hash that guesses could be compared with";
}

// What a worker is sent is masked there as it was here.
TEST_F(TableDataTest, UnmaskedRowsEncodeToTheExamplesOfMaskedOnes) {
  const json rules = {{{"name", "age"}, {"mask", {{"method", "generalize"}, {"width", 0.1}}}},
                      {{"name", "mail"},
                       {"kind", "category"},
                       {"encoding", "hash"},
                       {"buckets", 64},
                       {"mask", {{"method", "hash"}}}},
                      {{"name", "born"},
                       {"kind", "date"},
                       {"parts", {"day"}},
                       {"mask", {{"method", "generalize"}, {"unit", "year"}}}}};
  const auto data =
      Open(rules, "age,mail,born,y\n0.7,a@b.c,1988-03-14,1\n0.64,d@e.f,1990-01-02,2\n",
           "age,mail,born,y\n0.7,a@b.c,1988-03-14,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  const std::vector<float> ages = {0.7f, 0.64f};
  const std::vector<Tensor> raw = {
      Tensor::Make("features", DataType::kFp32, {2, 1},
                   Buffer::Own({reinterpret_cast<const char*>(ages.data()), 8}), "f")
          .value(),
      Tensor::Make("texts", DataType::kBytes, {2, 2},
                   Buffer::Own(EncodeTexts({"a@b.c", "1988-03-14", "d@e.f", "1990-01-02"})), "t")
          .value()};
  const auto encoded = data->table->Encode(raw);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->data().view(), data->train->inputs.view());
}

TEST_F(TableDataTest, SplitsAndDuplicatesGoByMaskedCells) {
  spec_["drop_duplicates"] = true;
  const auto data = Open({{{"name", "age"}, {"mask", {{"method", "generalize"}, {"width", 10}}}}},
                         "age,y\n31,1\n38,1\n41,1\n", "age,y\n38,1\n");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->count, 2);
}

TEST_F(TableDataTest, NoErrorShowsAMaskedCell) {
  const std::tuple<json, const char*, const char*> table[] = {
      {{{"name", "x"}, {"mask", {{"method", "generalize"}, {"width", 10}}}},
       "x,y\nsecret,1\n",
       "spec.data.train.inputs: train.csv, line 2, column \"x\": must be a finite number (what it "
       "holds is masked)"},
      {{{"name", "x"},
        {"kind", "date"},
        {"parts", {"year"}},
        {"mask", {{"method", "generalize"}, {"unit", "year"}}}},
       "x,y\nsecret,1\n",
       "spec.data.train.inputs: train.csv, line 2, column \"x\": must be a date such as 2026-11-22 "
       "(what it holds is masked)"},
      {{{"name", "x"},
        {"kind", "category"},
        {"values", {"pub"}},
        {"mask", {{"method", "generalize"}, {"prefix", 3}}}},
       "x,y\nsecret,1\n",
       "spec.data.train.inputs: train.csv, line 2, column \"x\": must be one of the rule's values, "
       "got \"sec\""},
  };
  for (const auto& [rule, train, error] : table) {
    EXPECT_EQ(ErrorOf(json::array({rule}), train, "x,y\n1,1\n"), error);
  }
}

// ---- Splits. ----

class SplitTest : public TableDataTest {
 protected:
  // 40 rows: x is the row's number, g its group (8 of 5 rows), t runs backwards, y has a rare
  // class.
  static std::string Rows() {
    std::string rows = "x,g,t,y\n";
    for (int i = 0; i < 40; ++i) {
      rows += std::to_string(i) + ",g" + std::to_string(i / 5) + "," + std::to_string(1000 - i) +
              "," + (i % 10 == 0 ? "rare" : "common") + "\n";
    }
    return rows;
  }
  TrainingData Split(const json& split, const std::string& rows = Rows()) {
    spec_["split"] = split;
    auto data = Open({{{"name", "g"}, {"kind", "ignore"}}, {{"name", "t"}, {"kind", "ignore"}}},
                     rows, "", TargetKind::kClass);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? *std::move(data) : TrainingData();
  }
  static int64_t Rare(const std::vector<int64_t>& rows) {
    return std::count_if(rows.begin(), rows.end(), [](int64_t row) { return row % 10 == 0; });
  }
};

TEST_F(SplitTest, StratifiedPartsHaveEachClassInItsShare) {
  spec_["test_fraction"] = 0.25;
  spec_["validation_fraction"] = 0.3333;
  for (seed_ = 0; seed_ < 20; ++seed_) {
    const TrainingData data = Split({{"method", "stratified"}});
    EXPECT_EQ(data.test_rows.size(), 10u);
    EXPECT_EQ(Rare(data.test_rows), 1);
    EXPECT_EQ(data.validation_rows.size(), 10u);
    EXPECT_EQ(Rare(data.validation_rows), 1);
    EXPECT_EQ(Rare(data.train_rows), 2);
  }
}

TEST_F(SplitTest, GroupsAreNotTornApart) {
  spec_["test_fraction"] = 0.25;
  spec_["validation_fraction"] = 0.2;
  std::set<std::vector<int64_t>> seen;
  for (seed_ = 0; seed_ < 20; ++seed_) {
    const TrainingData data = Split({{"method", "group"}, {"column", "g"}});
    std::map<int64_t, std::set<int>> parts;
    for (const int64_t row : data.train_rows) parts[row / 5].insert(0);
    for (const int64_t row : data.validation_rows) parts[row / 5].insert(1);
    for (const int64_t row : data.test_rows) parts[row / 5].insert(2);
    EXPECT_EQ(parts.size(), 8u);
    for (const auto& [group, in] : parts) EXPECT_EQ(in.size(), 1u) << group;
    EXPECT_EQ(data.test_rows.size(), 10u);
    seen.insert(data.test_rows);
  }
  EXPECT_GT(seen.size(), 5u) << "the seed decides";
}

TEST_F(SplitTest, TimeKeepsTheLatestRowsForTheTest) {
  spec_["test_fraction"] = 0.25;
  spec_["validation_fraction"] = 0.2;
  const TrainingData data = Split({{"method", "time"}, {"column", "t"}});
  // t runs backwards: the first rows are the latest.
  EXPECT_THAT(data.test_rows, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(data.validation_rows, ElementsAre(10, 11, 12, 13, 14, 15));
}

TEST_F(SplitTest, TimeMayBeDates) {
  spec_["split"] = {{"method", "time"}, {"column", "t"}};
  const auto data =
      Open(json::array(),
           "x,t,y\n1,2026-01-02,a\n2,2025-12-31T23:59,b\n3,2026-01-01,a\n4,2024-02-29,b\n", "",
           TargetKind::kClass);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->test_rows, ElementsAre(0));
  EXPECT_EQ(data->train->input.shape, Shape({-1, 1})) << "the column is no input";
}

TEST_F(SplitTest, TheSeedDecidesAndNothingElse) {
  for (const json& split : {json{{"method", "random"}}, json{{"method", "stratified"}},
                            json{{"method", "group"}, {"column", "g"}}}) {
    seed_ = 3;
    const TrainingData one = Split(split);
    const TrainingData again = Split(split);
    EXPECT_EQ(one.test_rows, again.test_rows);
    seed_ = 4;
    EXPECT_NE(Split(split).test_rows, one.test_rows) << split;
  }
}

// ---- A table of broken tables: each stops with file, line and column named. ----

struct BrokenTable {
  const char* columns;
  const char* train;
  const char* test;
  const char* error;
};

TEST_F(TableDataTest, NamesFileLineAndColumnOfWhatIsWrong) {
  constexpr char kTrain[] = "spec.data.train.inputs: train.csv";
  const BrokenTable table[] = {
      {R"([{"name": "z"}])", "x,y\n1,1\n2,2\n", "x,y\n1,1\n",
       "spec.data.columns[0].name: train.csv has no column \"z\"; it has x, y"},
      {R"([{"name": "x"}])", "x,y\n1,1\n,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"x\": is empty; a number is needed"},
      {R"([{"name": "x"}])", "x,y\n1,1\nNA,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"x\": must be a finite number, got "
       "\"NA\""},
      {R"([{"name": "x", "missing": "mean"}])", "x,y\n1,1\ntall,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"x\": must be a finite number, got "
       "\"tall\""},
      {R"([{"name": "x", "missing": "mean"}])", "x,y\n1,1\n1e300,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"x\": must be a finite number"},
      {R"([{"name": "x", "missing": "mean"}])", "x,y\n,1\nNA,2\n", "x,y\n1,1\n",
       "spec.data.columns[0].missing: column \"x\" has no value in the training rows"},
      {R"([{"name": "x", "missing": "drop"}])", "x,y\n,1\nNA,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv has no row left once those with missing values"},
      {R"([{"name": "x", "missing": "mean"}])", "x,y\n1,1\n2,\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"y\": is empty; a number is needed"},
      {R"([{"name": "x"}])", "x,y\n1,1\n2,2\n", "x,y\n1,1\nabc,2\n",
       "spec.data.test.inputs: test.csv, line 3, column \"x\": must be a finite number"},
      {R"([{"name": "x"}])", "x,y\n1,1\n2,2\n", "y\n1\n",
       "spec.data.test.inputs: test.csv has no column \"x\""},
      {R"([{"name": "x"}])", "x,y\n1,1\n2,2\n", "x,z,y\n1,1,1\n",
       "spec.data.test.inputs: test.csv has 3 columns, the train part has 2"},
      {R"([{"name": "*", "kind": "ignore"}])", "x,y\n1,1\n2,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv has no column beside the target"},
      {R"([{"name": "c", "kind": "category"}])", "c,y\na,1\n,2\n", "c,y\na,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"c\": is empty; its rule does not say"},
      {R"([{"name": "c", "kind": "category", "values": ["a", "b"]}])", "c,y\na,1\nz,2\n",
       "c,y\na,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"c\": must be one of the rule's values, "
       "got \"z\""},
      {R"([{"name": "c", "kind": "category", "missing": "mode"}])", "c,y\n,1\n,2\n", "c,y\na,1\n",
       "spec.data.columns[0].missing: column \"c\" has no value in the training rows"},
      {R"([{"name": "d", "kind": "date", "parts": ["year"]}])", "d,y\n2026-11-22,1\nsoon,2\n",
       "d,y\n2026-11-22,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"d\": must be a date such as"},
      {R"([{"name": "d", "kind": "date", "parts": ["year"]}])", "d,y\n2026-02-30,1\n",
       "d,y\n2026-11-22,1\n",
       "spec.data.train.inputs: train.csv, line 2, column \"d\": must be a date such as"},
      {R"([])", "x,y\n1,1\nabc,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 3, column \"x\": must be a finite number"},
      {R"([])", "x,x,y\n1,1,1\n", "x,y\n1,1\n", kTrain},
      {R"([])", "x,,y\n1,1,1\n", "x,y\n1,1\n", kTrain},
      {R"([])", "x,y\n1\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 2: has 1 cells, the header has 2"},
      {R"([])", "x,y\n1,2,3\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 2: has 3 cells, the header has 2"},
      {R"([])", "x,y\n\"1,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 2: begins a quoted cell that never ends"},
      {R"([])", "x,y\n\"1\"2,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 2: has text after the end of a quoted cell"},
      {R"([])", "x,y\n1\"1,2\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv, line 2: has a quote within a cell"},
      {R"([])", "x,y\n", "x,y\n1,1\n",
       "spec.data.train.inputs: train.csv has no rows below its header"},
      {R"([])", "", "x,y\n1,1\n", "spec.data.train.inputs: train.csv is empty"},
      {R"([])", "x,z\n1,1\n", "x,y\n1,1\n",
       "spec.data.target_column: train.csv has no column \"y\"; it has x, z"},
      {R"([{"name": "c", "kind": "category"}])", "c,y\n\xff\xfe,1\n", "c,y\na,1\n",
       "spec.data.train.inputs: train.csv, line 2: is not UTF-8"},
  };
  for (const BrokenTable& broken : table) {
    SCOPED_TRACE(broken.error);
    EXPECT_THAT(ErrorOf(json::parse(broken.columns), broken.train, broken.test),
                StartsWith(broken.error));
  }
}

TEST_F(TableDataTest, NamesWhatASplitCannotGoBy) {
  spec_["split"] = {{"method", "group"}, {"column", "z"}};
  EXPECT_EQ(ErrorOf({}, "x,y\n1,1\n2,2\n3,3\n4,4\n", ""),
            "spec.data.split.column: train.csv has no column \"z\"; it has x, y");
  spec_["split"] = {{"method", "group"}, {"column", "x"}};
  EXPECT_THAT(ErrorOf({}, "x,w,y\n1,1,1\n1,2,2\n1,3,3\n1,4,4\n", ""),
              StartsWith("spec.data.split.column: has one group"));
  spec_["split"] = {{"method", "time"}, {"column", "x"}};
  EXPECT_THAT(ErrorOf({}, "x,w,y\nmonday,1,1\n1,2,2\n1,3,3\n1,4,4\n", ""),
              StartsWith("spec.data.split.column: must hold numbers or dates, got \"monday\""));
}

TEST_F(TableDataTest, TooManyValuesForOneHotAreRefused) {
  std::string train = "c,y\n";
  for (int i = 0; i < 1001; ++i) train += "v" + std::to_string(i) + ",1\n";
  EXPECT_THAT(
      ErrorOf({{{"name", "c"}, {"kind", "category"}}}, train, "c,y\nv1,1\n"),
      HasSubstr("spec.data.columns[0].encoding: column \"c\" has 1001 values, more than 1000"));
}

}  // namespace
}  // namespace slipway::trainer
