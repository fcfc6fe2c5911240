// Texts for language models: parts, tokens and rows.

#include "services/training/trainer/data/text_windows.h"

#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TextWindowsTest : public ::testing::Test {
 protected:
  absl::StatusOr<TrainingData> Open(const std::string& text, const json& fields) {
    json object = {{"format", "text"},
                   {"train", {{"inputs", "train.txt"}}},
                   {"tokenizer", {{"type", "character"}, {"max_length", 4}}}};
    object.merge_patch(fields);
    WriteFile(folder_ / "train.txt", text);
    training::v1::DataSpec spec;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(object.dump(), &spec).ok());
    return OpenData(
        spec, TargetsOf(objective_), 1,
        [&](const std::string& path) { return absl::StatusOr<std::string>(folder_ / path); },
        {.files = {}, .folder = {}, .objective = objective_});
  }
  std::string ErrorOf(const std::string& text, const json& fields) {
    return std::string(Open(text, fields).status().message());
  }

  // The tokens of a row, and those that are to be said.
  static std::pair<std::string, std::string> RowOf(const TrainingData& data,
                                                   const Examples& examples, int64_t row) {
    Batch batch;
    Gather(examples, {row}, 0, 1, batch);
    std::vector<float> ids(batch.inputs.size() / sizeof(float));
    std::memcpy(ids.data(), batch.inputs.data(), batch.inputs.size());
    std::pair<std::string, std::string> texts;
    for (const float id : ids) texts.first += data.labels.at(static_cast<size_t>(id));
    for (const int64_t id : batch.classes) texts.second += data.labels.at(static_cast<size_t>(id));
    return texts;
  }

  TempDir folder_;
  training::Objective objective_;
};

TEST_F(TextWindowsTest, EachTokenOfARowIsHeldAgainstTheOneBehindIt) {
  WriteFile(folder_ / "test.txt", "hgfedcba");
  const auto data = Open("abcdefghij", {{"test", {{"inputs", "test.txt"}}}});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->input, (TensorSpec{"encoded", DataType::kFp32, {-1, 4}}));
  EXPECT_EQ(data->outputs, 12);
  ASSERT_THAT(data->train_rows, ElementsAre(0, 1));
  EXPECT_EQ(RowOf(*data, *data->train, 0), std::pair(std::string("abcd"), std::string("bcde")));
  EXPECT_EQ(RowOf(*data, *data->train, 1), std::pair(std::string("efgh"), std::string("fghi")));
  ASSERT_THAT(data->test_rows, ElementsAre(0));
  EXPECT_EQ(RowOf(*data, *data->test, 0), std::pair(std::string("hgfe"), std::string("gfed")));
}

TEST_F(TextWindowsTest, WhereTokensAreHiddenARowNeedsNoneBehindIt) {
  objective_ = training::MaskedToken{.mask_probability = 0.5};
  WriteFile(folder_ / "test.txt", "hgfe");
  const auto data = Open("abcdefgh", {{"test", {{"inputs", "test.txt"}}}});
  ASSERT_TRUE(data.ok()) << data.status();
  // Eight letters, two ids that every tokenizer has, and the mask.
  EXPECT_EQ(data->outputs, 11);
  EXPECT_EQ(data->table->tokenizer()->mask(), 10);
  EXPECT_TRUE(data->labels.empty());
  EXPECT_THAT(data->train_rows, ElementsAre(0, 1));
  EXPECT_THAT(data->test_rows, ElementsAre(0));
  EXPECT_EQ(data->train->targets_per_row, 2);
  EXPECT_TRUE(data->train->classes.empty());
  EXPECT_EQ(ErrorOf("abcdefgh",
                    {{"test", {{"inputs", "train.txt"}}}, {"tokenizer", {{"max_length", 9}}}}),
            "spec.data.train.inputs: leaves 8 tokens, and a row takes 9");
}

TEST_F(TextWindowsTest, TheEndOfATextIsHeldOut) {
  // The test part first, of what is left the validation part.
  std::string text;
  for (const char c : {'a', 'b', 'c', 'd'}) text += std::string(25, c);
  const auto data = Open(text, {{"test_fraction", 0.25}, {"validation_fraction", 0.34}});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->labels, ElementsAre("[PAD]", "[UNK]", "a", "b"));
  EXPECT_EQ(data->train_rows.size(), 12u);
  EXPECT_EQ(data->validation_rows.size(), 6u);
  EXPECT_EQ(data->test_rows.size(), 6u);
  for (const int64_t row : data->train_rows) {
    EXPECT_THAT(RowOf(*data, *data->train, row).first, ::testing::MatchesRegex("[ab]+"));
  }
  // Nothing of them is known to the tokenizer.
  for (const int64_t row : data->validation_rows) {
    EXPECT_EQ(RowOf(*data, *data->train, row).first, "[UNK][UNK][UNK][UNK]");
  }
  for (const int64_t row : data->test_rows) {
    EXPECT_EQ(RowOf(*data, *data->test, row).second, "[UNK][UNK][UNK][UNK]");
  }
}

TEST_F(TextWindowsTest, PartsMeetAtABlankOrBetweenCharacters) {
  const json words = {{"test_fraction", 0.5}, {"tokenizer", {{"type", "word"}, {"max_length", 1}}}};
  const auto data = Open("one two threefour five six", words);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->labels, ElementsAre("[PAD]", "[UNK]", "one", "threefour", "two"));
  std::string accents;
  for (int i = 0; i < 15; ++i) accents += "\xc3\xa9";
  EXPECT_TRUE(Open(accents, {{"test_fraction", 0.5}}).ok());
}

TEST_F(TextWindowsTest, BytesMayBeNoUtf8) {
  const std::string bytes(40, '\xff');
  const auto data =
      Open(bytes, {{"test_fraction", 0.25}, {"tokenizer", {{"type", "byte"}, {"max_length", 4}}}});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->outputs, 258);
  EXPECT_EQ(ErrorOf(bytes, {{"test_fraction", 0.25}}),
            "spec.data.train.inputs: train.txt, byte 0: is not UTF-8");
}

TEST_F(TextWindowsTest, NamesWhatIsTooShort) {
  EXPECT_EQ(ErrorOf("", {{"test_fraction", 0.25}}),
            "spec.data.tokenizer.min_frequency: leaves no token in the train part");
  EXPECT_EQ(ErrorOf("abcde", {{"test_fraction", 0.25}}),
            "spec.data.train.inputs: leaves 4 tokens, and a row takes 4 and one behind them");
  EXPECT_EQ(ErrorOf("abcdefgh", {{"test_fraction", 0.25}}),
            "spec.data.test_fraction: leaves 2 tokens, and a row takes 4 and one behind them");
  EXPECT_EQ(
      ErrorOf("abcdefghijklmnopqrst", {{"test_fraction", 0.25}, {"validation_fraction", 0.1}}),
      "spec.data.validation_fraction: leaves 1 tokens, and a row takes 4 and one behind them");
  EXPECT_THAT(
      ErrorOf("aaaaaaaaaaaa", {{"test_fraction", 0.25}, {"tokenizer", {{"min_frequency", 99}}}}),
      HasSubstr("spec.data.tokenizer.min_frequency: leaves no token"));
}

}  // namespace
}  // namespace slipway::trainer
