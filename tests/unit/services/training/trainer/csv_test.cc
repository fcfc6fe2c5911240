#include "services/training/trainer/data/csv.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CsvTest : public ::testing::Test {
 protected:
  absl::StatusOr<WholeTable> Read(std::string_view text) {
    WriteFile(folder_ / "file", text);
    return ReadWhole(OpenCsv(folder_ / "file", "table.csv"));
  }
  std::string ErrorOf(std::string_view text) { return std::string(Read(text).status().message()); }

  TempDir folder_;
};

TEST_F(CsvTest, ReadsPlainAndQuotedCells) {
  const auto table =
      Read("a,b,\"c,d\"\r\n1,two,\"say \"\"hi\"\"\"\r\n,\"\",\"two\nlines\"\r\n3,4,5");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns, ElementsAre("a", "b", "c,d"));
  EXPECT_THAT(table->rows,
              ElementsAre(ElementsAre("1", "two", "say \"hi\""), ElementsAre("", "", "two\nlines"),
                          ElementsAre("3", "4", "5")));
  EXPECT_THAT(table->places, ElementsAre("line 2", "line 3", "line 5"));
}

TEST_F(CsvTest, ReadsPackedFilesAndSkipsAByteOrderMark) {
  const auto table =
      Read(Gzip("\xef\xbb\xbf"
                "a\n1\n\n"));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns, ElementsAre("a"));
  EXPECT_THAT(table->rows, ElementsAre(ElementsAre("1")));
}

// Rows that lie across the pieces in which the file is read, and one that is larger than a piece.
TEST_F(CsvTest, ReadsRowsOfEverySize) {
  std::string text = "n,text\n";
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < 3000; ++i) {
    rows.push_back({std::to_string(i), std::string(i % 700, 'x') + "\n\"," + std::string(i, 'y')});
    if (i == 1000) rows.back()[1] = std::string(1 << 20, 'z');
    std::string quoted;
    for (const char c : rows.back()[1])
      quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    text += rows.back()[0] + ",\"" + quoted + "\"\n";
  }
  const auto table = Read(text);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_TRUE(table->rows == rows);
}

TEST_F(CsvTest, NamesTheLineOfWhatIsWrong) {
  EXPECT_EQ(ErrorOf("a,b\n1,2\n1,2,3\n"), "table.csv, line 3: has 3 cells, the header has 2");
  EXPECT_EQ(ErrorOf("a,b\n1,2\n\n1,2\n"), "table.csv, line 3: has 1 cells, the header has 2");
  EXPECT_EQ(ErrorOf("a,b\n\"1,2\n"), "table.csv, line 2: begins a quoted cell that never ends");
  EXPECT_EQ(ErrorOf("a,b\n\"1\"x,2\n"),
            "table.csv, line 2: has text after the end of a quoted cell");
  EXPECT_EQ(ErrorOf("a,b\n1\"x,2\n"),
            "table.csv, line 2: has a quote within a cell that is not quoted");
  EXPECT_EQ(ErrorOf("a,a\n1,2\n"), "table.csv, line 1: names two columns \"a\"");
  EXPECT_EQ(ErrorOf("a,\n1,2\n"), "table.csv, line 1: leaves a column without a name");
  EXPECT_THAT(ErrorOf(std::string_view("a,b\n1,\0\n", 8)), HasSubstr("line 2: has a NUL byte"));
  EXPECT_EQ(ErrorOf("a,b\n1,\"2\n\xff\"\n"), "table.csv, line 3: is not UTF-8");
}

TEST_F(CsvTest, RefusesTablesWithoutRows) {
  EXPECT_EQ(ErrorOf(""), "table.csv is empty");
  EXPECT_EQ(ErrorOf("a,b\n"), "table.csv has no rows below its header");
  EXPECT_EQ(ErrorOf("a,b"), "table.csv has no rows below its header");
}

}  // namespace
}  // namespace slipway::trainer
