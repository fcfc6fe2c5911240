#include "services/training/trainer/training_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/fake_clock.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"
#include "tests/unit/services/training/trainer/fake_attempt.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kSpec[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.2, "validation_fraction": 0.1, "labels": ["a", "b", "c"]},
  "architecture": {"type": "mlp", "hidden": [4]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "adam", "learning_rate": 0.01},
  "schedule": {"type": "cosine"},
  "training": {"epochs": 3, "batch_size": 8, "seed": 5},
  "checkpoint": {"every_steps": 4}
})";

class TrainingRunTest : public ::testing::Test {
 protected:
  // 100 rows: 20 to test, 8 to validate, 72 to train on: 9 steps an epoch, 27 in all.
  static constexpr int64_t kSteps = 27;

  TrainingRunTest() {
    std::string pixels;
    std::string classes;
    for (int i = 0; i < 100; ++i) {
      for (int p = 0; p < 4; ++p) pixels += static_cast<char>(i + p);
      classes += static_cast<char>(i % 3);
    }
    WriteFile(folder_ / "images", Idx({100, 2, 2}, pixels));
    WriteFile(folder_ / "labels", Idx({100}, classes));
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(kSpec, &job_).ok());
  }

  // One attempt. `stop_at` is the step before which it is stopped; -1: never.
  absl::StatusOr<RunOutcome> Attempt(FakeAttemptHost& host, int64_t stop_at = -1,
                                     StopRequest how = StopRequest::kAbandon) {
    TrainingRunOptions options;
    ASSIGN_OR_RETURN(options.spec, training::ParseSpec(job_));
    options.dataset_digest = dataset_digest_;
    options.checkpoint_dir = folder_ / checkpoints_;
    options.processes = processes_;
    options.rank = rank_;
    int64_t asked = 0;
    options.stop = [&] { return asked++ == stop_at ? how : StopRequest::kNone; };
    script_.steps_taken = &steps_taken_;
    steps_taken_ = 0;
    return RunTraining(
        options, host,
        [&](nn::Network network) -> absl::StatusOr<std::unique_ptr<Learner>> {
          return std::make_unique<FakeLearner>(std::move(network), script_);
        },
        clock_);
  }
  // The weights of a run that nobody interrupts.
  std::string WeightsOfOneRun() {
    FakeAttemptHost host(folder_.path().string());
    const std::string before = std::exchange(checkpoints_, "undisturbed");
    EXPECT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
    std::filesystem::remove_all(folder_ / checkpoints_);
    checkpoints_ = before;
    return host.stored.at("model.safetensors");
  }

  // Of the checkpoints that are there, in order.
  std::vector<int64_t> CheckpointSteps() const {
    std::vector<int64_t> steps;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / checkpoints_)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("checkpoint-")) steps.push_back(std::stoll(name.substr(11)));
    }
    std::sort(steps.begin(), steps.end());
    return steps;
  }

  // What was told of the last epoch: its loss and accuracy are over all of its steps.
  static std::string LastEpoch(const FakeAttemptHost& host) {
    const std::string logs = host.Logs();
    const size_t at = logs.find("epoch 3/3");
    return at == std::string::npos ? "" : logs.substr(at, logs.find('\n', at) - at);
  }

  TempDir folder_;
  FakeClock clock_;
  training::v1::JobSpec job_;
  FakeLearner::Script script_;
  std::string dataset_digest_ = "sha256:1";
  std::string checkpoints_ = "ck";
  int processes_ = 1;
  int rank_ = 0;
  int64_t steps_taken_ = 0;
};

TEST_F(TrainingRunTest, HandsInArtifactSignatureLabelsAndMetrics) {
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, kSteps);
  ASSERT_TRUE(host.result.has_value());
  EXPECT_EQ(host.result->artifact().format(), "slipway");
  std::vector<std::string> files;
  for (const auto& file : host.result->artifact().files()) files.push_back(file.path());
  EXPECT_THAT(files, ::testing::ElementsAre("architecture.json", "model.safetensors", "model.onnx",
                                            "samples.safetensors", "about/evaluation.json",
                                            "about/data-report.json", "about/model-card.md",
                                            StartsWith("about/tensorboard/events.out.tfevents.")));
  EXPECT_EQ(host.result->signature().inputs(0).name(), "image");
  EXPECT_EQ(host.result->signature().inputs(0).datatype(), "UINT8");
  EXPECT_EQ(host.result->signature().outputs(0).name(), "probabilities");
  EXPECT_EQ(host.result->signature().outputs(0).shape(1), 3);
  EXPECT_EQ(host.result->labels(2), "c");
  EXPECT_EQ(host.result->metrics().at("accuracy"), 1);
  EXPECT_EQ(host.result->metrics().at("loss"), 0.5);
  // What was stored can be served.
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_TRUE(SafetensorsFile::Parse(Buffer::Own(host.stored.at("model.safetensors")), "m").ok());
  const auto samples =
      SafetensorsFile::Parse(Buffer::Own(host.stored.at("samples.safetensors")), "samples");
  ASSERT_TRUE(samples.ok()) << samples.status();
  ASSERT_NE(samples->Find("image"), nullptr);
  EXPECT_EQ(samples->Find("image")->dtype(), DataType::kUint8);
}

TEST_F(TrainingRunTest, TheEvaluationIsAFileOfTheVersion) {
  script_.right = 0;  // the next class, each time
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(host).ok());
  const auto evaluation = nlohmann::json::parse(host.stored.at("about/evaluation.json"));
  EXPECT_EQ(evaluation["rows"], 20);
  EXPECT_EQ(evaluation["labels"], nlohmann::json({"a", "b", "c"}));
  EXPECT_EQ(evaluation["metrics"]["accuracy"], 0);
  EXPECT_EQ(evaluation["metrics"].size(), host.result->metrics().size());
  const auto matrix = evaluation["confusion_matrix"].get<std::vector<std::vector<int64_t>>>();
  ASSERT_EQ(matrix.size(), 3u);
  for (size_t c = 0; c < 3; ++c) EXPECT_EQ(matrix[c][c], 0);
  EXPECT_EQ(matrix[0][1] + matrix[1][2] + matrix[2][0], 20);
}

TEST_F(TrainingRunTest, ALossAboveItsThresholdIsNotHandedIn) {
  (*job_.mutable_evaluation()->mutable_at_most())["loss"] = 0.4;
  FakeAttemptHost host(folder_.path().string());
  EXPECT_EQ(Attempt(host).status().message(),
            "no version is registered: loss is 0.5 on the test part, and "
            "spec.evaluation.at_most.loss is 0.4");
  EXPECT_TRUE(host.stored.empty());
}

// A table with rules: callers send raw rows, and the version says how they are encoded.
class TableRunTest : public TrainingRunTest {
 protected:
  void UseTable(const std::string& columns) {
    std::string table = "x,c,y\n";
    for (int i = 0; i < 100; ++i) {
      table += std::to_string(i) + "," + (i % 2 == 0 ? "even" : "odd") + "," + "abc"[i % 3] + "\n";
    }
    WriteFile(folder_ / "table.csv", table);
    job_.clear_data();
    const std::string data = R"({"format": "csv", "train": {"inputs": "table.csv"},
        "target_column": "y", "test_fraction": 0.2, "columns": )" +
                             columns + "}";
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(data, job_.mutable_data()).ok());
  }
};

TEST_F(TableRunTest, TakesRawRowsAndDescribesHowTheyAreEncoded) {
  UseTable(R"([{"name": "x", "scale": "min_max"}, {"name": "c", "kind": "category"}])");
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_EQ(host.result->signature().inputs_size(), 2);
  EXPECT_EQ(host.result->signature().inputs(0).name(), "features");
  EXPECT_EQ(host.result->signature().inputs(1).name(), "texts");
  EXPECT_EQ(host.result->signature().inputs(1).datatype(), "BYTES");
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->table->width(), 3);
  EXPECT_FALSE(host.stored.contains("samples.safetensors")) << "its format has no texts";
}

TEST_F(TableRunTest, TakesTextAndDescribesItsTokens) {
  UseTable(R"([{"name": "x", "kind": "ignore"},
               {"name": "c", "kind": "text", "tokenizer": {"type": "character", "max_length": 5}}])");
  job_.mutable_architecture()->Clear();
  (*job_.mutable_architecture()->mutable_fields())["type"].set_string_value("lstm");
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_EQ(host.result->signature().inputs_size(), 1);
  EXPECT_EQ(host.result->signature().inputs(0).name(), "texts");
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  // e, v, n, o and d, and two that every tokenizer has.
  EXPECT_EQ(description->architecture->ToJson()["vocabulary"], 7);
  EXPECT_EQ(description->architecture->ToJson()["pad_token_id"], 0);
  EXPECT_TRUE(host.stored.contains("model.onnx"));
}

TEST_F(TableRunTest, RecordsRowsBothRawAndEncoded) {
  UseTable(R"([{"name": "x", "scale": "min_max"}, {"name": "c", "kind": "ignore"}])");
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  const auto samples =
      SafetensorsFile::Parse(Buffer::Own(host.stored.at("samples.safetensors")), "samples");
  ASSERT_TRUE(samples.ok()) << samples.status();
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  const auto encoded = description->table->Encode(std::span(samples->Find("features"), 1));
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->data().view(), samples->Find("encoded")->data().view());
}

TEST_F(TableRunTest, AKilledRunOfATableEndsWithTheSameWeights) {
  UseTable(R"([{"name": "x", "outliers": {"method": "iqr", "limit": 0.3, "action": "drop"}},
               {"name": "c", "kind": "category"}])");
  job_.mutable_data()->mutable_split()->set_method("stratified");
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 10).value(), RunOutcome::kAbandoned);
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_THAT(host.Logs(), HasSubstr("goes on from the checkpoint of step 8"));
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
}

// Not in the artifact, not in what is told of the run, not in the folder of its checkpoints.
TEST_F(TableRunTest, AMaskedValueIsInNoFile) {
  std::string table = "mail,zip,born,age,y\n";
  for (int i = 0; i < 100; ++i) {
    table += "someone" + std::to_string(i) + "@mail.example,10" + std::to_string(100 + i) +
             "-raw,19" + std::to_string(10 + i % 90) + "-11-23," + std::to_string(4321.5 + i) +
             "," + "abc"[i % 3] + "\n";
  }
  WriteFile(folder_ / "table.csv", table);
  job_.clear_data();
  const std::string data = R"({"format": "csv", "train": {"inputs": "table.csv"},
      "target_column": "y", "test_fraction": 0.2, "split": {"method": "group", "column": "mail"},
      "columns": [
        {"name": "mail", "kind": "category", "encoding": "hash", "buckets": 50,
         "mask": {"method": "hash"}},
        {"name": "zip", "kind": "category", "mask": {"method": "generalize", "prefix": 2}},
        {"name": "born", "kind": "date", "parts": ["year"], "missing": "mode",
         "mask": {"method": "generalize", "unit": "year"}},
        {"name": "age", "missing": "median", "outliers": {"method": "iqr", "action": "clip"},
         "mask": {"method": "generalize", "width": 100}}]})";
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(data, job_.mutable_data()).ok());
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 10).value(), RunOutcome::kAbandoned);
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_THAT(host.Logs(), HasSubstr("goes on from the checkpoint of step 8"));

  std::map<std::string, std::string> files = host.stored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / checkpoints_)) {
    if (entry.is_regular_file())
      files["left: " + entry.path().string()] = ReadFile(entry.path()).value();
  }
  EXPECT_GT(files.size(), host.stored.size());
  for (const auto& event : host.events) files["events"] += event.DebugString();
  const auto bytes_of = [](float number) {
    return std::string(reinterpret_cast<const char*>(&number), sizeof(number));
  };
  for (const auto& [name, content] : files) {
    SCOPED_TRACE(name);
    for (const std::string& raw :
         {std::string("someone7"), std::string("@mail"), std::string("-raw"), std::string("-11-23"),
          std::string("4321.5"), std::string("4360.5"), bytes_of(4321.5f), bytes_of(4360.5f)}) {
      EXPECT_EQ(content.find(raw), std::string::npos) << raw;
    }
  }
  EXPECT_THAT(host.stored.at("architecture.json"), HasSubstr("\"mask\""));
}

class LanguageModelRunTest : public TrainingRunTest {
 protected:
  LanguageModelRunTest() {
    std::string text;
    for (int i = 0; i < 200; ++i) text += i % 3 == 0 ? "the sea " : "a boat\n";
    WriteFile(folder_ / "text", text);
    job_.clear_data();
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(
                    R"({"format": "text", "train": {"inputs": "text"}, "test_fraction": 0.2,
                        "validation_fraction": 0.1,
                        "tokenizer": {"type": "character", "max_length": 16}})",
                    job_.mutable_data())
                    .ok());
    auto& architecture = *job_.mutable_architecture();
    architecture.Clear();
    (*architecture.mutable_fields())["type"].set_string_value("transformer_decoder");
    (*architecture.mutable_fields())["width"].set_number_value(8);
  }
};

TEST_F(LanguageModelRunTest, HandsInAVersionThatTakesTextAndSaysWhatComesNext) {
  (*job_.mutable_evaluation()->mutable_at_most())["perplexity"] = 2;
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->task, nn::Task::kLanguageModel);
  ASSERT_EQ(host.result->signature().inputs_size(), 1);
  EXPECT_EQ(host.result->signature().inputs(0).name(), "texts");
  EXPECT_EQ(host.result->signature().inputs(0).datatype(), "BYTES");
  // t, h, e, s, a, b, o, blank and line end, and two that every tokenizer has.
  EXPECT_EQ(host.result->signature().outputs(0).shape(1), 11);
  ASSERT_EQ(host.result->labels_size(), 11);
  EXPECT_EQ(host.result->labels(0), "[PAD]");
  EXPECT_TRUE(host.stored.contains("model.onnx"));
  EXPECT_EQ(host.result->metrics().at("accuracy"), 1);
  EXPECT_DOUBLE_EQ(host.result->metrics().at("perplexity"), std::exp(0.5));
  EXPECT_THAT(host.Logs(), HasSubstr("epoch 3/3: loss "));
  EXPECT_THAT(host.Logs(), HasSubstr(", accuracy 1.0000; validation loss 0.5000, accuracy 1.0000"));
  const auto report = nlohmann::json::parse(host.stored.at("about/data-report.json"));
  EXPECT_EQ(report["vocabulary"], 11);
  EXPECT_EQ(report["tokens"]["test"], report["rows"]["test"].get<int64_t>() * 16);
  EXPECT_EQ(report["unknown_tokens"]["test"], 0);
}

TEST_F(LanguageModelRunTest, APerplexityAboveItsThresholdIsNotHandedIn) {
  (*job_.mutable_evaluation()->mutable_at_most())["perplexity"] = 1.5;
  FakeAttemptHost host(folder_.path().string());
  EXPECT_EQ(Attempt(host).status().message(),
            "no version is registered: perplexity is 1.64872 on the test part, and "
            "spec.evaluation.at_most.perplexity is 1.5");
}

TEST_F(LanguageModelRunTest, AKilledRunEndsWithTheSameWeights) {
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 6).value(), RunOutcome::kAbandoned);
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_THAT(host.Logs(), HasSubstr("goes on from the checkpoint of step 4"));
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
}

class MaskedLanguageModelRunTest : public LanguageModelRunTest {
 protected:
  MaskedLanguageModelRunTest() {
    (*job_.mutable_architecture()->mutable_fields())["type"].set_string_value(
        "transformer_encoder");
    (*job_.mutable_objective()->mutable_fields())["type"].set_string_value("masked_token");
    script_.batches = &batches_;
  }
  std::vector<Batch> batches_;
};

TEST_F(MaskedLanguageModelRunTest, HandsInAVersionThatTakesTextAndGivesAnEmbedding) {
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->task, nn::Task::kMaskedLanguageModel);
  EXPECT_EQ(host.result->signature().inputs(0).name(), "texts");
  EXPECT_EQ(host.result->signature().outputs(0).name(), "embedding");
  EXPECT_EQ(host.result->signature().outputs(0).shape(1), 8);
  EXPECT_EQ(host.result->labels_size(), 0);
  EXPECT_TRUE(host.stored.contains("model.onnx"));
  EXPECT_EQ(host.result->metrics().at("accuracy"), 1);
  EXPECT_DOUBLE_EQ(host.result->metrics().at("perplexity"), std::exp(0.5));
  EXPECT_THAT(host.Logs(), HasSubstr(", accuracy 1.0000; validation loss 0.5000, accuracy 1.0000"));
  const auto report = nlohmann::json::parse(host.stored.at("about/data-report.json"));
  EXPECT_EQ(report["vocabulary"], 12);
  EXPECT_EQ(report["tokens"]["test"], report["rows"]["test"].get<int64_t>() * 16);
  EXPECT_THAT(host.stored.at("about/model-card.md"), HasSubstr("embedding"));
  // Two of a row's sixteen tokens are asked for, and of the same row others in the next epoch.
  std::set<std::vector<int64_t>> asked;
  for (const Batch& batch : batches_) {
    EXPECT_EQ(std::ssize(batch.classes), batch.size * 2);
    asked.insert(batch.steps);
  }
  EXPECT_EQ(asked.size(), batches_.size());
}

TEST_F(MaskedLanguageModelRunTest, AKilledRunHidesTheSameTokens) {
  const std::string expected = WeightsOfOneRun();
  for (const int64_t stop_at : {1, 6}) {
    std::filesystem::remove_all(folder_ / checkpoints_);
    FakeAttemptHost host(folder_.path().string());
    ASSERT_EQ(Attempt(host, stop_at).value(), RunOutcome::kAbandoned);
    ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
    EXPECT_EQ(host.stored.at("model.safetensors"), expected) << stop_at;
  }
  // Another share is another run.
  (*job_.mutable_objective()->mutable_fields())["mask_probability"].set_number_value(0.3);
  FakeAttemptHost other(folder_.path().string());
  ASSERT_EQ(Attempt(other).value(), RunOutcome::kCompleted);
  EXPECT_THAT(other.Logs(), Not(HasSubstr("goes on from")));
  EXPECT_NE(other.stored.at("model.safetensors"), expected);
}

TEST_F(TrainingRunTest, RecordsNoRowsWhereTheSpecWantsNone) {
  job_.mutable_evaluation()->set_recorded_samples(0);
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(host).ok());
  EXPECT_FALSE(host.stored.contains("samples.safetensors"));
}

TEST_F(TrainingRunTest, ReportsPhasesProgressAndCheckpoints) {
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(host).ok());
  std::vector<std::string> phases;
  std::vector<int64_t> checkpoints;
  training::v1::Progress last;
  for (const auto& event : host.events) {
    if (event.has_checkpoint()) checkpoints.push_back(event.checkpoint().step());
    if (!event.has_progress()) continue;
    last = event.progress();
    if (phases.empty() || phases.back() != last.phase()) phases.push_back(last.phase());
    EXPECT_LE(last.step(), kSteps);
    EXPECT_TRUE(event.has_time());
  }
  EXPECT_THAT(phases, ::testing::ElementsAre("preparing", "training", "evaluating", "registering"));
  EXPECT_THAT(checkpoints, ::testing::ElementsAre(4, 8, 12, 16, 20, 24, 27));
  EXPECT_EQ(last.step(), kSteps);
  EXPECT_EQ(last.epoch(), 3);
  EXPECT_EQ(last.validation_accuracy(), 1);
  EXPECT_THAT(host.Logs(), HasSubstr("epoch 3/3: loss "));
}

TEST_F(TrainingRunTest, AKilledRunEndsWithTheSameWeightsWhereverItWasKilled) {
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost undisturbed(folder_.path().string());
  ASSERT_EQ(Attempt(undisturbed).value(), RunOutcome::kCompleted);
  const std::string last_epoch = LastEpoch(undisturbed);
  for (int64_t kill = 0; kill < kSteps; ++kill) {
    checkpoints_ = "killed-" + std::to_string(kill);
    FakeAttemptHost first(folder_.path().string());
    ASSERT_EQ(Attempt(first, kill).value(), RunOutcome::kAbandoned);
    EXPECT_FALSE(first.result.has_value());
    FakeAttemptHost second(folder_.path().string());
    ASSERT_EQ(Attempt(second).value(), RunOutcome::kCompleted);
    EXPECT_EQ(second.stored.at("model.safetensors"), expected) << "killed before step " << kill;
    EXPECT_EQ(steps_taken_, kSteps - kill / 4 * 4) << "did not go on from the checkpoint";
    EXPECT_EQ(LastEpoch(second), last_epoch) << "killed before step " << kill;
  }
}

TEST_F(TrainingRunTest, AKilledRunChangesItsPicturesAsOneThatWasNot) {
  const std::string plain = WeightsOfOneRun();
  job_.mutable_data()->mutable_augment()->set_flip(true);
  job_.mutable_data()->mutable_augment()->set_shift(1);
  job_.mutable_training()->set_accumulate(2);
  const std::string expected = WeightsOfOneRun();
  EXPECT_NE(expected, plain);
  for (const int64_t stop_at : {1, 6, 11}) {
    std::filesystem::remove_all(folder_ / checkpoints_);
    FakeAttemptHost host(folder_.path().string());
    ASSERT_EQ(Attempt(host, stop_at).value(), RunOutcome::kAbandoned);
    ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
    EXPECT_EQ(host.stored.at("model.safetensors"), expected) << stop_at;
  }
}

TEST_F(TrainingRunTest, ManyKillsInARowLoseNothing) {
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost host(folder_.path().string());
  for (int attempt = 0; attempt < 4; ++attempt) {
    ASSERT_EQ(Attempt(host, 6).value(), RunOutcome::kAbandoned);
  }
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
}

TEST_F(TrainingRunTest, APoliteStopLosesNoStep) {
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 7, StopRequest::kCheckpoint).value(), RunOutcome::kInterrupted);
  EXPECT_EQ(steps_taken_, 7);
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, kSteps - 7);
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
  EXPECT_THAT(host.Logs(), HasSubstr("goes on from the checkpoint of step 7"));
}

TEST_F(TrainingRunTest, AStepTakesSoManyBatchesAndNoneOfOneRow) {
  // 72 rows: steps of 24 as 8 + 8 + 8.
  job_.mutable_training()->set_accumulate(3);
  std::vector<int64_t> sizes;
  script_.batch_sizes = &sizes;
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 9);
  EXPECT_EQ(sizes, std::vector<int64_t>(27, 8));
  EXPECT_EQ(host.result->metrics().at("accuracy"), 1);

  // Steps of 70 and 2 rows: the first as 14 times 5, the second whole.
  job_.mutable_training()->set_batch_size(5);
  job_.mutable_training()->set_accumulate(14);
  checkpoints_ = "uneven";
  sizes.clear();
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  std::vector<int64_t> epoch(14, 5);
  epoch.push_back(2);
  EXPECT_EQ(std::vector<int64_t>(sizes.begin(), sizes.begin() + 15), epoch);

  // All 72 rows in one step by 71: none stays alone.
  job_.mutable_training()->set_batch_size(71);
  job_.mutable_training()->set_accumulate(2);
  checkpoints_ = "together";
  sizes.clear();
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(sizes, std::vector<int64_t>(3, 72));
}

TEST_F(TrainingRunTest, ProcessesShareTheRowsOfEachStepAndOneOfThemReports) {
  job_.mutable_training()->set_batch_size(7);  // 72 rows: ten steps of 7, one of 2
  job_.mutable_training()->set_epochs(1);
  std::vector<Batch> whole;
  script_.batches = &whole;
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  ASSERT_EQ(whole.size(), 11u);

  processes_ = 3;
  script_.steps_led = 11;
  std::string bytes[3];
  std::vector<double> shares;
  for (rank_ = 0; rank_ < processes_; ++rank_) {
    checkpoints_ = "rank-" + std::to_string(rank_);
    std::vector<Batch> parts;
    script_.batches = &parts;
    FakeAttemptHost own(folder_.path().string());
    const auto outcome = Attempt(own);
    if (rank_ == 0) {
      EXPECT_EQ(outcome.value(), RunOutcome::kCompleted);
      EXPECT_TRUE(own.result.has_value());
    } else {
      EXPECT_TRUE(absl::IsUnavailable(outcome.status())) << outcome.status();
      EXPECT_FALSE(own.result.has_value());
      EXPECT_TRUE(std::filesystem::is_empty(folder_ / checkpoints_));
    }
    // The last step's two rows are the leader's.
    EXPECT_EQ(parts.size(), rank_ == 0 ? 11u : 10u);
    double share = 0;
    for (const Batch& part : parts) share += part.share;
    shares.push_back(share);
    if (rank_ == 0) {
      EXPECT_EQ(parts.back().inputs, whole.back().inputs);
    }
    const auto& first = parts.front().inputs;
    bytes[rank_].assign(first.begin(), first.end());
  }
  const auto& first = whole.front().inputs;
  EXPECT_EQ(bytes[0] + bytes[1] + bytes[2], std::string(first.begin(), first.end()));
  EXPECT_NEAR(shares[0] + shares[1] + shares[2], 11, 1e-9);
}

TEST_F(TrainingRunTest, StopsEarlyAndHandsInTheBestEpoch) {
  job_.mutable_training()->set_epochs(10);
  auto& early = *job_.mutable_training()->mutable_early_stopping();
  early.set_patience(2);
  early.set_min_delta(0.1);
  // By epochs of 9 steps: better, not enough better, worse.
  script_.loss = [](int64_t step) { return std::vector{9.0, 1.0, 0.95, 3.0, 0.0}.at(step / 9); };
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 27);
  EXPECT_THAT(host.Logs(), HasSubstr("stopped early: the validation loss was 1.0000 2 epochs ago"));

  // The best epoch was the first: a run of which only that counts ends with the same weights.
  const std::string expected = host.stored.at("model.safetensors");
  early.set_patience(1);
  checkpoints_ = "sooner";
  script_.loss = [](int64_t step) { return step == 9 ? 1.0 : 5.0; };
  FakeAttemptHost sooner(folder_.path().string());
  ASSERT_EQ(Attempt(sooner).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 18);
  EXPECT_EQ(sooner.stored.at("model.safetensors"), expected);
}

TEST_F(TrainingRunTest, AKilledRunStopsEarlyWhereOneThatWasNotDoes) {
  job_.mutable_training()->set_epochs(10);
  job_.mutable_training()->mutable_early_stopping()->set_patience(2);
  script_.loss = [](int64_t step) { return std::vector{9.0, 2.0, 1.0, 3.0, 1.5}.at(step / 9); };
  const std::string expected = WeightsOfOneRun();
  EXPECT_EQ(steps_taken_, 36);
  for (int64_t kill = 0; kill < 36; ++kill) {
    checkpoints_ = "killed-" + std::to_string(kill);
    FakeAttemptHost first(folder_.path().string());
    ASSERT_EQ(Attempt(first, kill).value(), RunOutcome::kAbandoned);
    FakeAttemptHost second(folder_.path().string());
    ASSERT_EQ(Attempt(second).value(), RunOutcome::kCompleted);
    EXPECT_EQ(second.stored.at("model.safetensors"), expected) << "killed before step " << kill;
    EXPECT_EQ(steps_taken_, 36 - kill / 4 * 4) << "did not go on from the checkpoint";
  }
  // Killed when it had stopped already: nothing is left to train.
  FakeAttemptHost stopping(folder_.path().string());
  checkpoints_ = "stopped";
  stopping.on_event = [](const auto& event) { return event.progress().phase() == "evaluating"; };
  ASSERT_EQ(Attempt(stopping).value(), RunOutcome::kAbandoned);
  FakeAttemptHost last(folder_.path().string());
  ASSERT_EQ(Attempt(last).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 0);
  EXPECT_EQ(last.stored.at("model.safetensors"), expected);
}

TEST_F(TrainingRunTest, ADamagedCheckpointIsPassedOver) {
  const std::string expected = WeightsOfOneRun();
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 10).value(), RunOutcome::kAbandoned);
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "ck")) {
    if (entry.path().filename().string().find("000008") != std::string::npos) {
      std::filesystem::resize_file(entry.path(), 40);
    }
  }
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, kSteps - 4);
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
  EXPECT_THAT(host.Logs(), HasSubstr("passed over checkpoint-000000000008-"));
}

TEST_F(TrainingRunTest, CheckpointsOfAnotherSpecOrDatasetAreNotGoneOnFrom) {
  const auto set = [](google::protobuf::Struct& object, const char* field, double value) {
    (*object.mutable_fields())[field].set_number_value(value);
  };
  // Each changes what a step does.
  const std::function<void()> changes[] = {
      [&] { dataset_digest_ = "sha256:2"; },
      [&] { job_.mutable_data()->set_standardize(true); },
      [&] { job_.mutable_training()->set_seed(6); },
      [&] { job_.mutable_resources()->set_threads(2); },
      [&] { job_.mutable_training()->set_ema_decay(0.9); },
      [&] { set(*job_.mutable_architecture(), "dropout", 0.5); },
      [&] { set(*job_.mutable_loss(), "label_smoothing", 0.1); },
      [&] { set(*job_.mutable_optimizer(), "learning_rate", 0.02); },
      [&] { set(*job_.mutable_schedule(), "final_factor", 0.1); },
  };
  for (const auto& change : changes) {
    checkpoints_ = "ck-" + std::to_string(&change - changes);
    FakeAttemptHost host(folder_.path().string());
    ASSERT_EQ(Attempt(host, 10).value(), RunOutcome::kAbandoned);
    change();
    const auto outcome = Attempt(host);
    ASSERT_TRUE(outcome.ok()) << checkpoints_ << ": " << outcome.status();
    EXPECT_EQ(steps_taken_, kSteps) << checkpoints_;
  }
}

TEST_F(TrainingRunTest, WhatChangesNoStepDoesNotVoidACheckpoint) {
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host, 10).value(), RunOutcome::kAbandoned);
  job_.set_alias("production");
  job_.mutable_checkpoint()->set_keep(5);
  job_.mutable_checkpoint()->set_keep_best(5);
  job_.mutable_training()->mutable_divergence()->set_factor(5);
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, kSteps - 8);
}

TEST_F(TrainingRunTest, TheHostCanStopItAtAnyTime) {
  FakeAttemptHost host(folder_.path().string());
  host.on_event = [](const training::v1::Event& event) { return event.has_checkpoint(); };
  EXPECT_EQ(Attempt(host).value(), RunOutcome::kAbandoned);
  EXPECT_LT(steps_taken_, kSteps);
  EXPECT_FALSE(host.result.has_value());
  for (const char* phase : {"training", "evaluating", "registering"}) {
    checkpoints_ = phase;
    FakeAttemptHost stopping(folder_.path().string());
    stopping.on_event = [&](const auto& event) { return event.progress().phase() == phase; };
    EXPECT_EQ(Attempt(stopping).value(), RunOutcome::kAbandoned) << phase;
    EXPECT_FALSE(stopping.result.has_value()) << phase;
    EXPECT_EQ(stopping.events.back().progress().phase(), phase);
  }
}

TEST_F(TrainingRunTest, EventsThatCannotBeToldDoNotStopIt) {
  FakeAttemptHost host(folder_.path().string());
  host.report_error = absl::UnavailableError("training is restarting");
  EXPECT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_TRUE(host.result.has_value());
}

TEST_F(TrainingRunTest, ALossThatIsNoNumberEndsTheJobWithAVerdict) {
  script_.nan_at = 12;
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("at step 12 (epoch 2) the loss or its gradient is no finite number"));
  EXPECT_FALSE(host.result.has_value());
}

TEST_F(TrainingRunTest, ALossThatHasLeftItsCourseEndsTheJobWithAVerdict) {
  job_.mutable_training()->set_epochs(30);
  script_.train_loss = [](int64_t step) { return step < 10 ? 2.0 : 1000.0; };
  FakeAttemptHost host(folder_.path().string());
  const absl::Status verdict = Attempt(host).status();
  EXPECT_EQ(verdict.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(verdict.message()),
              StartsWith("the training diverged: at step 209 the loss (smoothed) is "));
  EXPECT_THAT(std::string(verdict.message()),
              HasSubstr(", for 200 steps; try a smaller spec.optimizer.learning_rate"));
  EXPECT_FALSE(host.result.has_value());
  // A run that was killed on the way counts on.
  checkpoints_ = "killed";
  FakeAttemptHost killed(folder_.path().string());
  ASSERT_EQ(Attempt(killed, 201).value(), RunOutcome::kAbandoned);
  EXPECT_EQ(Attempt(killed).status(), verdict);
  EXPECT_EQ(steps_taken_, 9);
}

TEST_F(TrainingRunTest, TheSpecSaysHowFarALossMayLeaveItsCourse) {
  job_.mutable_training()->set_epochs(30);
  training::v1::DivergenceSpec& divergence = *job_.mutable_training()->mutable_divergence();
  script_.train_loss = [](int64_t step) { return step < 10 ? 2.0 : 1000.0; };
  divergence.set_steps(5);
  FakeAttemptHost host(folder_.path().string());
  EXPECT_THAT(std::string(Attempt(host).status().message()),
              StartsWith("the training diverged: at step 14 "));
  divergence.set_factor(0);
  checkpoints_ = "never";
  EXPECT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
}

TEST_F(TrainingRunTest, AKilledRunComesDownFromAPlateauAsOneThatWasNot) {
  job_.mutable_training()->set_epochs(6);
  const std::string plateau = R"({"type": "plateau", "factor": 0.5, "patience": 1})";
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(plateau, job_.mutable_schedule()).ok());
  script_.loss = [](int64_t step) { return step < 18 ? 1.0 : 2.0; };
  FakeAttemptHost undisturbed(folder_.path().string());
  ASSERT_EQ(Attempt(undisturbed).value(), RunOutcome::kCompleted);
  EXPECT_THAT(undisturbed.Logs(), HasSubstr("the learning rate falls to 0.005: the loss has been "
                                            "no better than 1.0000 for 2 epochs"));
  EXPECT_THAT(undisturbed.Logs(), HasSubstr("the learning rate falls to 0.0025"));
  for (const int64_t kill : {1, 17, 18, 20, 27, 28, 29, 40, 53}) {
    checkpoints_ = "killed-" + std::to_string(kill);
    FakeAttemptHost host(folder_.path().string());
    ASSERT_EQ(Attempt(host, kill).value(), RunOutcome::kAbandoned);
    ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
    EXPECT_EQ(host.stored.at("model.safetensors"), undisturbed.stored.at("model.safetensors"))
        << "killed before step " << kill;
  }
}

TEST_F(TrainingRunTest, GradientDescentTakesAllRowsInEachStep) {
  const std::string gd = R"({"type": "gd", "learning_rate": 0.1})";
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(gd, job_.mutable_optimizer()).ok());
  std::vector<int64_t> sizes;
  script_.batch_sizes = &sizes;
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 3);
  EXPECT_EQ(sizes, std::vector<int64_t>(27, 8));
}

TEST_F(TrainingRunTest, AVersionBelowItsThresholdIsNotHandedIn) {
  script_.right = 0.5;
  (*job_.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.9;
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(host);
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(outcome.status().message(),
            "no version is registered: accuracy is 0.5 on the test part, and "
            "spec.evaluation.at_least.accuracy is 0.9");
  EXPECT_TRUE(host.stored.empty());
  (*job_.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.5;
  EXPECT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
}

TEST_F(TrainingRunTest, DataThatDoesNotFitTheSpecNamesTheField) {
  (*job_.mutable_architecture()->mutable_fields())["type"].set_string_value("cnn");
  job_.mutable_architecture()->mutable_fields()->erase("hidden");
  FakeAttemptHost host(folder_.path().string());
  const absl::Status status = Attempt(host).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "spec.architecture.pool: the 2x2 picture is gone after 1 poolings of 2");
  WriteFile(folder_ / "labels", "no idx");
  EXPECT_EQ(FieldOf(Attempt(host).status()), "spec.data.train.targets");
}

TEST_F(TrainingRunTest, RefusesANetworkThatTheMachineCannotHold) {
  job_.mutable_architecture()->mutable_fields()->erase("hidden");
  auto* hidden = (*job_.mutable_architecture()->mutable_fields())["hidden"].mutable_list_value();
  for (int i = 0; i < 31; ++i) hidden->add_values()->set_number_value(65536);
  FakeAttemptHost host(folder_.path().string());
  const absl::Status status = Attempt(host).status();
  EXPECT_EQ(FieldOf(status), "spec.architecture");
  EXPECT_THAT(std::string(status.message()), HasSubstr("GiB, and the machine has"));
}

// Checkpoints are due after 4, 8, ... 24 and 27 steps; there is no room for those of 12 and 16.
TEST_F(TrainingRunTest, AFullVolumeCostsCheckpointsAndNotTheRun) {
  const std::string expected = WeightsOfOneRun();
  SystemCalls calls;
  calls.FillVolume("/.checkpoint-00000000001");
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(host.stored.at("model.safetensors"), expected);
  std::vector<int64_t> written;
  for (const auto& event : host.events) {
    if (event.has_checkpoint()) written.push_back(event.checkpoint().step());
  }
  // It goes on once there is room.
  EXPECT_THAT(written, ElementsAre(4, 8, 20, 24, 27));
  const std::string logs = host.Logs();
  const std::string warning = "a checkpoint was not written: no space is left on ";
  const size_t first = logs.find(warning);
  ASSERT_NE(first, std::string::npos) << logs;
  EXPECT_NE(logs.find(warning, first + 1), std::string::npos) << logs;

  // While there is none the older ones stay, and a killed run goes on from them.
  checkpoints_ = "killed";
  FakeAttemptHost killed(folder_.path().string());
  ASSERT_EQ(Attempt(killed, 18).value(), RunOutcome::kAbandoned);
  EXPECT_THAT(CheckpointSteps(), ElementsAre(4, 8));
  ASSERT_EQ(Attempt(killed).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, kSteps - 8);
  EXPECT_EQ(killed.stored.at("model.safetensors"), expected);
}

// ---- The best epochs. ----

class BestEpochTest : public TrainingRunTest {
 protected:
  // Four epochs of 9 steps, of which the second is the best, and the first the next.
  BestEpochTest() {
    job_.mutable_training()->set_epochs(4);
    job_.mutable_checkpoint()->set_keep(1);
    job_.mutable_checkpoint()->set_keep_best(2);
    job_.mutable_checkpoint()->set_register_best(true);
    script_.loss = [](int64_t step) { return std::vector{9.0, 2.0, 1.0, 3.0, 4.0}.at(step / 9); };
  }
};

TEST_F(BestEpochTest, TheBestOnesAreKeptAndTheVeryBestIsRegistered) {
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 36);
  EXPECT_THAT(CheckpointSteps(), ElementsAre(9, 18, 36));
  EXPECT_EQ(host.result->metrics().at("loss"), 1.0);
  EXPECT_THAT(host.Logs(), HasSubstr("registers the weights of step 18, of which the validation "
                                     "part's loss is 1"));
  // Early stopping keeps the same epoch's weights by itself.
  job_.clear_checkpoint();
  job_.mutable_training()->mutable_early_stopping()->set_patience(10);
  EXPECT_EQ(WeightsOfOneRun(), host.stored.at("model.safetensors"));
}

TEST_F(BestEpochTest, AKilledRunRegistersWhatOneThatWasNotDoes) {
  const std::string expected = WeightsOfOneRun();
  for (int64_t kill = 0; kill < 36; ++kill) {
    checkpoints_ = "killed-" + std::to_string(kill);
    FakeAttemptHost first(folder_.path().string());
    ASSERT_EQ(Attempt(first, kill).value(), RunOutcome::kAbandoned);
    FakeAttemptHost second(folder_.path().string());
    ASSERT_EQ(Attempt(second).value(), RunOutcome::kCompleted);
    EXPECT_EQ(second.stored.at("model.safetensors"), expected) << "killed before step " << kill;
    EXPECT_THAT(CheckpointSteps(), ElementsAre(9, 18, 36)) << "killed before step " << kill;
  }
  checkpoints_ = "evaluating";
  FakeAttemptHost first(folder_.path().string());
  first.on_event = [](const auto& event) { return event.progress().phase() == "evaluating"; };
  ASSERT_EQ(Attempt(first).value(), RunOutcome::kAbandoned);
  FakeAttemptHost second(folder_.path().string());
  ASSERT_EQ(Attempt(second).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 0);
  EXPECT_EQ(second.stored.at("model.safetensors"), expected);
}

TEST_F(BestEpochTest, WhereTheBestIsDamagedTheNextOneIsRegistered) {
  FakeAttemptHost host(folder_.path().string());
  host.on_event = [&](const training::v1::Event& event) {
    if (event.checkpoint().step() != 36) return false;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "ck")) {
      if (entry.path().filename().string().starts_with("checkpoint-000000000018-")) {
        std::filesystem::resize_file(entry.path(), 40);
      }
    }
    return false;
  };
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(host.result->metrics().at("loss"), 2.0);
  EXPECT_THAT(host.Logs(), HasSubstr("passed over checkpoint-000000000018-"));
}

TEST_F(BestEpochTest, WhereNoneIsThereTheLastWeightsAreRegistered) {
  SystemCalls calls;
  calls.FillVolume("/.checkpoint-");
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(host.result->metrics().at("loss"), 4.0);
  EXPECT_THAT(host.Logs(), HasSubstr("registers the last weights: "));
}

TEST_F(TrainingRunTest, SaysHowLongItWillTake) {
  FakeAttemptHost host(folder_.path().string());
  host.on_event = [&](const training::v1::Event&) {
    clock_.Advance(absl::Seconds(1));
    return false;
  };
  ASSERT_TRUE(Attempt(host).ok());
  double before = 1e9;
  int told = 0;
  for (const auto& event : host.events) {
    if (!event.has_progress() || event.progress().samples_per_second() == 0) continue;
    ++told;
    EXPECT_GE(event.progress().remaining_seconds(), 0);
    before = event.progress().remaining_seconds();
  }
  EXPECT_GT(told, 3);
  EXPECT_EQ(before, 0);
}

}  // namespace
}  // namespace slipway::trainer
