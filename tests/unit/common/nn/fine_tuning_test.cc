#include "common/nn/fine_tuning.h"

#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "common/nn/model_description.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

using ::testing::ElementsAre;

Network SmallCnn() {
  ModelDescription description;
  description.input = {"image", DataType::kUint8, {-1, 4, 4}};
  description.output = OutputOf(Task::kClassification, 3);
  description.architecture =
      ParseArchitecture(nlohmann::json::parse(R"({"type":"cnn","channels":[2],"hidden":[5]})"), "a")
          .value();
  return description.BuildNetwork("").value();
}

std::vector<std::string> Trained(const Network& network) {
  std::vector<std::string> names;
  for (const Parameter& parameter : network.parameters()) {
    if (parameter.trainable) names.push_back(parameter.name);
  }
  return names;
}

// Its element i is start + i * step.
Tensor Ramp(const std::string& name, const Shape& shape, float start, float step) {
  std::string bytes(static_cast<size_t>(shape.Product()) * sizeof(float), '\0');
  for (size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
    const float value = start + step * static_cast<float>(i);
    std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
  }
  return Tensor::Make(name, DataType::kFp32, shape, Buffer::Own(bytes), name).value();
}

float At(const Tensor& tensor, size_t i) {
  float value;
  std::memcpy(&value, tensor.data().data() + i * sizeof(float), sizeof(float));
  return value;
}

TEST(FineTuningTest, TheHeadIsTheLayerThatTheLossJudges) {
  EXPECT_EQ(HeadOf(SmallCnn()).name, "head");
}

TEST(FineTuningTest, WeightsAndStatisticsOfFrozenLayersStay) {
  const Network network =
      Freeze(SmallCnn(), [](const Layer& layer) { return layer.name.starts_with("block"); });
  EXPECT_THAT(Trained(network),
              ElementsAre("hidden.0.weight", "hidden.0.bias", "head.weight", "head.bias"));
  for (const Layer& layer : network.layers()) {
    EXPECT_EQ(layer.frozen, layer.name.starts_with("block")) << layer.name;
  }
  EXPECT_EQ(network.parameters().size(), SmallCnn().parameters().size());
}

Network Adapted() {
  return AddAdapters(Freeze(SmallCnn(), [](const Layer&) { return true; }),
                     {.rank = 2, .scale = 0.5},
                     [](const Layer& layer) { return layer.name == "hidden.0"; });
}

TEST(FineTuningTest, AnAdapterIsTwoMatricesThatStartAsNothing) {
  const Network network = Adapted();
  EXPECT_THAT(Trained(network), ElementsAre("hidden.0.lora.a", "hidden.0.lora.b"));
  const Parameter& b = network.parameters().back();
  EXPECT_EQ(b.shape, Shape({5, 2}));
  EXPECT_EQ(b.init.kind, Init::Kind::kConstant);
  EXPECT_EQ(b.init.value, 0);
  const Parameter& a = network.parameters()[network.parameters().size() - 2];
  EXPECT_EQ(a.shape, Shape({2, 8}));
  EXPECT_EQ(a.init.kind, Init::Kind::kUniform);
}

TEST(FineTuningTest, MergingAddsTheProductToTheWeightAndLeavesTheRest) {
  const Network network = Adapted();
  std::vector<Tensor> tensors;
  for (const Parameter& parameter : network.parameters()) {
    tensors.push_back(Ramp(parameter.name, parameter.shape, 1, 0.25));
  }
  const auto merged = MergeAdapters(network, tensors);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_TRUE(MatchParameters(SmallCnn(), *merged).ok());
  for (size_t i = 0; i < merged->size(); ++i) {
    const Tensor& before = tensors[i];
    const Tensor& after = (*merged)[i];
    if (before.name() != "hidden.0.weight") {
      EXPECT_EQ(after.data().view(), before.data().view()) << before.name();
      continue;
    }
    // W [5, 8], A [2, 8], B [5, 2], each 1 + i / 4.
    const auto ramp = [](size_t i) { return 1 + 0.25f * static_cast<float>(i); };
    for (size_t row = 0; row < 5; ++row) {
      for (size_t column = 0; column < 8; ++column) {
        const float product = ramp(row * 2) * ramp(column) + ramp(row * 2 + 1) * ramp(8 + column);
        EXPECT_FLOAT_EQ(At(after, row * 8 + column), ramp(row * 8 + column) + 0.5f * product);
      }
    }
  }
}

TEST(FineTuningTest, WithoutAdaptersMergingChangesNothing) {
  const Network network = SmallCnn();
  std::vector<Tensor> tensors;
  for (const Parameter& parameter : network.parameters()) {
    tensors.push_back(Ramp(parameter.name, parameter.shape, 0, 1));
  }
  const auto merged = MergeAdapters(network, tensors);
  ASSERT_EQ(merged->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*merged)[i].data().view(), tensors[i].data().view());
  }
}

}  // namespace
}  // namespace slipway::nn
