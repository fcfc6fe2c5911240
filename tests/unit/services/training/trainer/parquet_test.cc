#include "services/training/trainer/data/parquet.h"

#include <memory>
#include <string>
#include <vector>

#include "arrow/api.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "services/training/plan/planner.h"
#include "services/training/trainer/data/open_data.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/fake_job_store.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/parquet_files.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

template <class Builder, class... Values>
std::shared_ptr<arrow::Array> ArrayOf(Builder&& builder, const Values&... values) {
  [[maybe_unused]] const auto add = [&](const auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::nullptr_t>) {
      EXPECT_TRUE(builder.AppendNull().ok());
    } else {
      EXPECT_TRUE(builder.Append(value).ok());
    }
  };
  (add(values), ...);
  return builder.Finish().ValueOrDie();
}

class ParquetTest : public ::testing::Test {
 protected:
  using Columns = std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>;

  absl::StatusOr<WholeTable> Read(std::string_view bytes) {
    WriteFile(folder_ / "file", bytes);
    return ReadWhole(OpenParquet(folder_ / "file", "table.parquet"));
  }
  // One column of these cells.
  std::vector<std::string> CellsOf(std::shared_ptr<arrow::Array> column) {
    const auto table = Read(ParquetFile({{"x", std::move(column)}}));
    EXPECT_TRUE(table.ok()) << table.status();
    std::vector<std::string> cells;
    for (size_t i = 0; table.ok() && i < table->rows.size(); ++i)
      cells.push_back(table->rows[i][0]);
    return cells;
  }
  std::string ErrorOf(std::string_view bytes) {
    return std::string(Read(bytes).status().message());
  }

  TempDir folder_;
};

TEST_F(ParquetTest, ReadsRowsAcrossItsGroups) {
  const auto table = Read(
      ParquetFile({{"n", ArrayOf(arrow::Int64Builder(), 1, nullptr, 3, -4, 5)},
                   {"t", ArrayOf(arrow::StringBuilder(), "a", "", "c\n,\"", nullptr, "\xc3\xa9")}},
                  /*group_rows=*/2));
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns, ElementsAre("n", "t"));
  EXPECT_THAT(table->rows,
              ElementsAre(ElementsAre("1", "a"), ElementsAre("", ""), ElementsAre("3", "c\n,\""),
                          ElementsAre("-4", ""), ElementsAre("5", "\xc3\xa9")));
  EXPECT_THAT(table->places,
              ElementsAre("row group 1, row 1", "row group 1, row 2", "row group 2, row 1",
                          "row group 2, row 2", "row group 3, row 1"));
}

TEST_F(ParquetTest, ReadsEveryTypeThatHasAText) {
  EXPECT_THAT(CellsOf(ArrayOf(arrow::BooleanBuilder(), true, nullptr, false)),
              ElementsAre("true", "", "false"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::UInt8Builder(), uint8_t{255})), ElementsAre("255"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::Int8Builder(), int8_t{-7})), ElementsAre("-7"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::UInt64Builder(), ~uint64_t{0})),
              ElementsAre("18446744073709551615"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::DoubleBuilder(), 0.1, 1e300, -2.0)),
              ElementsAre("0.1", "1e+300", "-2"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::FloatBuilder(), 0.1f)), ElementsAre("0.1"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::Decimal128Builder(arrow::decimal128(10, 2)),
                              arrow::Decimal128(-12345))),
              ElementsAre("-123.45"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::LargeStringBuilder(), "long")), ElementsAre("long"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::StringDictionary32Builder(), "a", "b", nullptr, "a")),
              ElementsAre("a", "b", "", "a"));
  EXPECT_THAT(CellsOf(ArrayOf(arrow::Date32Builder(), 20779, -1)),
              ElementsAre("2026-11-22", "1969-12-31"));
  auto* const pool = arrow::default_memory_pool();
  EXPECT_THAT(
      CellsOf(ArrayOf(arrow::TimestampBuilder(arrow::timestamp(arrow::TimeUnit::MICRO), pool),
                      int64_t{1795383930500000})),
      ElementsAre("2026-11-22T21:45:30.5"));
  EXPECT_THAT(CellsOf(ArrayOf(
                  arrow::TimestampBuilder(arrow::timestamp(arrow::TimeUnit::MILLI, "UTC"), pool),
                  int64_t{1795383930000})),
              ElementsAre("2026-11-22T21:45:30Z"));
}

// Cells of every kind, missing ones among them, become the rows that those of a CSV file become.
TEST_F(ParquetTest, ATableIsTheSameAsItsCsv) {
  WriteFile(folder_ / "table.csv",
            "x,c,d,y\n1.5,a,2026-11-22,10\n,b,1969-12-31,20\n-3,,2026-11-22,30\n");
  WriteFile(
      folder_ / "table.parquet",
      ParquetFile({{"x", ArrayOf(arrow::DoubleBuilder(), 1.5, nullptr, -3.0)},
                   {"c", ArrayOf(arrow::StringDictionary32Builder(), "a", "b", nullptr)},
                   {"d", ArrayOf(arrow::Date32Builder(), 20779, -1, 20779)},
                   {"y", ArrayOf(arrow::Int16Builder(), int16_t{10}, int16_t{20}, int16_t{30})}},
                  2));
  const auto open = [&](const std::string& format) {
    training::v1::DataSpec spec;
    const auto parsed = google::protobuf::util::JsonStringToMessage(R"({
        "target_column": "y", "test_fraction": 0.4, "columns": [
          {"name": "x", "missing": "constant", "constant": 7},
          {"name": "c", "kind": "category", "encoding": "hash", "buckets": 9, "missing": "constant",
           "constant": "z", "mask": {"method": "hash"}},
          {"name": "d", "kind": "date", "parts": ["year", "day"], "scale": "none"}]})",
                                                                    &spec);
    EXPECT_TRUE(parsed.ok()) << parsed.ToString();
    spec.set_format(format);
    spec.mutable_train()->set_inputs("table." + format);
    return OpenData(spec, training::TargetKind::kReal, 1, [&](const std::string& path) {
      return absl::StatusOr<std::string>(folder_ / path);
    });
  };
  const auto csv = open("csv");
  const auto parquet = open("parquet");
  ASSERT_TRUE(csv.ok()) << csv.status();
  ASSERT_TRUE(parquet.ok()) << parquet.status();
  EXPECT_EQ(parquet->train->inputs.view(), csv->train->inputs.view());
  EXPECT_EQ(parquet->train->values, csv->train->values);
  EXPECT_EQ(parquet->test_rows, csv->test_rows);

  WriteFile(folder_ / "table.parquet",
            ParquetFile({{"x", ArrayOf(arrow::StringBuilder(), "tall")},
                         {"c", ArrayOf(arrow::StringBuilder(), "a")},
                         {"d", ArrayOf(arrow::StringBuilder(), "2026-11-22")},
                         {"y", ArrayOf(arrow::Int64Builder(), 1)}}));
  EXPECT_EQ(std::string(open("parquet").status().message()),
            "spec.data.train.inputs: table.parquet, row group 1, row 1, column \"x\": must be a "
            "finite number, got \"tall\"");
}

TEST_F(ParquetTest, NamesColumnsThatAreNotRead) {
  auto list = std::make_shared<arrow::Int64Builder>();
  arrow::ListBuilder lists(arrow::default_memory_pool(), list);
  ASSERT_TRUE(lists.Append().ok() && list->Append(1).ok());
  EXPECT_THAT(ErrorOf(ParquetFile(
                  {{"a", ArrayOf(arrow::Int64Builder(), 1)}, {"b", lists.Finish().ValueOrDie()}})),
              StartsWith("table.parquet, column \"b\": has the type list<"));
  EXPECT_THAT(ErrorOf(ParquetFile({{"a", ArrayOf(arrow::BinaryBuilder(), "\xff")}})),
              StartsWith("table.parquet, column \"a\": has the type binary, which is not read"));
  EXPECT_EQ(ErrorOf(ParquetFile({{"a", ArrayOf(arrow::Int64Builder(), 1)},
                                 {"a", ArrayOf(arrow::Int64Builder(), 1)}})),
            "table.parquet names two columns \"a\"");
  EXPECT_EQ(ErrorOf(ParquetFile({{"", ArrayOf(arrow::Int64Builder(), 1)}})),
            "table.parquet leaves a column without a name");
  EXPECT_EQ(ErrorOf(ParquetFile({{"a", ArrayOf(arrow::Int64Builder())}})),
            "table.parquet has no rows");
}

TEST_F(ParquetTest, NamesTheRowGroupOfWhatIsDamaged) {
  for (const char* bytes : {"", "PAR1", "a,b\n1,2\n"}) {
    EXPECT_THAT(ErrorOf(bytes), StartsWith("table.parquet: is no Parquet file that can be read: "))
        << bytes;
  }
  const std::string whole = ParquetFile(
      {{"x", ArrayOf(arrow::StringBuilder(), "first", "second", "third", "fourth")}}, 2);
  EXPECT_THAT(ErrorOf(whole.substr(0, whole.size() - 20)),
              StartsWith("table.parquet: is no Parquet file that can be read: "));
  std::string broken = whole;
  const size_t third = broken.find("third");
  ASSERT_NE(third, std::string::npos);
  broken.replace(third, 5, "th\xffrd");
  EXPECT_THAT(ErrorOf(broken), StartsWith("table.parquet, row group 2, column \"x\": "));
  broken = whole;
  // The page before it: its header, and the lengths of its texts.
  broken.replace(third - 24, 20, std::string(20, '\xff'));
  EXPECT_THAT(ErrorOf(broken), StartsWith("table.parquet, row group 2"));
}

// ---- The beginning of a file. ----

TEST_F(ParquetTest, TheFirstGroupsAreAFileOfTheirOwn) {
  arrow::Int64Builder numbers;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(numbers.Append(i).ok());
  const std::string file = ParquetFile({{"n", numbers.Finish().ValueOrDie()}}, /*group_rows=*/100);
  const auto read = [&](int64_t offset, int64_t bytes) -> absl::StatusOr<std::string> {
    return file.substr(static_cast<size_t>(offset), static_cast<size_t>(bytes));
  };
  const auto size = std::ssize(file);
  const auto all = ReadParquetBeginning("t", size, size, read);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->rows, 1000);
  const auto some = ReadParquetBeginning("t", size, size / 2, read);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->all_rows, 1000);
  EXPECT_GT(some->rows, 200);
  EXPECT_LT(some->rows, 700);
  WriteFile(folder_ / "some.parquet", some->content);
  const auto reader = OpenParquet(folder_ / "some.parquet", "some");
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string_view> cells;
  int64_t rows = 0;
  for (; (*reader)->Next(cells).value(); ++rows) EXPECT_EQ(cells[0], std::to_string(rows));
  EXPECT_EQ(rows, some->rows);

  EXPECT_TRUE(absl::IsInvalidArgument(ReadParquetBeginning("t", size, 100, read).status()));
  for (const std::string& damaged :
       {std::string("PAR1"), std::string(100, 'x'), file.substr(0, file.size() - 1),
        file.substr(0, file.size() - 8) + "\xff\xff\xff\xffPAR1",
        file.substr(0, 20) + std::string(20, '\x7f') + "\x14" + std::string(3, '\0') + "PAR1"}) {
    const auto status =
        ReadParquetBeginning("t", std::ssize(damaged), 1 << 20,
                             [&](int64_t offset, int64_t bytes) -> absl::StatusOr<std::string> {
                               return damaged.substr(static_cast<size_t>(offset),
                                                     static_cast<size_t>(bytes));
                             })
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

TEST_F(ParquetTest, APlanReadsIt) {
  arrow::DoubleBuilder numbers;
  arrow::StringBuilder kinds;
  for (int i = 0; i < 2500; ++i) {
    ASSERT_TRUE(numbers.Append(i * 0.5).ok());
    ASSERT_TRUE(kinds.Append(i % 3 == 0 ? "setosa" : "virginica").ok());
  }
  training::FakeModelRegistry registry;
  registry.AddFile("tenants/acme/datasets/iris", "iris.parquet",
                   ParquetFile({{"length", numbers.Finish().ValueOrDie()},
                                {"target", kinds.Finish().ValueOrDie()}}));
  training::FakeJobStore jobs;
  const training::ObjectStores objects;
  training::Planner planner(registry, objects, jobs, {.scratch_dir = folder_.path().string()});
  Principal who;
  who.tenant = "acme";
  training::v1::PlanTrainingJobRequest request;
  request.set_parent("tenants/acme");
  request.mutable_spec()->set_dataset("iris");
  const auto plan = planner.Plan(who, request, absl::InfiniteFuture());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->spec().data().format(), "parquet");
  EXPECT_EQ(plan->spec().data().target_column(), "target");
  EXPECT_EQ(plan->train_rows() + plan->validation_rows() + plan->test_rows(), 2500);
  EXPECT_FALSE(plan->sampled());
}

}  // namespace
}  // namespace slipway::trainer
