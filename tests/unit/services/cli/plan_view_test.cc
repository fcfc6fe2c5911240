#include "services/cli/plan_view.h"

#include <sstream>

#include "common/fields/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// As the gateway writes it, with what nobody set.
const json kPlan = json::parse(R"({
  "spec": {"model": "iris", "dataset": "iris", "alias": "",
           "data": {"format": "csv", "train": {"inputs": "iris.csv", "targets": ""}, "labels": [],
                    "testFraction": 0.2, "scale": 0, "standardize": true,
                    "columns": [{"name": "id", "kind": "ignore", "missing": "", "values": []}]},
           "architecture": {"type": "mlp", "hidden": [32], "dropout": 0},
           "training": {"epochs": 90, "batchSize": 16, "seed": "1", "l1": 0}},
  "reasons": ["task: classification"], "trainRows": "120", "validationRows": "0", "testRows": "30",
  "sampled": false, "network": {"parameters": "259", "rowFlops": 518, "layers": 4},
  "memory": {"weights": "4144", "activations": "9000", "rows": "2400", "total": "471875144",
             "machine": "25000000000"},
  "steps": "720", "time": "3.5s", "shortestTime": "3.1s", "longestTime": "75s",
  "basis": "by the speed of 3 jobs", "trials": 0, "warnings": []})");

TEST(PrintPlanTest, SaysWhatItTakesAndWhy) {
  std::ostringstream out;
  PrintPlan(out, kPlan);
  EXPECT_EQ(out.str(),
            "iris on iris\n"
            "  rows        120 to train on, 0 to watch it with, 30 to test it on\n"
            "  network     mlp: 259 parameters, 518 operations a row\n"
            "  memory      471.9 MB of the machine's 25.0 GB: weights 4.1 kB, a batch 9.0 kB, "
            "rows 2.4 kB\n"
            "  time        0:04 for 720 steps, hardly less than 0:03 or more than 1:15\n"
            "              by the speed of 3 jobs\n"
            "  billed      about 4 training seconds\n"
            "proposed\n"
            "  task: classification\n");
}

TEST(SpecOfPlanTest, LeavesOutWhatNobodySaidAndIsWrittenAsPeopleDo) {
  EXPECT_EQ(PrintYaml(SpecOfPlan(kPlan)), R"(model: iris
dataset: iris
data:
  format: csv
  train:
    inputs: iris.csv
  columns:
    - {name: id, kind: ignore}
  standardize: true
  test_fraction: 0.2
architecture:
  type: mlp
  dropout: 0
  hidden: [32]
training:
  batch_size: 16
  epochs: 90
  seed: "1"
)");
}

TEST(PrintTrialsTest, ShowsEachTrialsValuesAndTheBestOne) {
  std::ostringstream out;
  PrintTrials(out, json::parse(R"({"trials": [
      {"job": "tenants/acme/jobs/find-0", "rung": 0, "state": "SUCCEEDED", "metric": 0.25,
       "best": false, "values": {"optimizer.learning_rate": 0.001, "architecture.hidden": [16]}},
      {"job": "tenants/acme/jobs/find-1", "rung": 0, "state": "RUNNING", "best": true,
       "values": {"optimizer.learning_rate": 0.01, "architecture.hidden": [32, 16]}}]})"));
  EXPECT_THAT(out.str(), HasSubstr("TRIAL   RUNG  STATE      METRIC  architecture.hidden  "
                                   "optimizer.learning_rate\n"));
  EXPECT_THAT(out.str(), HasSubstr("   find-0  0     SUCCEEDED  0.25    [16]"));
  EXPECT_THAT(out.str(), HasSubstr("*  find-1  0     RUNNING            [32,16]"));
}

TEST(PrintTrialsTest, SaysNothingOfAJobWithout) {
  std::ostringstream out;
  PrintTrials(out, {{"name", "tenants/acme/jobs/one"}});
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace slipway::cli
