// Runs that go on from a version.
#include "services/training/trainer/base_version.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/training_run.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/training/trainer/data_files.h"
#include "tests/unit/services/training/trainer/fake_attempt.h"

namespace slipway::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kFirst[] = R"({
  "model": "m", "dataset": "d",
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.2, "labels": ["a", "b", "c"], "scale": 255, "standardize": true},
  "architecture": {"type": "mlp", "hidden": [4]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "sgd", "learning_rate": 0.01},
  "training": {"epochs": 2, "batch_size": 8, "seed": 5},
  "checkpoint": {"every_steps": 4}
})";

constexpr char kSecond[] = R"({
  "model": "m", "dataset": "d", "base": {"version": "models/m/versions/1"},
  "data": {"format": "idx", "train": {"inputs": "images", "targets": "labels"},
           "test_fraction": 0.2, "labels": ["a", "b", "c"]},
  "loss": {"type": "cross_entropy"},
  "optimizer": {"type": "sgd", "learning_rate": 0.01},
  "training": {"epochs": 2, "batch_size": 8, "seed": 5},
  "checkpoint": {"every_steps": 4}
})";

training::v1::JobSpec Parse(const std::string& spec) {
  training::v1::JobSpec job;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(spec, &job).ok());
  return job;
}

class BaseRunTest : public ::testing::Test {
 protected:
  BaseRunTest() {
    WritePictures(2, 0);
    MakeBase(Parse(kFirst));
  }

  // 100 pictures of three classes.
  void WritePictures(uint32_t side, int brightness) {
    std::string pixels;
    std::string classes;
    for (uint32_t i = 0; i < 100; ++i) {
      for (uint32_t p = 0; p < side * side; ++p) {
        pixels += static_cast<char>(i + p + static_cast<uint32_t>(brightness));
      }
      classes += static_cast<char>(i % 3);
    }
    WriteFile(folder_ / "images", Idx({100, side, side}, pixels));
    WriteFile(folder_ / "labels", Idx({100}, classes));
  }

  // Trains a version from scratch, and puts its files where the host looks for the base's.
  void MakeBase(const training::v1::JobSpec& job) {
    std::filesystem::remove_all(folder_ / "base");
    std::filesystem::create_directory(folder_ / "base");
    FakeAttemptHost host(folder_.path().string());
    const auto outcome = Attempt(job, host);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    for (const char* file : {"architecture.json", "model.safetensors"}) {
      WriteFile(folder_ / (std::string("base/") + file), host.stored.at(file));
    }
    std::filesystem::remove_all(folder_ / "ck");
  }

  // One attempt, stopped before step `stop_at`.
  absl::StatusOr<RunOutcome> Attempt(const training::v1::JobSpec& job, FakeAttemptHost& host,
                                     int64_t stop_at = -1) {
    host.base_folder = folder_ / "base";
    TrainingRunOptions options;
    ASSIGN_OR_RETURN(options.spec, training::ParseSpec(job));
    options.dataset_digest = "sha256:1";
    options.checkpoint_dir = folder_ / "ck";
    int64_t asked = 0;
    options.stop = [&] {
      return asked++ == stop_at ? StopRequest::kCheckpoint : StopRequest::kNone;
    };
    started_with_.clear();
    steps_taken_ = 0;
    return RunTraining(
        options, host,
        [&](nn::Network network) -> absl::StatusOr<std::unique_ptr<Learner>> {
          trained_ = network;
          FakeLearner::Script script;
          script.classes = network.value(network.head()).shape[1];
          script.started_with = &started_with_;
          script.steps_taken = &steps_taken_;
          return std::make_unique<FakeLearner>(std::move(network), script);
        },
        clock_);
  }

  std::string ErrorOf(const training::v1::JobSpec& job) {
    std::filesystem::remove_all(folder_ / "ck");
    FakeAttemptHost host(folder_.path().string());
    return std::string(Attempt(job, host).status().message());
  }

  // The parameters that a step changes.
  std::vector<std::string> TrainedParameters() const {
    std::vector<std::string> names;
    for (const nn::Parameter& parameter : trained_.parameters()) {
      if (parameter.trainable) names.push_back(parameter.name);
    }
    return names;
  }

  TempDir folder_;
  FakeClock clock_;
  nn::Network trained_;  // by the newest attempt
  std::vector<std::string> started_with_;
  int64_t steps_taken_ = 0;
};

TEST_F(BaseRunTest, StartsWithTheWeightsAndThePreprocessingOfItsBase) {
  const std::string base = ReadFile(folder_ / "base/architecture.json").value();
  WritePictures(2, 100);  // on which other constants would be fitted
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(Parse(kSecond), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(started_with_,
              ElementsAre("hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias"));
  EXPECT_EQ(host.stored.at("architecture.json"), base);
  EXPECT_THAT(host.Logs(), HasSubstr("goes on from models/m/versions/1: preprocessing as it was; "
                                     "the last layer goes on, too; 35 of 35 weights are trained"));
  EXPECT_THAT(host.stored.at("about/model-card.md"),
              HasSubstr("A network of type `mlp`, trained from `models/m/versions/1` for 2"));

  auto refit = Parse(kSecond);
  refit.mutable_base()->set_refit_preprocessing(true);
  refit.mutable_data()->set_scale(255);
  refit.mutable_data()->set_standardize(true);
  std::filesystem::remove_all(folder_ / "ck");
  ASSERT_TRUE(Attempt(refit, host).ok());
  EXPECT_EQ(started_with_.size(), 4u);
  EXPECT_NE(host.stored.at("architecture.json"), base);
  EXPECT_THAT(host.Logs(), HasSubstr("preprocessing fitted anew"));
}

TEST_F(BaseRunTest, OtherClassesGetANewLastLayer) {
  const auto classes = [](const std::vector<std::string>& labels) {
    auto job = Parse(kSecond);
    job.mutable_data()->clear_labels();
    for (const std::string& label : labels) job.mutable_data()->add_labels(label);
    return job;
  };
  for (const std::vector<std::string>& labels :
       {std::vector<std::string>{"a", "b", "d"}, {"a", "b", "c", "d"}}) {
    std::filesystem::remove_all(folder_ / "ck");
    FakeAttemptHost host(folder_.path().string());
    const auto outcome = Attempt(classes(labels), host);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_THAT(started_with_, ElementsAre("hidden.0.weight", "hidden.0.bias"));
    EXPECT_THAT(host.Logs(), HasSubstr("the last layer is new, for " +
                                       std::to_string(labels.size()) + " in place of 3"));
    EXPECT_EQ(host.result->labels(2), labels[2]);
  }
  // Without names they are the base's.
  std::filesystem::remove_all(folder_ / "ck");
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(classes({}), host).ok());
  EXPECT_EQ(started_with_.size(), 4u);
  EXPECT_EQ(host.result->labels(2), "c");
}

TEST_F(BaseRunTest, FreezesTheLayersThatAreNamed) {
  auto job = Parse(kSecond);
  job.mutable_base()->add_freeze("hid*");
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(job, host).ok());
  EXPECT_THAT(TrainedParameters(), ElementsAre("head.weight", "head.bias"));
  EXPECT_THAT(host.Logs(), HasSubstr("15 of 35 weights are trained"));
  job.mutable_base()->set_freeze(0, "all_but_head");
  std::filesystem::remove_all(folder_ / "ck");
  ASSERT_TRUE(Attempt(job, host).ok());
  EXPECT_THAT(TrainedParameters(), ElementsAre("head.weight", "head.bias"));
  job.mutable_base()->set_freeze(0, "head");
  std::filesystem::remove_all(folder_ / "ck");
  ASSERT_TRUE(Attempt(job, host).ok());
  EXPECT_THAT(TrainedParameters(), ElementsAre("hidden.0.weight", "hidden.0.bias"));
}

TEST_F(BaseRunTest, LoraTrainsAdaptersAndALastLayerThatIsNew) {
  auto job = Parse(kSecond);
  job.mutable_base()->mutable_lora()->set_rank(2);
  FakeAttemptHost host(folder_.path().string());
  ASSERT_TRUE(Attempt(job, host).ok());
  EXPECT_THAT(TrainedParameters(),
              ElementsAre("hidden.0.lora.a", "hidden.0.lora.b", "head.lora.a", "head.lora.b"));
  job.mutable_base()->mutable_lora()->add_layers("hidden.*");
  job.mutable_data()->set_labels(0, "other");
  std::filesystem::remove_all(folder_ / "ck");
  ASSERT_TRUE(Attempt(job, host).ok());
  EXPECT_THAT(TrainedParameters(),
              ElementsAre("head.weight", "head.bias", "hidden.0.lora.a", "hidden.0.lora.b"));
}

TEST_F(BaseRunTest, WhatDoesNotFitTheBaseNamesTheField) {
  const auto job = [](const std::function<void(training::v1::JobSpec&)>& edit) {
    auto job = Parse(kSecond);
    edit(job);
    return job;
  };
  const auto architecture = [&](const std::string& text) {
    return job([&](auto& j) {
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, j.mutable_architecture()).ok());
    });
  };
  EXPECT_EQ(ErrorOf(architecture(R"({"type": "mlp", "hidden": [5]})")),
            "spec.architecture: hidden.0.weight is [5, 4], and the base's is [4, 4]");
  EXPECT_EQ(ErrorOf(architecture(R"({"type": "mlp", "hidden": [4, 4]})")),
            "spec.architecture: the base has no weights hidden.1.weight");
  EXPECT_EQ(ErrorOf(architecture(R"({"type": "mlp", "hidden": []})")),
            "spec.architecture: there is no place for the base's weights hidden.0.weight");
  EXPECT_EQ(ErrorOf(architecture(R"({"type": "mlp", "hidden": [4], "dropout": 0.5})")), "");
  EXPECT_EQ(ErrorOf(job([](auto& j) { j.mutable_base()->add_freeze("block.*"); })),
            "spec.base.freeze[0]: is the name of no layer with weights; there are hidden.0, head");
  EXPECT_EQ(ErrorOf(job([](auto& j) { j.mutable_base()->add_freeze("*"); })),
            "spec.base.freeze: leaves nothing to train");
  EXPECT_EQ(ErrorOf(job([](auto& j) {
              j.mutable_base()->add_freeze("head");
              j.mutable_data()->set_labels(0, "other");
            })),
            "spec.base.freeze: must not name head, which is new");
  EXPECT_EQ(ErrorOf(job([](auto& j) {
              j.mutable_base()->mutable_lora()->set_rank(2);
              j.mutable_base()->mutable_lora()->add_layers("conv*");
            })),
            "spec.base.lora.layers[0]: is the name of no dense layer to adapt; there are hidden.0, "
            "head");

  WritePictures(3, 0);
  EXPECT_EQ(ErrorOf(Parse(kSecond)),
            "spec.data.train.inputs: rows are UINT8 [-1, 3, 3], and the base's preprocessing takes "
            "UINT8 [-1, 2, 2]");
  EXPECT_EQ(ErrorOf(job([](auto& j) { j.mutable_base()->set_refit_preprocessing(true); })),
            "spec.data.train.inputs: hidden.0.weight is [4, 9], and the base's is [4, 4]; rows are "
            "UINT8 [-1, 3, 3], and the base takes UINT8 [-1, 2, 2]");
}

TEST_F(BaseRunTest, ABaseThatCannotBeReadIsRefused) {
  const std::string weights = folder_ / "base/model.safetensors";
  const std::string good = ReadFile(weights).value();
  WriteFile(weights, good.substr(0, good.size() - 4));
  EXPECT_THAT(ErrorOf(Parse(kSecond)), StartsWith("spec.base.version: model.safetensors: "));
  WriteFile(weights, good);
  const std::string description = folder_ / "base/architecture.json";
  std::string text = ReadFile(description).value();
  text.replace(text.find("\"mlp\""), 5, "\"map\"");
  WriteFile(description, text);
  EXPECT_THAT(
      ErrorOf(Parse(kSecond)),
      StartsWith("spec.base.version: architecture.json: architecture.type: must be one of"));
}

TEST_F(BaseRunTest, AKilledRunEndsWithTheSameWeights) {
  FakeAttemptHost whole(folder_.path().string());
  ASSERT_EQ(Attempt(Parse(kSecond), whole).value(), RunOutcome::kCompleted);
  std::filesystem::remove_all(folder_ / "ck");
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(Parse(kSecond), host, 6).value(), RunOutcome::kInterrupted);
  ASSERT_EQ(Attempt(Parse(kSecond), host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 14);
  EXPECT_EQ(host.stored.at("model.safetensors"), whole.stored.at("model.safetensors"));
}

TEST_F(BaseRunTest, ACheckpointOfARunFromAnotherBaseIsNotGoneOnFrom) {
  FakeAttemptHost host(folder_.path().string());
  ASSERT_EQ(Attempt(Parse(kSecond), host, 6).value(), RunOutcome::kInterrupted);
  const std::string checkpoints = folder_ / "ck";
  std::filesystem::rename(checkpoints, folder_ / "kept");
  auto other = Parse(kFirst);
  other.mutable_training()->set_seed(6);
  MakeBase(other);
  std::filesystem::rename(folder_ / "kept", checkpoints);
  ASSERT_EQ(Attempt(Parse(kSecond), host).value(), RunOutcome::kCompleted);
  EXPECT_EQ(steps_taken_, 20);
}

// ---- Tables. ----

class BaseTableTest : public BaseRunTest {
 protected:
  static training::v1::JobSpec TableJob(const std::string& columns, bool tuned) {
    auto job = Parse(tuned ? kSecond : kFirst);
    job.clear_data();
    const std::string data =
        R"({"format": "csv", "train": {"inputs": "table.csv"}, "target_column": "y",
            "test_fraction": 0.2, "columns": )" +
        columns + "}";
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(data, job.mutable_data()).ok());
    return job;
  }

  void WriteTable(int first) {
    std::string table = "x,c,y\n";
    for (int i = 0; i < 100; ++i) {
      table += std::to_string(first + i) + "," + (i % 2 == 0 ? "even" : "odd") + "," +
               "abc"[i % 3] + "\n";
    }
    WriteFile(folder_ / "table.csv", table);
  }
};

TEST_F(BaseTableTest, RowsAreEncodedAsTheBaseDoesIt) {
  const std::string columns =
      R"([{"name": "x", "scale": "min_max"}, {"name": "c", "kind": "category"}])";
  WriteTable(0);
  MakeBase(TableJob(columns, false));
  const std::string base = ReadFile(folder_ / "base/architecture.json").value();
  WriteTable(500);
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(TableJob(columns, true), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(host.stored.at("architecture.json"), base);

  auto refit = TableJob(columns, true);
  refit.mutable_base()->set_refit_preprocessing(true);
  std::filesystem::remove_all(folder_ / "ck");
  ASSERT_TRUE(Attempt(refit, host).ok());
  EXPECT_NE(host.stored.at("architecture.json"), base);
}

TEST_F(BaseTableTest, CellsAreMaskedByTheKeysOfTheBase) {
  const std::string columns = R"([{"name": "x"}, {"name": "c", "kind": "category",
      "encoding": "hash", "buckets": 7, "mask": {"method": "hash"}}])";
  WriteTable(0);
  MakeBase(TableJob(columns, false));
  const std::string base = ReadFile(folder_ / "base/architecture.json").value();
  auto job = TableJob(columns, true);
  job.mutable_training()->set_seed(9);  // of which keys are made
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(job, host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(host.stored.at("architecture.json"), base);

  job.mutable_data()->mutable_columns(1)->clear_mask();
  EXPECT_EQ(ErrorOf(job),
            "spec.data.columns: input column 1, c (text), must be masked as the base's is");
}

TEST_F(BaseTableTest, OtherColumnsAreRefused) {
  WriteTable(0);
  MakeBase(TableJob(R"([{"name": "x"}, {"name": "c", "kind": "category"}])", false));
  EXPECT_EQ(ErrorOf(TableJob(R"([{"name": "x"}, {"name": "c", "kind": "ignore"}])", true)),
            "spec.data.columns: input column 1 is none, and the base's is c (text)");
  EXPECT_EQ(ErrorOf(TableJob(R"([{"name": "x", "kind": "category"},
                                 {"name": "c", "kind": "category"}])",
                             true)),
            "spec.data.columns: input column 0 is x (text), and the base's is x (number)");
  auto plain = TableJob("[]", true);
  WriteFile(folder_ / "table.csv", "x,y\n1,a\n2,b\n3,c\n4,a\n5,b\n6,c\n7,a\n8,b\n9,c\n");
  EXPECT_THAT(ErrorOf(plain), StartsWith("spec.data.columns: is required: the base has rules"));
}

class BaseTextTest : public BaseRunTest {
 protected:
  BaseTextTest() {
    WriteText("the sea and a boat\n");
    MakeBase(Spec(""));
  }
  void WriteText(const std::string& line) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += line;
    WriteFile(folder_ / "text", text);
  }
  static training::v1::JobSpec Spec(const std::string& base) {
    auto job = Parse(R"({
      "model": "m", "dataset": "d",
      "data": {"format": "text", "train": {"inputs": "text"}, "test_fraction": 0.2,
               "tokenizer": {"type": "character", "max_length": 16}},
      "loss": {"type": "cross_entropy"},
      "optimizer": {"type": "sgd", "learning_rate": 0.01},
      "training": {"epochs": 2, "batch_size": 8, "seed": 5}
    })");
    const std::string more =
        base.empty() ? R"({"architecture": {"type": "transformer_decoder", "width": 8}})" : base;
    job.MergeFrom(Parse(more));
    return job;
  }
};

TEST_F(BaseTextTest, ALanguageModelGoesOnWithTheTokensOfItsBase) {
  WriteText("a zebra at sea\n");  // z is no token of the base
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(Spec(R"({"base": {"version": "models/m/versions/1"}})"), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(nlohmann::json::parse(host.stored.at("architecture.json"))["table"],
            nlohmann::json::parse(ReadFile(folder_ / "base/architecture.json").value())["table"]);
  EXPECT_THAT(host.Logs(), HasSubstr("the last layer goes on, too"));
  const auto report = nlohmann::json::parse(host.stored.at("about/data-report.json"));
  EXPECT_GT(report["unknown_tokens"]["train"], 0);
}

TEST_F(BaseTextTest, LoraSparesTheWeightThatTwoLayersShare) {
  FakeAttemptHost host(folder_.path().string());
  const auto outcome =
      Attempt(Spec(R"({"base": {"version": "models/m/versions/1", "lora": {"rank": 2}}})"), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  int adapted = 0;
  for (const nn::Layer& layer : trained_.layers()) {
    adapted += layer.adapter.has_value();
    EXPECT_FALSE(layer.name == "head" && layer.adapter.has_value());
  }
  EXPECT_EQ(adapted, 8);
}

TEST_F(BaseTextTest, WhatDoesNotFitTheBaseNamesTheField) {
  EXPECT_EQ(ErrorOf(Spec(R"({"base": {"version": "models/m/versions/1"},
                             "data": {"tokenizer": {"max_length": 8}}})")),
            "spec.data.tokenizer: must be as the base's: type: character, lowercase: false, "
            "max_length: 16");
  EXPECT_EQ(ErrorOf(Spec(R"({"base": {"version": "models/m/versions/1",
                                      "refit_preprocessing": true}})")),
            "spec.architecture: is required: the base's is made for the tokens of its own "
            "tokenizer");
  EXPECT_EQ(ErrorOf(Spec(R"({"base": {"version": "models/m/versions/1"},
                             "objective": {"type": "masked_token"}})")),
            "spec.base.version: is no masked language model, which spec.objective needs");
  MakeBase(Parse(kFirst));
  EXPECT_EQ(ErrorOf(Spec(R"({"base": {"version": "models/m/versions/1"}})")),
            "spec.base.version: is no language model, which a text needs");
}

class BaseMaskedTextTest : public BaseTextTest {
 protected:
  BaseMaskedTextTest() {
    MakeBase(Spec(R"({"objective": {"type": "masked_token"},
                      "architecture": {"type": "transformer_encoder", "width": 8}})"));
    std::string table = "review,stars\n";
    for (int i = 0; i < 60; ++i) table += i % 2 == 0 ? "the sea,1\n" : "a boat,2\n";
    WriteFile(folder_ / "reviews.csv", table);
  }
  // With another tokenizer, as far as that is looked at.
  static training::v1::JobSpec Classifier(const std::string& base) {
    return Parse(R"({
      "model": "m", "dataset": "d",
      "data": {"format": "csv", "train": {"inputs": "reviews.csv"}, "test_fraction": 0.2,
               "target_column": "stars", "columns": [
                 {"name": "review", "kind": "text",
                  "tokenizer": {"type": "word", "max_length": 9}}]},
      "loss": {"type": "cross_entropy"},
      "optimizer": {"type": "sgd", "learning_rate": 0.01},
      "training": {"epochs": 2, "batch_size": 8, "seed": 5},
      "base": )" +
                 base + "}");
  }
};

TEST_F(BaseMaskedTextTest, AClassifierTakesTokensAndLayersOverAndMakesItsHeadAnew) {
  const auto table =
      nlohmann::json::parse(ReadFile(folder_ / "base/architecture.json").value())["table"];
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(Classifier(R"({"version": "models/m/versions/1"})"), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  const auto description = nn::ModelDescription::Parse(host.stored.at("architecture.json"), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->task, nn::Task::kClassification);
  EXPECT_EQ(nlohmann::json::parse(host.stored.at("architecture.json"))["table"], table);
  EXPECT_EQ(host.result->signature().outputs(0).shape(1), 2);
  EXPECT_THAT(host.Logs(), HasSubstr("the last layer is new, for 2 in place of 8"));
  EXPECT_EQ(started_with_.size(), trained_.parameters().size() - 2) << "all but the head's";
  EXPECT_THAT(started_with_, ::testing::Contains("embedding.weight"));
}

TEST_F(BaseMaskedTextTest, AMaskedLanguageModelGoesOnWithItsTokens) {
  WriteText("a zebra at sea\n");
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(Spec(R"({"objective": {"type": "masked_token"},
                                        "base": {"version": "models/m/versions/1"}})"),
                               host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(host.Logs(), HasSubstr("the last layer goes on, too"));
  EXPECT_EQ(host.result->signature().outputs(0).shape(1), 8);
  EXPECT_EQ(started_with_.size(), trained_.parameters().size());
}

TEST_F(BaseMaskedTextTest, OnlyAHeadThatIsNewMayBeTrained) {
  FakeAttemptHost host(folder_.path().string());
  const auto outcome = Attempt(
      Classifier(R"({"version": "models/m/versions/1", "freeze": ["all_but_head"]})"), host);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(TrainedParameters(), ElementsAre("head.weight", "head.bias"));
}

TEST_F(BaseMaskedTextTest, WhatSaysWhatComesNextIsNoBaseForHiddenTokens) {
  EXPECT_EQ(ErrorOf(Spec(R"({"base": {"version": "models/m/versions/1"}})")),
            "spec.base.version: is no language model, which a text needs");
}

}  // namespace
}  // namespace slipway::trainer
