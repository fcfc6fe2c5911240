#include "services/training/trainer/data/open_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using training::TargetKind;

class OpenDataTest : public ::testing::Test {
 protected:
  OpenDataTest() {
    spec_.set_format("idx");
    spec_.mutable_train()->set_inputs("images");
    spec_.mutable_train()->set_targets("labels");
    spec_.set_test_fraction(0.25);
    WriteIdx("images", "labels", 8);
  }

  // `count` pictures of 2x2 with the bytes 0, 1, 2, ... and the classes 0, 1, 2, 0, ...
  void WriteIdx(const std::string& images, const std::string& labels, int count) {
    std::string pixels;
    std::string classes;
    for (int i = 0; i < count; ++i) {
      for (int p = 0; p < 4; ++p) pixels += static_cast<char>(4 * i + p);
      classes += static_cast<char>(i % 3);
    }
    WriteFile(folder_ / images, Idx({static_cast<uint32_t>(count), 2, 2}, pixels));
    WriteFile(folder_ / labels, Idx({static_cast<uint32_t>(count)}, classes));
  }
  void UseCsv(std::string_view text) {
    spec_.set_format("csv");
    spec_.mutable_train()->set_inputs("table.csv");
    spec_.mutable_train()->clear_targets();
    spec_.set_target_column("y");
    WriteFile(folder_ / "table.csv", text);
  }

  absl::StatusOr<TrainingData> Open(TargetKind targets = TargetKind::kClass, uint64_t seed = 1) {
    return OpenData(spec_, targets, seed,
                    [&](const std::string& path) -> absl::StatusOr<std::string> {
                      if (path == "unreachable") return absl::UnavailableError("no registry");
                      return folder_ / path;
                    });
  }
  std::string ErrorOf(TargetKind targets = TargetKind::kClass) {
    return std::string(Open(targets).status().message());
  }
  static std::vector<float> RowOf(const Examples& examples, int64_t row) {
    std::vector<float> values(examples.row_bytes / sizeof(float));
    std::memcpy(values.data(),
                examples.inputs.data() + static_cast<size_t>(row) * examples.row_bytes,
                examples.row_bytes);
    return values;
  }

  TempDir folder_;
  training::v1::DataSpec spec_;
};

TEST_F(OpenDataTest, ReadsPicturesAndTheirClasses) {
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->input, (TensorSpec{"image", DataType::kUint8, {-1, 2, 2}}));
  EXPECT_EQ(data->train->count, 8);
  EXPECT_EQ(data->train->row_bytes, 4u);
  EXPECT_THAT(data->train->classes, ElementsAre(0, 1, 2, 0, 1, 2, 0, 1));
  EXPECT_EQ(data->outputs, 3);
}

TEST_F(OpenDataTest, PartsAreDisjointAndDecidedByTheSeed) {
  WriteIdx("images", "labels", 60);
  spec_.set_validation_fraction(0.2);
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->test_rows.size(), 15u);
  EXPECT_EQ(data->validation_rows.size(), 9u);
  EXPECT_EQ(data->train_rows.size(), 36u);
  std::set<int64_t> all(data->train_rows.begin(), data->train_rows.end());
  all.insert(data->validation_rows.begin(), data->validation_rows.end());
  all.insert(data->test_rows.begin(), data->test_rows.end());
  EXPECT_EQ(all.size(), 60u);
  EXPECT_EQ(Open()->test_rows, data->test_rows);
  EXPECT_NE(Open(TargetKind::kClass, 2)->test_rows, data->test_rows);
}

TEST_F(OpenDataTest, ATestPartOfItsOwnLeavesTheTrainPartWhole) {
  spec_.set_test_fraction(0);
  spec_.mutable_test()->set_inputs("test-images");
  spec_.mutable_test()->set_targets("test-labels");
  WriteIdx("test-images", "test-labels", 3);
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train_rows.size(), 8u);
  EXPECT_THAT(data->test_rows, ElementsAre(0, 1, 2));
  EXPECT_EQ(data->test->count, 3);
}

TEST_F(OpenDataTest, NamesFieldAndFileOfWhatIsWrong) {
  WriteFile(folder_ / "images", Idx({8, 2, 2}, "short"));
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.inputs: images is cut short: its header promises 32 bytes for "
            "[8, 2, 2], more than the file can hold");
  WriteIdx("images", "labels", 8);
  WriteFile(folder_ / "labels", Idx({7}, "\1\1\1\1\1\1\1"));
  EXPECT_EQ(ErrorOf(), "spec.data.train.targets: labels has 7 targets, and images has 8 inputs");
  WriteFile(folder_ / "labels", Idx({8, 1}, "\1\1\1\1\1\1\1\1"));
  EXPECT_EQ(ErrorOf(), "spec.data.train.targets: labels holds [8, 1]: targets need one dimension");
  WriteFile(folder_ / "images", Idx({8}, "\1\1\1\1\1\1\1\1"));
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.inputs: images holds [8]: inputs need at least 2 dimensions");
}

TEST_F(OpenDataTest, ErrorsOfTheMachineStayWhatTheyAre) {
  spec_.mutable_train()->set_inputs("unreachable");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(OpenDataTest, ChecksClassesAgainstTheLabels) {
  spec_.add_labels("shirt");
  spec_.add_labels("bag");
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.targets: row 2 has class 2, and spec.data.labels names 2 classes");
  spec_.add_labels("boot");
  spec_.add_labels("coat");
  EXPECT_EQ(Open()->outputs, 4);
  EXPECT_THAT(Open()->labels, ElementsAre("shirt", "bag", "boot", "coat"));
}

TEST_F(OpenDataTest, TheTestPartMustLookLikeTheTrainPart) {
  spec_.set_test_fraction(0);
  spec_.mutable_test()->set_inputs("test-images");
  spec_.mutable_test()->set_targets("test-labels");
  WriteFile(folder_ / "test-images", Idx({1, 3, 3}, "123456789"));
  WriteFile(folder_ / "test-labels", Idx({1}, "\1"));
  EXPECT_EQ(ErrorOf(),
            "spec.data.test.inputs: test-images has rows of [-1, 3, 3], the train part [-1, 2, 2]");
  WriteFile(folder_ / "test-images", Idx({1, 2, 2}, "1234"));
  WriteFile(folder_ / "test-labels", Idx({1}, "\7"));
  EXPECT_EQ(ErrorOf(),
            "spec.data.test.targets: row 0 has class 7, and the train part has 3 classes");
}

TEST_F(OpenDataTest, SharesLeaveSomethingToTrainOn) {
  WriteIdx("images", "labels", 1);
  EXPECT_EQ(ErrorOf(), "spec.data.test_fraction: leaves nothing to train on: there are 1 rows");
}

TEST_F(OpenDataTest, ReadsATableWithNamedClasses) {
  UseCsv("x1,y,x2\n1,cat,2\n3, dog ,4\n5,cat,6\n7,ant,8\n");
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train->input, (TensorSpec{"features", DataType::kFp32, {-1, 2}}));
  EXPECT_THAT(RowOf(*data->train, 1), ElementsAre(3, 4));
  EXPECT_THAT(data->labels, ElementsAre("ant", "cat", "dog"));
  EXPECT_THAT(data->train->classes, ElementsAre(1, 2, 1, 0));
}

TEST_F(OpenDataTest, ClassesThatAreNumbersAreSortedAsNumbers) {
  UseCsv("x,y\n1,10\n2,9\n3,2\n4,9\n");
  EXPECT_THAT(Open()->labels, ElementsAre("2", "9", "10"));
}

TEST_F(OpenDataTest, ReadsATableWithRealTargets) {
  UseCsv("x,y\n1,0.5\n2,-1e3\n3,2\n4,9\n");
  const auto data = Open(TargetKind::kReal);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->outputs, 1);
  EXPECT_THAT(data->train->values, ElementsAre(0.5f, -1000.f, 2.f, 9.f));
}

TEST_F(OpenDataTest, ATestTableMayOrderItsColumnsOtherwise) {
  UseCsv("a,b,y\n1,2,p\n3,4,q\n");
  spec_.set_test_fraction(0);
  spec_.mutable_test()->set_inputs("test.csv");
  WriteFile(folder_ / "test.csv", "y,b,a\nq,20,10\n");
  const auto data = Open();
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(RowOf(*data->test, 0), ElementsAre(10, 20));
  EXPECT_THAT(data->test->classes, ElementsAre(1));
  WriteFile(folder_ / "test.csv", "y,b\nq,20\n");
  EXPECT_EQ(ErrorOf(), "spec.data.test.inputs: test.csv has no column \"a\"");
  WriteFile(folder_ / "test.csv", "y,b,a,c\nq,20,1,1\n");
  EXPECT_EQ(ErrorOf(), "spec.data.test.inputs: test.csv has 4 columns, the train part has 3");
  WriteFile(folder_ / "test.csv", "y,b,a\nr,20,1\n");
  EXPECT_EQ(
      ErrorOf(),
      "spec.data.test.inputs: test.csv, line 2, column \"y\": must be one of p, q, got \"r\"");
}

TEST_F(OpenDataTest, NamesLineAndColumnOfABadCell) {
  UseCsv("x,y\n1,a\nabc,b\n");
  EXPECT_EQ(ErrorOf(),
            "spec.data.train.inputs: table.csv, line 3, column \"x\": must be a finite number, got "
            "\"abc\"");
  UseCsv("x,y\n1,a\n,b\n");
  EXPECT_THAT(ErrorOf(), HasSubstr("line 3, column \"x\": is empty; a number is needed"));
  for (const std::string bad : {"nan", "inf", "1e999", "1e39", "1 2", "0x10"}) {
    UseCsv("x,y\n1,a\n" + bad + ",b\n");
    EXPECT_THAT(ErrorOf(), HasSubstr("must be a finite number")) << bad;
  }
  UseCsv("x,y\n1,0\n2,high\n");
  EXPECT_THAT(ErrorOf(TargetKind::kReal),
              HasSubstr("line 3, column \"y\": must be a finite number"));
  UseCsv("x,y\n1,a\n2,\n");
  EXPECT_THAT(ErrorOf(), HasSubstr("line 3, column \"y\": must be"));
  UseCsv("x,z\n1,a\n");
  EXPECT_EQ(ErrorOf(), "spec.data.target_column: table.csv has no column \"y\"; it has x, z");
  UseCsv("y\n1\n");
  EXPECT_THAT(ErrorOf(), HasSubstr("has no column beside the target"));
  UseCsv("x,y\n1,a\n2,a\n3,a\n");
  EXPECT_THAT(ErrorOf(), HasSubstr("has one class"));
}

TEST_F(OpenDataTest, FitsOnTheTrainingRowsAlone) {
  // The held-out row is far off: it must not show in mean and deviation.
  spec_.set_scale(2);
  spec_.set_standardize(true);
  UseCsv("a,b,y\n1,10,p\n3,10,q\n5,10,p\n7,10,q\n1000000,10,p\n");
  spec_.set_test_fraction(0.2);
  uint64_t seed = 0;
  while (Open(TargetKind::kClass, seed)->test_rows[0] != 4) ++seed;
  const auto data = Open(TargetKind::kClass, seed);
  const auto steps = FitPreprocessing(spec_, *data);
  ASSERT_TRUE(steps.ok()) << steps.status();
  ASSERT_EQ(steps->size(), 2u);
  EXPECT_EQ((*steps)[0]->ToJson().dump(), R"({"type":"rescale","divisor":2.0})");
  const auto standardize = (*steps)[1]->ToJson();
  // Column a: 1, 3, 5, 7 halved; column b never changes.
  EXPECT_DOUBLE_EQ(standardize["mean"][0], 2);
  EXPECT_DOUBLE_EQ(standardize["deviation"][0], std::sqrt(5.0) / 2);
  EXPECT_DOUBLE_EQ(standardize["mean"][1], 5);
  EXPECT_DOUBLE_EQ(standardize["deviation"][1], 1);
}

TEST_F(OpenDataTest, KeepsTheVarianceOfLargeNumbers) {
  spec_.set_standardize(true);
  // Seconds of one minute in 2033: a float holds multiples of 128 there.
  UseCsv("t,y\n2000000000,p\n2000000128,q\n2000000256,p\n2000000384,q\n2000000512,p\n");
  const auto data = Open();
  const auto steps = FitPreprocessing(spec_, *data);
  ASSERT_TRUE(steps.ok());
  EXPECT_GT((*steps)[0]->ToJson()["deviation"][0].get<double>(), 100);
  EXPECT_LT((*steps)[0]->ToJson()["deviation"][0].get<double>(), 300);
}

TEST_F(OpenDataTest, PicturesHaveOneMeanAndDeviation) {
  spec_.set_standardize(true);
  const auto data = Open();
  ASSERT_TRUE(data.ok());
  const auto steps = FitPreprocessing(spec_, *data);
  ASSERT_TRUE(steps.ok());
  double sum = 0;
  double squares = 0;
  for (const int64_t row : data->train_rows) {
    for (int64_t p = 0; p < 4; ++p) {
      const double value = static_cast<double>(4 * row + p);
      sum += value;
      squares += value * value;
    }
  }
  const double count = 4.0 * static_cast<double>(data->train_rows.size());
  const auto printed = (*steps)[0]->ToJson();
  ASSERT_EQ(printed["mean"].size(), 1u);
  EXPECT_NEAR(printed["mean"][0].get<double>(), sum / count, 1e-9);
  EXPECT_NEAR(printed["deviation"][0].get<double>(),
              std::sqrt(squares / count - sum / count * sum / count), 1e-9);
}

TEST_F(OpenDataTest, GatherCopiesTheRowsThatItIsAskedFor) {
  const auto data = Open();
  ASSERT_TRUE(data.ok());
  Batch batch;
  Gather(*data->train, {5, 0, 7, 2}, 1, 2, batch);
  EXPECT_EQ(batch.size, 2);
  EXPECT_THAT(batch.classes, ElementsAre(0, 1));
  EXPECT_THAT(batch.inputs, ElementsAre(0, 1, 2, 3, 28, 29, 30, 31));
}

}  // namespace
}  // namespace slipway::trainer
