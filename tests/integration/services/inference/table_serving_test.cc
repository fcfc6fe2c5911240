// A table with strings, dates and holes: trained by the real trainer, served by the real runtime.
// On the raw rows of the test part the served version scores what the trainer said that it scores.

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/raw_rows_runtime.h"
#include "tests/integration/services/inference/train_here.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

constexpr char kSpec[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "csv", "train": {"inputs": "train.csv"}, "test": {"inputs": "test.csv"},
           "target_column": "y", "standardize": true, "columns": [
    {"name": "age", "missing": "median", "outliers": {"method": "iqr", "action": "clip"}},
    {"name": "city", "kind": "category", "missing": "mode"},
    {"name": "since", "kind": "date", "parts": ["year", "weekday"]},
    {"name": "*", "log": true}]},
  "architecture": {"type": "mlp", "hidden": [16]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adam", "learning_rate": 0.01},
  "training": {"epochs": 20, "batch_size": 16, "seed": 5},
  "resources": {"threads": 1}
})";

struct Row {
  float age;
  float debt;
  std::string city;
  std::string since;
  std::string target;
};

// City and age decide, but not always; the test part has a city that training never saw.
std::vector<Row> Rows(int count, int seed) {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    const int number = (i * 37 + seed) * 11;
    Row row;
    row.age = number % 13 == 0 ? std::numeric_limits<float>::quiet_NaN()
                               : static_cast<float>(18 + number % 70);
    row.debt = static_cast<float>(number * number % 100'000);
    row.city = number % 17 == 0     ? ""
               : number % 3 == 0    ? "oslo"
               : seed > 0 && i == 3 ? "bern"
                                    : "rome";
    row.since = fmt::format("20{:02}-{:02}-{:02}", 10 + i % 15, 1 + i % 12, 1 + i % 28);
    row.target = (row.city == "oslo") != (number % 70 > 35) || number % 23 == 0 ? "yes" : "no";
    rows.push_back(std::move(row));
  }
  return rows;
}

// `city` and `since` stand between the numbers: columns go to their tensor in the table's order.
std::string Csv(const std::vector<Row>& rows) {
  std::string text = "age,city,debt,since,y\n";
  for (const Row& row : rows) {
    text += fmt::format("{},{},{},{},{}\n", std::isnan(row.age) ? "" : fmt::format("{}", row.age),
                        row.city, row.debt, row.since, row.target);
  }
  return text;
}

TEST(TableServingTest, AServedVersionScoresOnRawRowsWhatTheTrainerSaid) {
  const TempDir folder;
  std::filesystem::create_directory(folder / "data");
  const std::vector<Row> test = Rows(150, 5);
  ASSERT_TRUE(WriteFileAtomically(folder / "data/train.csv", Csv(Rows(600, 0))).ok());
  ASSERT_TRUE(WriteFileAtomically(folder / "data/test.csv", Csv(test)).ok());
  ModelSource source;
  ASSERT_NO_FATAL_FAILURE(TrainHere(folder, kSpec, source));
  const auto openvino = MakeOpenVinoRuntime({.staging_dir = folder / "staging"}).value();
  RawRowsRuntime runtime(*openvino);
  const auto model = runtime.Load(source);
  ASSERT_TRUE(model.ok()) << model.status();

  std::vector<float> numbers;
  std::vector<std::string> texts;
  for (const Row& row : test) {
    numbers.insert(numbers.end(), {row.age, row.debt});
    texts.insert(texts.end(), {row.city, row.since});
  }
  const int64_t count = std::ssize(test);
  std::string bytes(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
  const auto answer = (*model)->Run(
      {Tensor::Make("features", DataType::kFp32, {count, 2}, Buffer::Own(bytes), "f").value(),
       Tensor::Make("texts", DataType::kBytes, {count, 2}, Buffer::Own(EncodeTexts(texts)), "t")
           .value()},
      absl::InfiniteFuture());
  ASSERT_TRUE(answer.ok()) << answer.status();
  std::vector<float> probabilities(test.size() * 2);
  std::memcpy(probabilities.data(), (*answer)[0].data().data(),
              probabilities.size() * sizeof(float));

  double right = 0;
  double log_loss = 0;
  for (size_t i = 0; i < test.size(); ++i) {
    const bool yes = test[i].target == "yes";
    right += (probabilities[2 * i + 1] > probabilities[2 * i]) == yes;
    log_loss -= std::log(probabilities[2 * i + (yes ? 1 : 0)]);
  }
  const auto evaluation =
      nlohmann::json::parse(ReadFile(folder / "output/about/evaluation.json").value());
  const auto& metrics = evaluation["metrics"];
  EXPECT_EQ(evaluation["rows"], count);
  EXPECT_EQ(right / static_cast<double>(count), metrics["accuracy"].get<double>());
  EXPECT_NEAR(log_loss / static_cast<double>(count), metrics["log_loss"].get<double>(), 1e-5);
  EXPECT_GT(metrics["accuracy"].get<double>(), 0.7) << "it learnt nothing";
  EXPECT_LT(metrics["accuracy"].get<double>(), 1) << "nothing that could differ";
}

}  // namespace
}  // namespace slipway::worker
