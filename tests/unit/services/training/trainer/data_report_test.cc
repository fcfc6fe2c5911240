#include "services/training/trainer/data/data_report.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "services/training/trainer/data/open_data.h"
#include "services/training/trainer/model_card.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using training::TargetKind;

class DataReportTest : public ::testing::Test {
 protected:
  DataReport Report(const std::string& train, const std::string& test,
                    TargetKind targets = TargetKind::kClass, const std::string& columns = "[]") {
    WriteFile(folder_ / "train.csv", train);
    WriteFile(folder_ / "test.csv", test);
    training::v1::DataSpec spec;
    const std::string json = R"({"format": "csv", "train": {"inputs": "train.csv"},
        "test": {"inputs": "test.csv"}, "target_column": "y", "columns": )" +
                             columns + "}";
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &spec).ok());
    const auto data = OpenData(spec, targets, 1, [&](const std::string& path) {
      return absl::StatusOr<std::string>(folder_ / path);
    });
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? ReportData(*data) : DataReport();
  }

  TempDir folder_;
};

TEST_F(DataReportTest, CountsRowsClassesMissingValuesAndRanges) {
  const DataReport report =
      Report("x,c,y\n1,a,p\n,b,q\n5,,p\n3,a,q\n", "x,c,y\n,z,p\n2,a,q\n", TargetKind::kClass,
             R"([{"name": "x", "missing": "mean"},
                 {"name": "c", "kind": "category", "missing": "mode"}])");
  const auto& facts = report.facts;
  EXPECT_EQ(facts["rows"]["train"], 4);
  EXPECT_EQ(facts["rows"]["test"], 2);
  EXPECT_EQ(facts["classes"]["train"]["p"], 2);
  EXPECT_EQ(facts["classes"]["test"]["q"], 1);
  EXPECT_EQ(facts["columns"][0]["name"], "x");
  EXPECT_EQ(facts["columns"][0]["missing"]["train"], 1);
  EXPECT_EQ(facts["columns"][0]["missing"]["test"], 1);
  EXPECT_EQ(facts["columns"][0]["min"], 1);
  EXPECT_EQ(facts["columns"][0]["max"], 5);
  EXPECT_EQ(facts["columns"][0]["mean"], 3);
  EXPECT_EQ(facts["columns"][1]["values"], 2);
  EXPECT_THAT(report.warnings, IsEmpty());
}

TEST_F(DataReportTest, WarnsOfAColumnThatIsTheTargetInDisguise) {
  const DataReport classes =
      Report("code,x,y\n7,1,p\n9,2,q\n7,3,p\n9,1,q\n7,2,p\n", "code,x,y\n7,4,p\n9,5,q\n");
  EXPECT_THAT(
      classes.warnings,
      ElementsAre("column \"code\" tells the target alone: each of its values goes with one "
                  "class"));
  const DataReport numbers = Report("cents,x,y\n100,5,1\n250,1,2.5\n300,4,3\n90,2,0.9\n",
                                    "cents,x,y\n10,5,0.1\n", TargetKind::kReal);
  EXPECT_THAT(numbers.warnings,
              ElementsAre("column \"cents\" tells the target alone: they go together in a straight "
                          "line"));
}

TEST_F(DataReportTest, WarnsOfRowsThatTrainingAndTestShare) {
  const DataReport report = Report("x,w,y\n1,1,p\n2,1,q\n3,2,p\n", "x,w,y\n 1,1,p\n1,1,q\n2,1,q\n");
  EXPECT_EQ(report.facts["rows_shared_with_train"]["test"], 2);
  EXPECT_THAT(report.warnings,
              ElementsAre("2 of the 3 rows of the test part are training rows, too"));
}

TEST_F(DataReportTest, WarnsOfWhatCannotBeLearntOrMeasured) {
  const DataReport report = Report("x,w,y\n1,0,p\n2,0,q\n3,0,p\n", "x,w,y\n9,0,p\n");
  EXPECT_THAT(report.warnings, ElementsAre("the test part has no row of class \"q\"",
                                           "column \"w\" never changes in the training rows"));
}

TEST_F(DataReportTest, TheModelCardSaysWhatTheRunKnows) {
  const DataReport report = Report("a|b,w,y\n1,0,p\n2,0,q\n3,0,p\n", "a|b,w,y\n9,0,p\n2.5,0,q\n");
  training::Spec spec;
  spec.job.set_model("flowers");
  spec.job.set_dataset("garden");
  spec.job.mutable_training()->set_epochs(3);
  nn::ModelDescription description;
  description.architecture =
      nn::ParseArchitecture(nlohmann::json::parse(R"({"type": "mlp", "hidden": [4]})"), "a")
          .value();
  description.input = {"features", DataType::kFp32, {-1, 2}};
  description.output = nn::OutputOf(nn::Task::kClassification, 2);
  description.labels = {"p", "q"};
  const std::string card =
      WriteModelCard(spec, description, "sha256:1", report, {{"accuracy", 0.75}});
  for (const char* part :
       {"# flowers\n", "## Intended use", "## Data", "## Metrics", "## Limits",
        "takes `features` FP32 [-1, 2]", "classes: p, q", "Dataset `garden`, sha256:1.",
        "Rows: 3 to train on, 0 to watch the training with, 2 held out",
        "| a\\|b | number | 0 | 1 to 3 |", "| accuracy | 0.7500 |", "No bound was set",
        "Warning: column \"w\" never changes"}) {
    EXPECT_THAT(card, HasSubstr(part));
  }
  (*spec.job.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.5;
  EXPECT_THAT(WriteModelCard(spec, description, "sha256:1", report, {}),
              Not(HasSubstr("No bound was set")));
}

}  // namespace
}  // namespace slipway::trainer
