#include "services/training/trainer/data/jsonl.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class JsonlTest : public ::testing::Test {
 protected:
  absl::StatusOr<WholeTable> Read(std::string_view text) {
    WriteFile(folder_ / "file", text);
    return ReadWhole(OpenJsonl(folder_ / "file", "table.jsonl"));
  }

  TempDir folder_;
};

TEST_F(JsonlTest, ReadsTextsNumbersAndTruthAsTheyAreWritten) {
  const auto table = Read(
      R"({"a": "two\nlines \u00e9", "b": 1.50, "c": true}
{"a": "", "b": 12345678901234567890, "c": null}
{"a": "x", "b": -1e-3, "c": false})");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns, ElementsAre("a", "b", "c"));
  EXPECT_THAT(table->rows, ElementsAre(ElementsAre("two\nlines \xc3\xa9", "1.50", "true"),
                                       ElementsAre("", "12345678901234567890", ""),
                                       ElementsAre("x", "-1e-3", "false")));
  EXPECT_THAT(table->places, ElementsAre("line 1", "line 2", "line 3"));
}

TEST_F(JsonlTest, AnyRowMayBringColumnsAndLackSome) {
  const auto table = Read(Gzip("{\"b\": 1}\r\n\n{\"a\": 2}\n{}\n"));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns, ElementsAre("b", "a"));
  EXPECT_THAT(table->rows,
              ElementsAre(ElementsAre("1", ""), ElementsAre("", "2"), ElementsAre("", "")));
  EXPECT_THAT(table->places, ElementsAre("line 1", "line 3", "line 4"));
}

TEST_F(JsonlTest, NamesTheLineOfWhatIsWrong) {
  const std::pair<const char*, const char*> table[] = {
      {"", "table.jsonl has no rows"},
      {"\n \n", "table.jsonl has no rows"},
      {"{}\n{}\n", "table.jsonl has no columns"},
      {"{\"a\": 1}\n{\"a\": 1\n", "table.jsonl, line 2: is not JSON, at byte 8"},
      {"{\"a\": 1}\n{\"a\": 1} {}\n", "table.jsonl, line 2: is not JSON, at byte 10"},
      {"{\"a\": 1e999}\n", "table.jsonl, line 1: is not JSON"},
      {"{\"a\": NaN}\n", "table.jsonl, line 1: is not JSON"},
      {"[1, 2]\n", "table.jsonl, line 1: must be an object: {\"column\": value, ...}"},
      {"1\n", "table.jsonl, line 1: must be an object"},
      {"{\"a\": [1]}\n",
       "table.jsonl, line 1: must have a text, a number, true, false or null for \"a\""},
      {"{\"a\": {\"b\": 1}}\n", "table.jsonl, line 1: must have a text, a number"},
      {"{\"a\": 1, \"a\": 2}\n", "table.jsonl, line 1: has two values of \"a\""},
      {"{\"\": 1}\n", "table.jsonl, line 1: has a key that is empty"},
      {"{\"a\": 1}\n{\"a\": \"\xff\"}\n", "table.jsonl, line 2: is not UTF-8"},
  };
  for (const auto& [text, error] : table) {
    EXPECT_THAT(std::string(Read(text).status().message()), StartsWith(error)) << text;
  }
  const std::string deep = "{\"a\": " + std::string(1'000'000, '[');
  EXPECT_THAT(std::string(Read(deep).status().message()), StartsWith("table.jsonl, line 1: must"));
}

}  // namespace
}  // namespace slipway::trainer
