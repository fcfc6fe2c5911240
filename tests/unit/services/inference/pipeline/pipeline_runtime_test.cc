#include "services/inference/pipeline/pipeline_runtime.h"

#include <map>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/warm_up.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/services/inference/pipeline/function_model.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr char kTwice[] = "tenants/acme/models/twice/versions/1";
constexpr char kNext[] = "tenants/acme/models/next/versions/1";

// Makes a model of a format "twice" or "next".
class FunctionRuntime final : public ModelRuntime {
 public:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    ++loads[source.format];
    const auto model = models.find(source.format);
    if (model == models.end()) return absl::InvalidArgumentError("model.onnx: is no model");
    return model->second;
  }
  std::map<std::string, int> loads;
  std::map<std::string, std::shared_ptr<FunctionModel>> models = {
      {"twice", std::make_shared<FunctionModel>([](float x) { return 2 * x; })},
      {"next", std::make_shared<FunctionModel>([](float x) { return x + 1; })}};
};

class PipelineRuntimeTest : public ::testing::Test {
 protected:
  PipelineRuntimeTest() {
    auto& definition = source_->definition;
    definition.add_inputs("x");
    for (const auto& [name, version, wire] :
         {std::tuple("a", kTwice, "inputs.x"), std::tuple("b", kNext, "a.y"),
          std::tuple("c", kTwice, "b.y")}) {
      auto& step = *definition.add_steps();
      step.set_name(name);
      step.set_model_version(version);
      (*step.mutable_inputs())["x"] = wire;
    }
    (*definition.mutable_outputs())["y"] = "c.y";
    source_->models[kTwice].format = "twice";
    source_->models[kNext].format = "next";
  }
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const RuntimeSettings& settings = {}) {
    return runtime_.Load(
        {.format = "pipeline", .files = {}, .settings = settings, .pipeline = source_});
  }

  const FakeClock clock_;
  FunctionRuntime models_;
  PipelineRuntime runtime_{models_, clock_};
  const std::shared_ptr<PipelineSource> source_ = std::make_shared<PipelineSource>();
};

TEST_F(PipelineRuntimeTest, LoadsEachVersionOnceAndWarmsItUp) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(models_.loads, ElementsAre(Pair("next", 1), Pair("twice", 1)));
  EXPECT_EQ(models_.models["next"]->runs, kWarmUpRuns);
  const auto outputs = (*model)->Run({Column("x", {1, 2})}, absl::InfiniteFuture());
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(Values((*outputs)[0]), ElementsAre(6, 10));
}

TEST_F(PipelineRuntimeTest, EverythingElseIsTheOtherRuntimes) {
  EXPECT_TRUE(runtime_.Load({.format = "twice", .files = {}}).ok());
  EXPECT_FALSE(runtime_.Load({.format = "none", .files = {}}).ok());
}

TEST_F(PipelineRuntimeTest, AStepThatCannotBeLoadedIsNamedByItsVersion) {
  source_->models[kNext].format = "broken";
  EXPECT_EQ(Load().status().message(), std::string(kNext) + ": model.onnx: is no model");
  source_->models[kNext].format = "next";
  models_.models["next"]->fault = absl::InternalError("no such kernel");
  EXPECT_EQ(Load().status().message(), std::string(kNext) + ": warm-up: no such kernel");
  source_->models.erase(kNext);
  EXPECT_TRUE(absl::IsNotFound(Load().status()));
}

TEST_F(PipelineRuntimeTest, AStepThatIsNotWhatWasRegisteredIsRefused) {
  source_->models[kNext].signature = {{{"x", DataType::kFp32, {-1}}},
                                      {{"z", DataType::kFp32, {-1}}}};
  const absl::Status refused = Load().status();
  EXPECT_THAT(std::string(refused.message()), StartsWith(std::string(kNext) + ": outputs[0]"));
}

TEST_F(PipelineRuntimeTest, WhatDoesNotFitTogetherIsRefusedByItsPath) {
  auto& second = *source_->definition.mutable_steps(1);
  (*second.mutable_inputs())["x"] = "a.z";
  EXPECT_EQ(FieldOf(Load().status()), "pipeline.steps[1].inputs.x");
}

TEST_F(PipelineRuntimeTest, AStepThatKeepsAStateIsRefused) {
  source_->models[kNext].signature = models_.models["next"]->signature();
  source_->models[kNext].signature.states = {{"x", "y"}};
  EXPECT_EQ(FieldOf(Load().status()), "pipeline.steps[1].model_version");
}

TEST_F(PipelineRuntimeTest, ComputesInFloat32) {
  const auto refused = Load({.precision = RuntimeSettings::Precision::kBfloat16});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status()));
}

}  // namespace
}  // namespace slipway::worker
