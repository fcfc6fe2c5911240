#include "services/training/spec/spec.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::training {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A spec for pictures that nothing is wrong with.
json Good() {
  return json::parse(R"({
    "model": "fashion-cnn",
    "dataset": "fashion-mnist",
    "data": {
      "format": "idx",
      "train": {"inputs": "train-images", "targets": "train-labels"},
      "test": {"inputs": "t10k-images", "targets": "t10k-labels"},
      "validation_fraction": 0.1,
      "labels": ["shirt", "shoe"],
      "scale": 255
    },
    "architecture": {"type": "cnn"},
    "loss": {"type": "cross_entropy", "label_smoothing": 0.1},
    "optimizer": {"type": "adam", "learning_rate": 0.001},
    "schedule": {"type": "cosine", "warmup_epochs": 1},
    "training": {"epochs": 3, "batch_size": 64, "seed": 7, "clip_norm": 1},
    "checkpoint": {"every_steps": 100, "keep": 3},
    "resources": {"pool": "default", "threads": 2, "device": "cpu", "time_limit": "600s"},
    "evaluation": {"at_least": {"accuracy": 0.9}},
    "alias": "production"
  })");
}

// A spec for tables that nothing is wrong with.
json GoodTable() {
  return json::parse(R"({
    "model": "prices",
    "dataset": "houses",
    "data": {"format": "csv", "train": {"inputs": "houses.csv"}, "target_column": "price",
             "test_fraction": 0.2, "standardize": true},
    "architecture": {"type": "mlp", "hidden": [32, 16]},
    "loss": {"type": "mse"},
    "optimizer": {"type": "sgd", "learning_rate": 0.01, "momentum": 0.9, "nesterov": true},
    "training": {"epochs": 10, "batch_size": 32},
    "evaluation": {"at_least": {"r2": 0.5}}
  })");
}

v1::JobSpec ToSpec(const json& spec) {
  v1::JobSpec out;
  const auto status = google::protobuf::util::JsonStringToMessage(spec.dump(), &out);
  EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << spec.dump(2);
  return out;
}

std::string ErrorOf(const v1::JobSpec& spec) {
  return std::string(ParseSpec(spec).status().message());
}

TEST(SpecTest, TakesASpecForPictures) {
  const auto spec = ParseSpec(ToSpec(Good()));
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_NE(spec->architecture, nullptr);
  EXPECT_DOUBLE_EQ(std::get<CrossEntropy>(spec->loss).label_smoothing, 0.1);
  EXPECT_DOUBLE_EQ(std::get<Adam>(spec->optimizer).learning_rate, 0.001);
  EXPECT_TRUE(std::holds_alternative<CosineSchedule>(spec->schedule.decay));
  EXPECT_DOUBLE_EQ(spec->schedule.warmup_epochs, 1);
  EXPECT_EQ(spec->time_limit, absl::Minutes(10));
}

TEST(SpecTest, TakesObjectsInPlaceOfADataset) {
  json spec = Good();
  spec.erase("dataset");
  spec["data"]["source"] = {{"store", "lake"}, {"prefix", "fashion/2026/"}};
  EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  spec["data"]["source"].erase("prefix");
  spec["dataset"] = "copy";
  EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
}

TEST(SpecTest, TakesTheBestEpochsByAnyMetricOfItsLoss) {
  json spec = Good();
  spec["checkpoint"] = {{"keep_best", 3}, {"metric", "f1_macro"}, {"register_best", true}};
  EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  json unwatched = spec;
  unwatched["data"].erase("validation_fraction");
  EXPECT_EQ(
      ErrorOf(ToSpec(unwatched)),
      "spec.checkpoint.keep_best: needs spec.data.validation_fraction: epochs are compared on "
      "that part");
  spec["training"]["early_stopping"] = {{"patience", 2}};
  EXPECT_EQ(ErrorOf(ToSpec(spec)),
            "spec.checkpoint.register_best: must be absent where spec.training.early_stopping is "
            "given, which registers the best epoch by its loss");
}

TEST(SpecTest, TakesBoundsOnEveryMetricOfItsLoss) {
  json spec = Good();
  spec["evaluation"] = {
      {"at_least", {{"f1_weighted", 0.8}, {"roc_auc", 0.9}}},
      {"at_most", {{"log_loss", 0.5}}},
      {"no_worse_than", {{"alias", "production"}, {"margin", {{"accuracy", 0}, {"loss", 0.1}}}}}};
  EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  spec = GoodTable();
  spec["evaluation"] = {{"at_most", {{"mse", 2.5}, {"mae", 100}}}};
  EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
}

TEST(SpecTest, TakesASpecForTables) {
  const auto spec = ParseSpec(ToSpec(GoodTable()));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(std::holds_alternative<Mse>(spec->loss));
  EXPECT_TRUE(std::get<Sgd>(spec->optimizer).nesterov);
  EXPECT_EQ(spec->architecture->ToJson()["hidden"], json({32, 16}));
}

TEST(SpecTest, TakesEveryLossOptimizerAndSchedule) {
  const std::vector<std::pair<const char*, json>> table = {
      {"loss", {{"type", "cross_entropy"}, {"class_weights", {1, 2.5}}}},
      {"loss", {{"type", "bce"}, {"positive_weight", 3}}},
      {"loss", {{"type", "focal"}, {"gamma", 1.5}, {"class_weights", {1, 2}}}},
      {"optimizer", {{"type", "gd"}, {"learning_rate", 0.1}, {"weight_decay", 0.1}}},
      {"optimizer", {{"type", "sgd"}, {"learning_rate", 0.1}, {"momentum", 0.9}}},
      {"optimizer", {{"type", "adagrad"}, {"learning_rate", 0.1}, {"epsilon", 1e-9}}},
      {"optimizer",
       {{"type", "rmsprop"}, {"learning_rate", 0.1}, {"alpha", 0.9}, {"momentum", 0.5}}},
      {"optimizer", {{"type", "adam"}, {"learning_rate", 0.1}, {"weight_decay", 0.1}}},
      {"optimizer", {{"type", "adamw"}, {"learning_rate", 0.1}, {"weight_decay", 0.1}}},
      {"schedule", {{"type", "constant"}, {"warmup_epochs", 1}}},
      {"schedule", {{"type", "step"}, {"every_epochs", 2}, {"gamma", 0.5}, {"warmup_epochs", 1}}},
      {"schedule", {{"type", "exponential"}, {"gamma", 0.9}}},
      {"schedule", {{"type", "one_cycle"}, {"rise_fraction", 0.1}, {"start_factor", 0.1}}},
      {"schedule", {{"type", "inverse_sqrt"}, {"timescale_epochs", 2}, {"warmup_epochs", 2}}},
      {"schedule", {{"type", "polynomial"}, {"power", 2}, {"final_factor", 0.1}}},
      {"schedule",
       {{"type", "plateau"},
        {"factor", 0.5},
        {"patience", 0},
        {"cooldown", 1},
        {"min_factor", 0.1}}},
  };
  for (const auto& [field, value] : table) {
    json spec = Good();
    spec[field] = value;
    EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  }
  for (const json& loss : {json{{"type", "mae"}}, json{{"type", "huber"}, {"delta", 2}}}) {
    json spec = GoodTable();
    spec["loss"] = loss;
    EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  }
}

// The same, going on from a version.
json GoodTuning() {
  json spec = Good();
  spec.erase("architecture");
  spec["data"].erase("scale");
  spec["base"] = {{"version", "models/fashion-cnn/versions/3"}, {"freeze", {"block.*"}}};
  return spec;
}

TEST(SpecTest, TakesABaseInPlaceOfAnArchitecture) {
  const auto spec = ParseSpec(ToSpec(GoodTuning()));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->architecture, nullptr);
  for (const json& base :
       {json{{"version", "models/m/aliases/production"}, {"freeze", {"all_but_head"}}},
        json{{"version", "tenants/acme/models/m/versions/1"},
             {"lora", {{"rank", 8}, {"alpha", 16}, {"dropout", 0.1}, {"layers", {"hidden.*"}}}}}}) {
    json other = GoodTuning();
    other["base"] = base;
    EXPECT_TRUE(ParseSpec(ToSpec(other)).ok()) << ErrorOf(ToSpec(other));
  }
  json refit = Good();
  refit["base"] = {{"version", "models/m/versions/1"}, {"refit_preprocessing", true}};
  EXPECT_TRUE(ParseSpec(ToSpec(refit)).ok()) << ErrorOf(ToSpec(refit));
}

TEST(SpecTest, TakesLbfgsWhereNothingChangesItsGradients) {
  json spec = Good();
  spec["optimizer"] = {{"type", "lbfgs"}, {"iterations", 10}, {"line_search", "none"}};
  spec["training"].erase("clip_norm");
  const auto parsed = ParseSpec(ToSpec(spec));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(TakesAllRows(parsed->optimizer));
  EXPECT_EQ(LearningRateOf(parsed->optimizer), 1);
  spec["optimizer"]["full_batch"] = false;
  EXPECT_FALSE(TakesAllRows(ParseSpec(ToSpec(spec))->optimizer));
  for (const char* field : {"clip_norm", "clip_value", "l1"}) {
    json other = spec;
    other["training"][field] = 0.5;
    EXPECT_EQ(ErrorOf(ToSpec(other)), std::string("spec.training.") + field +
                                          ": must be absent: lbfgs compares losses, to which the "
                                          "gradients must belong");
  }
  spec["training"]["precision"] = "bfloat16";
  EXPECT_EQ(ErrorOf(ToSpec(spec)),
            "spec.training.precision: must be float32: lbfgs compares losses that are nearer each "
            "other than bfloat16 can tell");
}

TEST(SpecTest, AStepOfAllRowsIsNotAddedUp) {
  json spec = Good();
  spec["optimizer"] = {{"type", "gd"}, {"learning_rate", 0.1}};
  spec["training"]["accumulate"] = 2;
  EXPECT_EQ(ErrorOf(ToSpec(spec)),
            "spec.training.accumulate: must be absent: a step of spec.optimizer takes all rows");
}

TEST(SpecTest, FillsInItsDefaults) {
  json given = GoodTable();
  const auto spec = ParseSpec(ToSpec(given));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->job.resources().device(), "cpu");
  EXPECT_EQ(spec->job.checkpoint().keep(), 2);
  EXPECT_EQ(spec->job.training().divergence().factor(), 10);
  EXPECT_EQ(spec->job.training().divergence().steps(), 200);
  EXPECT_TRUE(std::holds_alternative<ConstantSchedule>(spec->schedule.decay));
  EXPECT_EQ(spec->time_limit, absl::ZeroDuration());
}

// One fault each: what is changed in the good spec, and what the answer starts with.
struct Fault {
  const char* pointer;
  json value;  // null removes the field
  const char* error;
};

v1::JobSpec Spoil(json spec, const Fault& fault) {
  const json::json_pointer pointer(fault.pointer);
  if (fault.value.is_null()) {
    spec[pointer.parent_pointer()].erase(pointer.back());
  } else {
    spec[pointer] = fault.value;
  }
  return ToSpec(spec);
}

TEST(SpecTest, NamesEachFaultOfASpecForPictures) {
  const Fault table[] = {
      {"/model", nullptr, "spec.model: is required"},
      {"/model", "Not A Slug", "spec.model: "},
      {"/model", "../escape", "spec.model: "},
      {"/dataset", nullptr, "spec.dataset: is required"},
      {"/dataset", "a/b", "spec.dataset: "},
      {"/data/source", {{"prefix", "a"}}, "spec.data.source.store: is required"},
      {"/data/source", {{"store", "http://host"}}, "spec.data.source.store: must be 1 to 63"},
      {"/data/source",
       {{"store", "lake"}, {"prefix", "a/../b"}},
       "spec.data.source.prefix: must be a relative path"},
      {"/data/source",
       {{"store", "lake"}, {"prefix", "/etc"}},
       "spec.data.source.prefix: must be a relative path"},
      {"/alias", "Production", "spec.alias: "},

      {"/data", nullptr, "spec.data: is required"},
      {"/data/format", nullptr,
       "spec.data.format: is required; must be one of idx, csv, jsonl, parquet, images, text"},
      {"/data/format", "xlsx",
       "spec.data.format: must be one of idx, csv, jsonl, parquet, images, text"},
      {"/data/image", {{"height", 2}}, "spec.data.image: is for images"},
      {"/data/augment", {{"shift", -1}}, "spec.data.augment.shift: must be between 0 and 4096"},
      {"/data/augment", {{"crop", 1.5}}, "spec.data.augment.crop: must be between 0 and 1"},
      {"/data/train", nullptr, "spec.data.train: is required"},
      {"/data/train/inputs", nullptr, "spec.data.train.inputs: is required"},
      {"/data/train/inputs", "/etc/passwd", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "a/../../b", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "a//b", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "./a", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "a/", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "a\\b", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", "a\nb", "spec.data.train.inputs: must be a relative path"},
      {"/data/train/inputs", std::string(1025, 'a'), "spec.data.train.inputs: must be a relative"},
      {"/data/train/targets", nullptr, "spec.data.train.targets: is required"},
      {"/data/test/inputs", nullptr, "spec.data.test.inputs: is required"},
      {"/data/test/targets", "..", "spec.data.test.targets: must be a relative path"},
      {"/data/test", nullptr, "spec.data.test: is required, or spec.data.test_fraction"},
      {"/data/test_fraction", 0.2, "spec.data.test_fraction: must be absent"},
      {"/data/target_column", "label", "spec.data.target_column: is for tables"},
      {"/data/validation_fraction", -0.1, "spec.data.validation_fraction: must be between 0 and"},
      {"/data/validation_fraction", 0.6,
       "spec.data.validation_fraction: must be between 0 and 0.5"},
      {"/data/scale", -255, "spec.data.scale: must be between 0 and"},
      {"/data/labels/1", "shirt", "spec.data.labels[1]: repeats \"shirt\""},
      {"/data/labels/0", "", "spec.data.labels[0]: must be 1 to 256 bytes"},
      {"/data/labels/0", std::string(257, 'x'), "spec.data.labels[0]: must be 1 to 256 bytes"},

      {"/architecture", nullptr, "spec.architecture: is required"},
      {"/architecture/type", nullptr, "spec.architecture.type: is required"},
      {"/architecture/type", "gpt", "spec.architecture.type: must be one of"},
      {"/architecture/type", 7, "spec.architecture.type: must be one of"},
      {"/architecture/chanels", 7, "spec.architecture.chanels: "},
      {"/architecture/channels", "many", "spec.architecture.channels: "},

      {"/loss", nullptr, "spec.loss: is required"},
      {"/loss/type", "hinge",
       "spec.loss.type: must be one of cross_entropy, bce, focal, mse, mae, huber, got \"hinge\""},
      {"/loss/label_smoothing", 1, "spec.loss.label_smoothing: "},
      {"/loss/class_weights", json({1, 0}), "spec.loss.class_weights[1]: must be more than 0"},
      {"/loss/weight", 1, "spec.loss.weight: "},

      {"/optimizer", nullptr, "spec.optimizer: is required"},
      {"/optimizer/type", nullptr, "spec.optimizer.type: is required; must be one of gd, sgd"},
      {"/optimizer/learning_rate", -1, "spec.optimizer.learning_rate: must be more than 0"},
      {"/optimizer/learning_rate", 0, "spec.optimizer.learning_rate: must be more than 0"},
      {"/optimizer/learning_rate", "fast", "spec.optimizer.learning_rate: "},
      {"/optimizer/learning_rate", nullptr, "spec.optimizer.learning_rate: is required"},
      {"/optimizer/beta1", 1, "spec.optimizer.beta1: "},
      {"/optimizer/epsilon", 0, "spec.optimizer.epsilon: "},
      {"/optimizer/momentum", 0.9, "spec.optimizer.momentum: "},
      {"/optimizer/learning_rte", 0.1, "spec.optimizer.learning_rte: "},
      {"/optimizer", {{"type", "gd"}}, "spec.optimizer.learning_rate: is required"},
      {"/optimizer", {{"type", "lbfgs"}, {"iterations", 0}}, "spec.optimizer.iterations: must be"},
      {"/optimizer", {{"type", "lbfgs"}, {"history", 2000}}, "spec.optimizer.history: must be"},
      {"/optimizer",
       {{"type", "lbfgs"}, {"line_search", "armijo"}},
       "spec.optimizer.line_search: must be one of strong_wolfe, none"},
      {"/optimizer", {{"type", "lbfgs"}, {"weight_decay", 0.1}}, "spec.optimizer.weight_decay: "},

      {"/schedule/type", "linear", "spec.schedule.type: must be one of constant, step, exponent"},
      {"/schedule/warmup_epochs", -1, "spec.schedule.warmup_epochs: must be between 0 and"},
      {"/schedule/final_factor", 2, "spec.schedule.final_factor: "},
      {"/schedule", {{"type", "plateau"}, {"factor", 1}}, "spec.schedule.factor: must be"},
      {"/schedule", {{"type", "plateau"}, {"patience", -1}}, "spec.schedule.patience: must be"},
      {"/schedule", {{"type", "plateau"}, {"threshold", 1}}, "spec.schedule.threshold: must be"},

      {"/training", nullptr, "spec.training.epochs: must be between 1 and 100000, got 0"},
      {"/training/epochs", 0, "spec.training.epochs: must be between 1 and"},
      {"/training/epochs", -1, "spec.training.epochs: must be between 1 and"},
      {"/training/epochs", 100001, "spec.training.epochs: must be between 1 and"},
      {"/training/batch_size", nullptr, "spec.training.batch_size: must be between 1 and"},
      {"/training/clip_norm", -1, "spec.training.clip_norm: must be between 0 and"},
      {"/training/clip_value", -1, "spec.training.clip_value: must be between 0 and"},
      {"/training/clip_value", 1, "spec.training.clip_value: must be absent where spec.training."},
      {"/training/accumulate", -1, "spec.training.accumulate: must be between 0 and"},
      {"/training/l1", -0.1, "spec.training.l1: must be between 0 and 1"},
      {"/training/ema_decay", 1, "spec.training.ema_decay: must be at least 0 and less than 1"},
      {"/training/precision", "float16",
       "spec.training.precision: must be one of float32, bfloat16, got \"float16\""},
      {"/objective", {{"type", "masked_token"}}, "spec.objective: is for spec.data.format text"},
      {"/training/early_stopping", json::object(),
       "spec.training.early_stopping.patience: must be between 1 and"},
      {"/training/early_stopping",
       {{"patience", 2}, {"min_delta", -1}},
       "spec.training.early_stopping.min_delta: must be between 0 and"},
      {"/checkpoint/every_steps", -1, "spec.checkpoint.every_steps: must be between 0 and"},
      {"/checkpoint/keep", -1, "spec.checkpoint.keep: must be between 0 and"},
      {"/checkpoint/keep_best", 1001, "spec.checkpoint.keep_best: must be between 0 and 1000"},
      {"/checkpoint/metric", "accuracy", "spec.checkpoint.metric: needs spec.checkpoint.keep_best"},
      {"/checkpoint/register_best", true,
       "spec.checkpoint.register_best: needs spec.checkpoint.keep_best"},
      {"/checkpoint",
       {{"keep_best", 2}, {"metric", "r2"}},
       "spec.checkpoint.metric: is no metric of this loss; must be one of accuracy, "},
      {"/training/divergence",
       {{"factor", 0.5}},
       "spec.training.divergence.factor: must be 0 or more than 1, got 0.5"},
      {"/training/divergence", {{"steps", -1}}, "spec.training.divergence.steps: must be between"},
      {"/evaluation/recorded_samples", 2000,
       "spec.evaluation.recorded_samples: must be between 0 and 1024, got 2000"},
      {"/resources/pool", "No Pool", "spec.resources.pool: "},
      {"/resources/threads", -1, "spec.resources.threads: must be between 0 and"},
      {"/resources/threads", 5000, "spec.resources.threads: must be between 0 and"},
      {"/resources/processes", -1, "spec.resources.processes: must be between 0 and 64, got -1"},
      {"/resources/processes", 65, "spec.resources.processes: must be between 0 and 64, got 65"},
      {"/resources",
       {{"processes", 2}, {"device", "cuda"}},
       "spec.resources.processes: must be 1 on spec.resources.device cuda"},
      {"/resources/processes", 33,
       "spec.resources.processes: must leave each process two rows of spec.training.batch_size"},
      {"/resources/device", "tpu", "spec.resources.device: must be one of cpu, cuda, got \"tpu\""},
      {"/resources/time_limit", "0s", "spec.resources.time_limit: must be between 1s and"},
      {"/resources/time_limit", "-5s", "spec.resources.time_limit: must be between 1s and"},
      {"/resources/time_limit", "99999999s", "spec.resources.time_limit: must be between 1s and"},
      {"/evaluation/at_least/accuracy", 1.1, "spec.evaluation.at_least.accuracy: must be at most"},
      {"/evaluation/at_least/r2", 0.9, "spec.evaluation.at_least.r2: is no metric of this loss"},
      {"/evaluation/at_least/loss", 0.9, "spec.evaluation.at_least.loss: is no metric of this"},
      {"/evaluation/at_most",
       {{"accuracy", 0.9}},
       "spec.evaluation.at_most.accuracy: is no metric of this loss that is better when lower; "
       "must be one of log_loss, loss"},
      {"/evaluation/at_most", {{"log_loss", -1}}, "spec.evaluation.at_most.log_loss: must be at"},
      {"/evaluation/no_worse_than",
       {{"margin", {{"accuracy", 0}}}},
       "spec.evaluation.no_worse_than.alias: is required"},
      {"/evaluation/no_worse_than",
       {{"alias", "A B"}, {"margin", {{"accuracy", 0}}}},
       "spec.evaluation.no_worse_than.alias: "},
      {"/evaluation/no_worse_than",
       {{"alias", "production"}},
       "spec.evaluation.no_worse_than.margin: is required"},
      {"/evaluation/no_worse_than",
       {{"alias", "production"}, {"margin", {{"mse", 0}}}},
       "spec.evaluation.no_worse_than.margin.mse: is no metric of this loss; must be one of"},
      {"/evaluation/no_worse_than",
       {{"alias", "production"}, {"margin", {{"f1_macro", -0.1}}}},
       "spec.evaluation.no_worse_than.margin.f1_macro: must be at least 0, got -0.1"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    const v1::JobSpec spec = Spoil(Good(), fault);
    EXPECT_THAT(ErrorOf(spec), StartsWith(fault.error));
    EXPECT_TRUE(absl::IsInvalidArgument(ParseSpec(spec).status()));
    // The field that an error body names is the first one of the message.
    EXPECT_EQ(FieldOf(ParseSpec(spec).status()), ErrorOf(spec).substr(0, ErrorOf(spec).find(": ")));
  }
}

TEST(SpecTest, NamesEachFaultOfABase) {
  const std::string name = "spec.base.version: must be models/MODEL/versions/NUMBER or";
  const Fault table[] = {
      {"/base/version", nullptr, "spec.base.version: is required"},
      {"/base/version", "fashion-cnn", name.c_str()},
      {"/base/version", "models/fashion-cnn", name.c_str()},
      {"/base/version", "models/Fashion CNN/versions/1", name.c_str()},
      {"/base/version", "models/m/versions/0", name.c_str()},
      {"/base/version", "models/m/versions/latest", name.c_str()},
      {"/base/version", "datasets/m/versions/1", name.c_str()},
      {"/base/version", "tenants/../models/m/versions/1", name.c_str()},
      {"/base/freeze", json({""}), "spec.base.freeze[0]: must be 1 to 256 bytes"},
      {"/base/freeze", json({"a", std::string(257, 'b')}), "spec.base.freeze[1]: must be 1 to 256"},
      {"/base/freeze", json({"a", "all_but_head"}), "spec.base.freeze: all_but_head must stand"},
      {"/base/lora",
       {{"rank", 4}},
       "spec.base.freeze: must be absent where spec.base.lora is given"},
      {"/base",
       {{"version", "models/m/versions/1"}, {"lora", json::object()}},
       "spec.base.lora.rank: must be between 1 and 4096, got 0"},
      {"/base",
       {{"version", "models/m/versions/1"}, {"lora", {{"rank", 4}, {"alpha", -1}}}},
       "spec.base.lora.alpha: must be between 0 and"},
      {"/base",
       {{"version", "models/m/versions/1"}, {"lora", {{"rank", 4}, {"dropout", 1}}}},
       "spec.base.lora.dropout: must be at least 0 and less than 1"},
      {"/base",
       {{"version", "models/m/versions/1"}, {"lora", {{"rank", 4}, {"layers", {""}}}}},
       "spec.base.lora.layers[0]: must be 1 to 256 bytes"},
      {"/data/scale", 255, "spec.data.scale: must be absent where spec.base is given: its"},
      {"/data/standardize", true, "spec.data.standardize: must be absent where spec.base is given"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodTuning(), fault)), StartsWith(fault.error));
  }
}

// A spec for image files that nothing is wrong with.
json GoodImages() {
  json spec = Good();
  spec["data"] = json::parse(R"({
      "format": "images", "train": {"inputs": "train.tar.gz"}, "test": {"inputs": "test.tar.gz"},
      "image": {"height": 32, "width": 48, "channels": 1, "fit": "crop"},
      "augment": {"flip": true, "shift": 4, "crop": 0.8}})");
  return spec;
}

TEST(SpecTest, NamesEachFaultOfASpecForImages) {
  EXPECT_TRUE(ParseSpec(ToSpec(GoodImages())).ok()) << ErrorOf(ToSpec(GoodImages()));
  const Fault table[] = {
      {"/data/image", nullptr, "spec.data.image.height: must be between 1 and 4096, got 0"},
      {"/data/image/width", 5000, "spec.data.image.width: must be between 1 and 4096, got 5000"},
      {"/data/image/channels", 4, "spec.data.image.channels: must be 1 or 3, got 4"},
      {"/data/image/fit", "pad", "spec.data.image.fit: must be one of stretch, crop, got \"pad\""},
      {"/data/train/targets", "y", "spec.data.train.targets: is for idx"},
      {"/data/train/inputs", "../x", "spec.data.train.inputs: must be a relative path"},
      {"/data/target_column", "y", "spec.data.target_column: is for tables"},
      {"/data/columns", {{{"name", "x"}}}, "spec.data.columns: is for tables"},
      {"/data/split", {{"method", "group"}, {"column", "x"}}, "spec.data.split.method: goes by a"},
      {"/loss", {{"type", "mse"}}, "spec.data.format: has classes (folders), and this loss has"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump());
    EXPECT_THAT(ErrorOf(Spoil(GoodImages(), fault)), StartsWith(fault.error));
  }
}

TEST(SpecTest, NamesEachFaultOfASpecForTables) {
  const Fault table[] = {
      {"/data/augment", {{"flip", true}}, "spec.data.augment: is for pictures"},
      {"/data/target_column", nullptr, "spec.data.target_column: is required for tables"},
      {"/data/target_column", std::string(1025, 'x'), "spec.data.target_column: must be at most"},
      {"/data/train/targets", "y.csv", "spec.data.train.targets: is for idx"},
      {"/data/test_fraction", 0.9, "spec.data.test_fraction: must be between 0 and 0.5"},
      {"/data/test_fraction", nullptr, "spec.data.test: is required, or spec.data.test_fraction"},
      {"/data/labels", json({"a", "b"}), "spec.data.labels: names classes, and this loss has none"},
      {"/training/early_stopping",
       {{"patience", 2}},
       "spec.training.early_stopping: needs spec.data.validation_fraction"},
      {"/architecture",
       {{"type", "lstm"}, {"vocabulary", 9}},
       "spec.data.standardize: must be absent: the inputs are ids of tokens"},
      {"/optimizer/momentum", 1, "spec.optimizer.momentum: "},
      {"/optimizer/momentum", 0, "spec.optimizer.nesterov: needs momentum > 0"},
      {"/optimizer/weight_decay", -1, "spec.optimizer.weight_decay: "},
      {"/optimizer/nesterov", "yes", "spec.optimizer.nesterov: "},
      {"/architecture/hidden", json({32, 0}), "spec.architecture.hidden[1]: "},
      {"/architecture/hidden", json({1.5}), "spec.architecture.hidden[0]: "},
      {"/evaluation/at_least/accuracy", 0.9, "spec.evaluation.at_least.accuracy: is no metric"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodTable(), fault)), StartsWith(fault.error));
  }
}

// A spec for a table with a rule of each kind, and nothing wrong.
json GoodColumns() {
  json spec = GoodTable();
  spec["data"]["columns"] = json::parse(R"([
    {"name": "age", "missing": "median", "outliers": {"method": "iqr", "action": "clip"}},
    {"name": "city", "kind": "category", "missing": "constant", "constant": "elsewhere"},
    {"name": "size", "kind": "category", "encoding": "ordinal", "values": ["s", "m", "l"]},
    {"name": "since", "kind": "date", "parts": ["year", "month"], "scale": "min_max"},
    {"name": "id", "kind": "ignore"},
    {"name": "price", "missing": "drop"},
    {"name": "*", "log": true, "scale": "robust"},
    {"name": "mail", "kind": "category", "encoding": "hash", "buckets": 8,
     "mask": {"method": "hash"}},
    {"name": "zip", "kind": "category", "mask": {"method": "generalize", "prefix": 3}},
    {"name": "phone", "kind": "category", "mask": {"method": "redact"}},
    {"name": "born", "kind": "date", "parts": ["year"],
     "mask": {"method": "generalize", "unit": "year"}},
    {"name": "weight", "mask": {"method": "generalize", "width": 5}}
  ])");
  spec["data"]["split"] = {{"method", "group"}, {"column", "household"}};
  spec["data"]["drop_duplicates"] = true;
  return spec;
}

TEST(SpecTest, TakesRulesForColumns) {
  EXPECT_TRUE(ParseSpec(ToSpec(GoodColumns())).ok()) << ErrorOf(ToSpec(GoodColumns()));
}

TEST(SpecTest, NamesEachFaultOfARuleForAColumn) {
  const Fault table[] = {
      {"/data/columns/0/name", "", "spec.data.columns[0].name: must be 1 to 1024 bytes"},
      {"/data/columns/0/name", "city", "spec.data.columns[1].name: repeats \"city\""},
      {"/data/columns/0/kind", "prose",
       "spec.data.columns[0].kind: must be one of number, category"},
      {"/data/columns/0/missing", "guess",
       "spec.data.columns[0].missing: must be one of drop, mean"},
      {"/data/columns/1/missing", "mean",
       "spec.data.columns[1].missing: must be one of drop, mode"},
      {"/data/columns/0/missing", "constant", "spec.data.columns[0].constant: must be a finite"},
      {"/data/columns/0/constant", 3, "spec.data.columns[0].constant: is for missing: constant"},
      {"/data/columns/1/constant", 3, "spec.data.columns[1].constant: must be a text"},
      {"/data/columns/1/constant", "", "spec.data.columns[1].constant: must be a text"},
      {"/data/columns/0/outliers/method", "iqrs", "spec.data.columns[0].outliers.method: must be"},
      {"/data/columns/0/outliers/method", nullptr, "spec.data.columns[0].outliers.method: is req"},
      {"/data/columns/0/outliers/action", nullptr, "spec.data.columns[0].outliers.action: is req"},
      {"/data/columns/0/outliers/action", "hide", "spec.data.columns[0].outliers.action: must be"},
      {"/data/columns/0/outliers/limit", -1, "spec.data.columns[0].outliers.limit: must be betw"},
      {"/data/columns/1/outliers",
       {{"method", "iqr"}, {"action", "clip"}},
       "spec.data.columns[1].outliers: is for numbers only"},
      {"/data/columns/1/log", true, "spec.data.columns[1].log: is for numbers only"},
      {"/data/columns/0/scale", "unit",
       "spec.data.columns[0].scale: must be one of none, standard"},
      {"/data/columns/1/scale", "robust", "spec.data.columns[1].scale: is for numbers and dates"},
      {"/data/columns/0/encoding", "hash", "spec.data.columns[0].encoding: is for categories only"},
      {"/data/columns/1/encoding", "embed",
       "spec.data.columns[1].encoding: must be one of one_hot"},
      {"/data/columns/1/encoding", "hash", "spec.data.columns[1].buckets: must be between 2 and"},
      {"/data/columns/1/buckets", 8, "spec.data.columns[1].buckets: is for encoding: hash only"},
      {"/data/columns/2/values/1", "s", "spec.data.columns[2].values[1]: must be a text that is"},
      {"/data/columns/2/encoding", "hash", "spec.data.columns[2].buckets: must be between"},
      {"/data/columns/0/values", {"a"}, "spec.data.columns[0].values: is for categories only"},
      {"/data/columns/1/values", {"here"}, "spec.data.columns[1].constant: must be one of values"},
      {"/data/columns/3/parts", nullptr, "spec.data.columns[3].parts: is required: some of year"},
      {"/data/columns/3/parts/0", "week", "spec.data.columns[3].parts[0]: must be one of year"},
      {"/data/columns/0/parts", {"year"}, "spec.data.columns[0].parts: is for dates only"},
      {"/data/columns/4/missing", "drop", "spec.data.columns[4].missing: is for inputs only"},
      {"/data/columns/5/missing", "mean", "spec.data.columns[5]: is the target"},
      {"/data/columns/5/scale", "robust", "spec.data.columns[5]: is the target"},
      {"/data/columns/7/mask/method", nullptr,
       "spec.data.columns[7].mask.method: is required: one of hash, redact, generalize"},
      {"/data/columns/7/mask/method", "hide", "spec.data.columns[7].mask.method: must be one of"},
      {"/data/columns/7/encoding", "one_hot", "spec.data.columns[7].buckets: is for encoding: ha"},
      {"/data/columns/8/mask/method", "hash",
       "spec.data.columns[8].mask.method: is for categories with encoding: hash"},
      {"/data/columns/7/missing", "mode",
       "spec.data.columns[7].missing: must not be mode: the version would hold a hash"},
      {"/data/columns/7/mask/width", 5, "spec.data.columns[7].mask.width: is for numbers that are"},
      {"/data/columns/8/mask/prefix", nullptr,
       "spec.data.columns[8].mask.prefix: must be between 1 and 1000, got 0"},
      {"/data/columns/8/mask/prefix", -1, "spec.data.columns[8].mask.prefix: must be between 1"},
      {"/data/columns/8/mask/unit", "day", "spec.data.columns[8].mask.unit: is for dates that are"},
      {"/data/columns/9/values", {"a"}, "spec.data.columns[9].values: is for cells that are not"},
      {"/data/columns/10/mask/unit", nullptr, "spec.data.columns[10].mask.unit: is required: year"},
      {"/data/columns/10/mask/unit", "week", "spec.data.columns[10].mask.unit: must be one of"},
      {"/data/columns/10/mask/method", "redact",
       "spec.data.columns[10].mask.method: is for categories"},
      {"/data/columns/11/mask/method", "redact",
       "spec.data.columns[11].mask.method: is for categories"},
      {"/data/columns/11/mask/width", nullptr, "spec.data.columns[11].mask.width: must be more"},
      {"/data/columns/11/mask/width", -5, "spec.data.columns[11].mask.width: must be more than 0"},
      {"/data/columns/11/mask/prefix", 5, "spec.data.columns[11].mask.prefix: is for categories"},
      {"/data/columns/4/mask", {{"method", "redact"}}, "spec.data.columns[4].mask: is for inputs"},
      {"/data/columns/5/mask", {{"method", "redact"}}, "spec.data.columns[5]: is the target"},
      {"/data/scale", 255, "spec.data.scale: must be absent where spec.data.columns"},
      {"/data/split/method", "fair", "spec.data.split.method: must be one of random, stratified"},
      {"/data/split/method", "random", "spec.data.split.column: is for the methods group and time"},
      {"/data/split/method", "stratified", "spec.data.split.column: is for the methods group"},
      {"/data/split/column", nullptr, "spec.data.split.column: is required: what the split goes"},
      {"/data/split/column", "price", "spec.data.split.column: must not be the target"},
      {"/data/split", {{"method", "stratified"}}, "spec.data.split.method: goes by classes, and"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodColumns(), fault)), StartsWith(fault.error));
  }
  json pictures = Good();
  pictures["data"]["columns"] = {{{"name", "x"}}};
  EXPECT_EQ(ErrorOf(ToSpec(pictures)), "spec.data.columns: is for tables");
  pictures = Good();
  pictures["data"]["split"] = {{"method", "time"}, {"column", "x"}};
  EXPECT_EQ(ErrorOf(ToSpec(pictures)),
            "spec.data.split.method: goes by a column, and only tables have columns");
  pictures = Good();
  pictures["data"]["drop_duplicates"] = true;
  EXPECT_EQ(ErrorOf(ToSpec(pictures)), "spec.data.drop_duplicates: is for tables");
}

// A spec for texts that are to be told apart, and nothing wrong.
json GoodTexts() {
  json spec = GoodTable();
  spec["data"] = json::parse(R"({
    "format": "csv", "train": {"inputs": "reviews.csv"}, "target_column": "stars",
    "test_fraction": 0.2,
    "columns": [{"name": "*", "kind": "ignore"},
                {"name": "review", "kind": "text", "missing": "drop",
                 "tokenizer": {"type": "word", "lowercase": true, "vocab_size": 5000,
                               "min_frequency": 2, "max_length": 64}}]})");
  spec["architecture"] = {{"type", "lstm"}, {"hidden", 32}};
  spec["loss"] = {{"type", "cross_entropy"}};
  spec["evaluation"] = {{"at_least", {{"accuracy", 0.5}}}};
  return spec;
}

TEST(SpecTest, TakesAColumnOfText) {
  EXPECT_TRUE(ParseSpec(ToSpec(GoodTexts())).ok()) << ErrorOf(ToSpec(GoodTexts()));
  for (const char* type : {"rnn", "gru", "transformer_encoder", "transformer_decoder"}) {
    json spec = GoodTexts();
    spec["architecture"] = {{"type", type}};
    EXPECT_TRUE(ParseSpec(ToSpec(spec)).ok()) << ErrorOf(ToSpec(spec));
  }
}

TEST(SpecTest, NamesEachFaultOfAColumnOfText) {
  const Fault table[] = {
      {"/data/columns/1/tokenizer", nullptr,
       "spec.data.columns[1].tokenizer.type: is required; must be one of byte, character, word"},
      {"/data/tokenizer",
       {{"type", "byte"}, {"max_length", 9}},
       "spec.data.tokenizer: is for text; a column of text has one of its own"},
      {"/data/columns/1/tokenizer/type", "bpe",
       "spec.data.columns[1].tokenizer.type: must be one of byte, character, word, got \"bpe\""},
      {"/data/columns/1/tokenizer/type", "byte",
       "spec.data.columns[1].tokenizer.vocab_size: is for characters and words only"},
      {"/data/columns/1/tokenizer/vocab_size", 2,
       "spec.data.columns[1].tokenizer.vocab_size: must be between 3 and 65536, got 2"},
      {"/data/columns/1/tokenizer/vocab_size", 100000,
       "spec.data.columns[1].tokenizer.vocab_size: must be between 3 and 65536"},
      {"/data/columns/1/tokenizer/min_frequency", -1,
       "spec.data.columns[1].tokenizer.min_frequency: must be at least 0, got -1"},
      {"/data/columns/1/tokenizer/max_length", nullptr,
       "spec.data.columns[1].tokenizer.max_length: must be between 1 and 65536, got 0"},
      {"/data/columns/1/tokenizer/max_length", 70000,
       "spec.data.columns[1].tokenizer.max_length: must be between 1 and 65536"},
      {"/data/columns/1/missing", "mean",
       "spec.data.columns[1].missing: must be one of drop, mode"},
      {"/data/columns/1/scale", "robust", "spec.data.columns[1].scale: is for numbers and dates"},
      {"/data/columns/1/encoding", "hash", "spec.data.columns[1].encoding: is for categories only"},
      {"/data/columns/1/kind", "category", "spec.data.columns[1].tokenizer: is for text only"},
      {"/data/columns/0/kind", "category", "spec.data.columns[1].kind: must be the only input"},
      {"/data/standardize", true,
       "spec.data.standardize: must be absent: the inputs are ids of tokens"},
      {"/architecture/vocabulary", 9,
       "spec.architecture.vocabulary: must be absent: the tokenizer says how many tokens there"},
      {"/architecture/pad_token_id", 0, "spec.architecture.pad_token_id: must be less than"},
      {"/architecture",
       {{"type", "mlp"}},
       "spec.architecture.type: takes no text; must be one of gru, lstm, rnn, "
       "transformer_decoder, transformer_encoder"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodTexts(), fault)), StartsWith(fault.error));
  }
}

// A spec for a language model, and nothing wrong.
json GoodLanguageModel() {
  json spec = GoodTable();
  spec["data"] = json::parse(R"({
    "format": "text", "train": {"inputs": "book.txt"}, "test_fraction": 0.1,
    "tokenizer": {"type": "character", "max_length": 128}})");
  spec["architecture"] = {{"type", "transformer_decoder"}, {"width", 64}};
  spec["loss"] = {{"type", "cross_entropy"}, {"label_smoothing", 0.1}};
  spec["evaluation"] = {{"at_most", {{"perplexity", 6}, {"log_loss", 1.8}}},
                        {"at_least", {{"accuracy", 0.4}}}};
  return spec;
}

TEST(SpecTest, TakesATextForALanguageModel) {
  const auto spec = ParseSpec(ToSpec(GoodLanguageModel()));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->targets, TargetKind::kToken);
  EXPECT_EQ(ParseSpec(ToSpec(GoodTexts()))->targets, TargetKind::kClass);
}

TEST(SpecTest, NamesEachFaultOfALanguageModel) {
  const Fault table[] = {
      {"/data/tokenizer", nullptr, "spec.data.tokenizer.type: is required; must be one of byte"},
      {"/data/tokenizer/max_length", 0, "spec.data.tokenizer.max_length: must be between 1 and"},
      {"/data/train/targets", "x", "spec.data.train.targets: is for idx"},
      {"/data/target_column", "x", "spec.data.target_column: is for tables"},
      {"/data/labels", {"a"}, "spec.data.labels: names classes, and a text has tokens"},
      {"/data/split", {{"method", "random"}}, "spec.data.split: must be absent: of a text the end"},
      {"/data/columns", {{{"name", "x"}}}, "spec.data.columns: is for tables"},
      {"/data/scale", 255, "spec.data.scale: must be absent: the inputs are ids of tokens"},
      {"/loss", {{"type", "bce"}}, "spec.loss.type: must be cross_entropy or focal for a text"},
      {"/loss", {{"type", "mse"}}, "spec.loss.type: must be cross_entropy or focal for a text"},
      {"/architecture",
       {{"type", "transformer_encoder"}},
       "spec.architecture.type: cannot say what comes next; use rnn, lstm, gru or"},
      {"/architecture",
       {{"type", "lstm"}, {"bidirectional", true}},
       "spec.architecture.bidirectional: must be false: what comes next must not be seen"},
      {"/evaluation/at_least/f1_macro", 0.5,
       "spec.evaluation.at_least.f1_macro: is no metric of this loss that is better when higher; "
       "must be one of accuracy"},
      {"/evaluation/at_most/mse", 0.5, "spec.evaluation.at_most.mse: is no metric of this loss"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodLanguageModel(), fault)), StartsWith(fault.error));
  }
  json pictures = Good();
  pictures["data"]["tokenizer"] = {{"type", "byte"}, {"max_length", 9}};
  EXPECT_THAT(ErrorOf(ToSpec(pictures)), StartsWith("spec.data.tokenizer: is for text"));
  pictures = Good();
  pictures["evaluation"] = {{"at_most", {{"perplexity", 3}}}};
  EXPECT_THAT(ErrorOf(ToSpec(pictures)),
              StartsWith("spec.evaluation.at_most.perplexity: is no metric of this loss"));
}

// A spec for a masked language model, and nothing wrong.
json GoodMaskedLanguageModel() {
  json spec = GoodLanguageModel();
  spec["objective"] = {{"type", "masked_token"}, {"mask_probability", 0.3}};
  spec["architecture"] = {{"type", "transformer_encoder"}, {"width", 64}};
  return spec;
}

TEST(SpecTest, TakesATextWhoseTokensAreHidden) {
  const auto spec = ParseSpec(ToSpec(GoodMaskedLanguageModel()));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->targets, TargetKind::kMaskedToken);
  EXPECT_EQ(TaskOf(spec->targets), nn::Task::kMaskedLanguageModel);
  const auto masked = std::get<MaskedToken>(spec->objective);
  EXPECT_EQ(masked.mask_probability, 0.3);
  EXPECT_EQ(masked.CountOf(128), 38);
  EXPECT_EQ(masked.CountOf(1), 1);
  json next = GoodLanguageModel();
  next["objective"] = {{"type", "next_token"}};
  EXPECT_EQ(ParseSpec(ToSpec(next))->targets, TargetKind::kToken);
}

TEST(SpecTest, NamesEachFaultOfAMaskedLanguageModel) {
  const Fault table[] = {
      {"/objective/type", nullptr,
       "spec.objective.type: is required; must be one of next_token, masked_token"},
      {"/objective/type", "denoise",
       "spec.objective.type: must be one of next_token, masked_token, got \"denoise\""},
      {"/objective/mask_probability", 0,
       "spec.objective.mask_probability: must be more than 0 and less than 1, got 0"},
      {"/objective/mask_probability", 1,
       "spec.objective.mask_probability: must be more than 0 and less than 1, got 1"},
      {"/objective/mask_probability", "some", "spec.objective.mask_probability: "},
      {"/objective/probability", 0.2, "spec.objective.probability: "},
      {"/objective",
       {{"type", "next_token"}, {"mask_probability", 0.2}},
       "spec.objective.mask_probability: "},
      {"/architecture/type", "transformer_decoder",
       "spec.architecture.type: cannot say which tokens are hidden; use transformer_encoder"},
      {"/architecture",
       {{"type", "lstm"}},
       "spec.architecture.type: cannot say which tokens are hidden; use transformer_encoder"},
      {"/loss", {{"type", "mae"}}, "spec.loss.type: must be cross_entropy or focal for a text"},
      {"/evaluation/at_most/mse", 0.5, "spec.evaluation.at_most.mse: is no metric of this loss"},
  };
  for (const Fault& fault : table) {
    SCOPED_TRACE(std::string(fault.pointer) + " = " + fault.value.dump().substr(0, 60));
    EXPECT_THAT(ErrorOf(Spoil(GoodMaskedLanguageModel(), fault)), StartsWith(fault.error));
  }
}

TEST(SpecTest, AnObjectiveThatIsWrongIsTheOnlyFault) {
  EXPECT_EQ(ErrorOf(Spoil(GoodMaskedLanguageModel(), {"/objective/type", "denoise", ""})),
            "spec.objective.type: must be one of next_token, masked_token, got \"denoise\"");
}

TEST(SpecTest, RefusesNumbersThatAreNone) {
  const double bad[] = {std::nan(""), INFINITY, -INFINITY};
  for (const double number : bad) {
    v1::JobSpec spec = ToSpec(Good());
    spec.mutable_data()->set_scale(number);
    EXPECT_THAT(ErrorOf(spec), StartsWith("spec.data.scale: "));
    spec = ToSpec(Good());
    spec.mutable_training()->set_clip_norm(number);
    EXPECT_THAT(ErrorOf(spec), StartsWith("spec.training.clip_norm: "));
    spec = ToSpec(Good());
    (*spec.mutable_optimizer()->mutable_fields())["learning_rate"].set_number_value(number);
    EXPECT_THAT(ErrorOf(spec), StartsWith("spec.optimizer.learning_rate: "));
    spec = ToSpec(Good());
    (*spec.mutable_evaluation()->mutable_at_least())["accuracy"] = number;
    EXPECT_THAT(ErrorOf(spec), StartsWith("spec.evaluation.at_least.accuracy: "));
  }
}

TEST(SpecTest, TellsAllFaultsAtOnce) {
  json spec = Good();
  spec.erase("model");
  spec["data"]["format"] = "xml";
  spec["optimizer"]["learning_rate"] = -1;
  spec["optimizer"]["beta2"] = 2;
  spec["training"]["epochs"] = 0;
  const std::string error = ErrorOf(ToSpec(spec));
  EXPECT_THAT(error, StartsWith("spec.model: is required; spec.data.format: "));
  EXPECT_THAT(error, HasSubstr("; spec.optimizer.learning_rate: "));
  EXPECT_THAT(error, HasSubstr("; spec.optimizer.beta2: "));
  EXPECT_THAT(error, HasSubstr("; spec.training.epochs: "));
}

TEST(SpecTest, AnEmptySpecIsRefusedWhole) {
  const std::string error = ErrorOf(v1::JobSpec());
  for (const char* field : {"model", "dataset", "data", "architecture", "loss", "optimizer",
                            "training.epochs", "training.batch_size"}) {
    EXPECT_THAT(error, HasSubstr(std::string("spec.") + field + ": "));
  }
}

TEST(SpecTest, AcceptsAStructsWholeNumbersAsIntegers) {
  google::protobuf::Struct object;
  (*object.mutable_fields())["n"].set_number_value(3);
  (*object.mutable_fields())["x"].set_number_value(3.5);
  (*object.mutable_fields())["big"].set_number_value(1e300);
  const json out = ToJson(object);
  EXPECT_TRUE(out["n"].is_number_integer());
  EXPECT_TRUE(out["x"].is_number_float());
  EXPECT_TRUE(out["big"].is_number_float());
}

// ---- Schedules. ----

// The factor at step `n` of 100, 10 an epoch.
double At(const Schedule& schedule, int64_t n) {
  return RateFactor(schedule, {.step = n, .steps = 100, .steps_per_epoch = 10});
}

TEST(ScheduleTest, ConstantStays) { EXPECT_EQ(At({ConstantSchedule()}, 99), 1); }

TEST(ScheduleTest, StepFallsAfterEachSoManyEpochs) {
  const Schedule step = {StepSchedule{.every_epochs = 2, .gamma = 0.5}};
  EXPECT_DOUBLE_EQ(At(step, 0), 1);
  EXPECT_DOUBLE_EQ(At(step, 19), 1);
  EXPECT_DOUBLE_EQ(At(step, 20), 0.5);
  EXPECT_DOUBLE_EQ(At(step, 40), 0.25);
}

TEST(ScheduleTest, ExponentialFallsByItsFactorOverEachEpoch) {
  const Schedule exponential = {ExponentialSchedule{.gamma = 0.81}};
  EXPECT_DOUBLE_EQ(At(exponential, 0), 1);
  EXPECT_NEAR(At(exponential, 5), 0.9, 1e-12);
  EXPECT_NEAR(At(exponential, 20), 0.81 * 0.81, 1e-12);
}

TEST(ScheduleTest, CosineFallsFromOneToItsEnd) {
  const Schedule cosine = {CosineSchedule{.final_factor = 0.1}};
  EXPECT_DOUBLE_EQ(At(cosine, 0), 1);
  EXPECT_NEAR(At(cosine, 50), 0.55, 1e-12);
  EXPECT_NEAR(At(cosine, 100), 0.1, 1e-12);
  for (int64_t n = 1; n <= 100; ++n) EXPECT_LT(At(cosine, n), At(cosine, n - 1));
}

TEST(ScheduleTest, OneCycleRisesToOneAndFalls) {
  OneCycleSchedule cycle;
  cycle.rise_fraction = 0.2;
  cycle.start_factor = 0.1;
  cycle.final_factor = 0.01;
  EXPECT_NEAR(At({cycle}, 0), 0.1, 1e-12);
  EXPECT_NEAR(At({cycle}, 10), 0.55, 1e-12);
  EXPECT_NEAR(At({cycle}, 20), 1, 1e-12);
  EXPECT_NEAR(At({cycle}, 60), 0.505, 1e-12);
  EXPECT_NEAR(At({cycle}, 100), 0.01, 1e-12);
}

TEST(ScheduleTest, InverseSqrtWithItsWarmUpIsTheTransformers) {
  const Schedule schedule = {InverseSqrtSchedule{.timescale_epochs = 2}, 2};
  for (int64_t n = 0; n < 100; ++n) {
    // The paper counts steps from 1 while the rate rises.
    const double expected =
        n < 20 ? static_cast<double>(n + 1) / 20 : std::sqrt(20.0 / static_cast<double>(n));
    EXPECT_NEAR(At(schedule, n), expected, 1e-12) << n;
  }
}

TEST(ScheduleTest, PolynomialFallsAlongAPower) {
  const Schedule line = {PolynomialSchedule{.power = 1, .final_factor = 0.2}};
  EXPECT_DOUBLE_EQ(At(line, 0), 1);
  EXPECT_NEAR(At(line, 25), 0.8, 1e-12);
  EXPECT_NEAR(At(line, 100), 0.2, 1e-12);
  EXPECT_NEAR(At({PolynomialSchedule{.power = 2}}, 50), 0.25, 1e-12);
}

TEST(ScheduleTest, PlateauFallsOnceTheLossStaysAndNoFurtherThanItsLeast) {
  const PlateauSchedule plateau = {.factor = 0.5, .patience = 1, .cooldown = 1, .min_factor = 0.2};
  PlateauState state;
  const auto factors = [&](const std::vector<double>& losses) {
    std::vector<double> out;
    for (const double loss : losses) {
      state = plateau.After(state, loss);
      out.push_back(state.factor);
    }
    return out;
  };
  // A second epoch in a row that is no better is one too many; then one does not count.
  EXPECT_EQ(factors({3, 2, 2, 2}), (std::vector{1.0, 1.0, 1.0, 0.5}));
  EXPECT_EQ(factors({2, 2, 2}), (std::vector{0.5, 0.5, 0.25}));
  EXPECT_EQ(factors({1.9999, 1, 1, 1}), (std::vector{0.25, 0.25, 0.25, 0.2}));
  EXPECT_EQ(RateFactor({plateau, 1}, {.step = 4, .steps = 100, .steps_per_epoch = 10}), 0.5);
  EXPECT_EQ(
      RateFactor({plateau, 1}, {.step = 40, .steps = 100, .steps_per_epoch = 10, .lowered = 0.25}),
      0.25);
}

TEST(ScheduleTest, AnyBeginsWithALinearWarmUpAndHasTheStepsThatAreLeft) {
  const Schedule cosine = {CosineSchedule(), 1};
  EXPECT_DOUBLE_EQ(At(cosine, 0), 0.1);
  EXPECT_DOUBLE_EQ(At(cosine, 4), 0.5);
  EXPECT_DOUBLE_EQ(At(cosine, 9), 1);
  EXPECT_DOUBLE_EQ(At(cosine, 10), 1);
  EXPECT_LT(At(cosine, 11), 1);
  EXPECT_NEAR(At(cosine, 55), 0.5, 1e-12);
  EXPECT_NEAR(At(cosine, 100), 0, 1e-12);
  EXPECT_DOUBLE_EQ(At({ConstantSchedule(), 1}, 4), 0.5);
  EXPECT_DOUBLE_EQ(At({StepSchedule{.every_epochs = 2, .gamma = 0.5}, 1}, 29), 1);
  EXPECT_DOUBLE_EQ(At({StepSchedule{.every_epochs = 2, .gamma = 0.5}, 1}, 30), 0.5);
}

TEST(ScheduleTest, AWarmUpLongerThanTheTrainingIsHarmless) {
  for (int64_t n = 0; n <= 100; ++n) {
    EXPECT_GT(At({CosineSchedule(), 50}, n), 0);
    EXPECT_LE(At({CosineSchedule(), 50}, n), 1);
  }
}

TEST(LossTest, SaysWhichClassesItFits) {
  const auto error = [](const Loss& loss, int64_t classes) {
    return std::string(CheckClasses(loss, classes, "spec.loss").message());
  };
  const CrossEntropy weighted = {.class_weights = {{1, 2, 3}}};
  EXPECT_EQ(error(weighted, 3), "");
  EXPECT_EQ(error(weighted, 4), "spec.loss.class_weights: must be 4, one for each class, got 3");
  EXPECT_EQ(error(CrossEntropy{}, 4), "");
  EXPECT_EQ(error(Focal{.class_weights = {{1, 2}}}, 3),
            "spec.loss.class_weights: must be 3, one for each class, got 2");
  EXPECT_EQ(error(Bce{}, 2), "");
  EXPECT_EQ(error(Bce{}, 10),
            "spec.loss.type: bce tells two classes apart, and the data has 10; use cross_entropy");
  EXPECT_EQ(error(Mae{}, 1), "");
}

}  // namespace
}  // namespace slipway::training
