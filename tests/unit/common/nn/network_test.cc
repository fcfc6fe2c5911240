#include "common/nn/network.h"

#include <string>
#include <vector>

#include "common/nn/network_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::nn {
namespace {

using ::testing::HasSubstr;

// The shape that `op` makes of a float input of `shape`, or its error.
std::string Infer(const Op& op, Shape shape) {
  const std::vector<TensorSpec> inputs = {{"x", DataType::kFp32, std::move(shape)}};
  const auto outputs = InferOutputs(op, inputs);
  return outputs.ok() ? (*outputs)[0].shape.ToString() : std::string(outputs.status().message());
}

TEST(OpsTest, InferShapes) {
  EXPECT_EQ(Infer(Flatten{}, {-1, 3, 4, 5}), "[-1, 60]");
  EXPECT_EQ(Infer(Gemm{7}, {-1, 60}), "[-1, 7]");
  EXPECT_EQ(Infer(Reshape{{1, 28, 28}}, {-1, 28, 28}), "[-1, 1, 28, 28]");
  EXPECT_EQ(Infer(Conv{.out_channels = 8, .kernel = 3, .padding = 1}, {-1, 1, 28, 28}),
            "[-1, 8, 28, 28]");
  EXPECT_EQ(Infer(Conv{.out_channels = 8, .kernel = 5, .stride = 2}, {-1, 1, 28, 27}),
            "[-1, 8, 12, 12]");
  EXPECT_EQ(Infer(MaxPool{2, 2}, {-1, 8, 7, 6}), "[-1, 8, 3, 3]");
  EXPECT_EQ(Infer(AveragePool{3, 3}, {-1, 8, 7, 9}), "[-1, 8, 2, 3]");
  EXPECT_EQ(Infer(GlobalAveragePool{}, {-1, 8, 7, 9}), "[-1, 8, 1, 1]");
  EXPECT_EQ(Infer(BatchNormalization{}, {-1, 8, 7, 9}), "[-1, 8, 7, 9]");
  EXPECT_EQ(Infer(Affine{{1, 2, 3}, {0, 0, 0}}, {-1, 3}), "[-1, 3]");
  EXPECT_EQ(Infer(Affine{{1}, {0}}, {-1, 28, 28}), "[-1, 28, 28]");
  EXPECT_EQ(Infer(Softmax{}, {-1, 10}), "[-1, 10]");
  EXPECT_EQ(Infer(Gemm{7}, {-1, 5, 60}), "[-1, 5, 7]");
  EXPECT_EQ(Infer(LayerNormalization{}, {-1, 5, 60}), "[-1, 5, 60]");
  EXPECT_EQ(Infer(Embedding{100, 8}, {-1, 5}), "[-1, 5, 8]");
  EXPECT_EQ(Infer(Take{4}, {-1, 5, 8}), "[-1, 8]");
  EXPECT_EQ(Infer(ReduceMean{}, {-1, 5, 8}), "[-1, 8]");
  EXPECT_EQ(Infer(Recurrent{.hidden = 7}, {-1, 5, 8}), "[-1, 5, 7]");
  EXPECT_EQ(Infer(Recurrent{.hidden = 7, .bidirectional = true}, {-1, 5, 8}), "[-1, 5, 14]");
  EXPECT_EQ(Infer(Recurrent{.hidden = 7, .bidirectional = true, .last = true}, {-1, 5, 8}),
            "[-1, 14]");
  EXPECT_EQ(Infer(Attention{2}, {-1, 5, 12}), "[-1, 5, 4]");
  EXPECT_EQ(Infer(Length{}, {-1, 5}), "[-1]");
}

TEST(OpsTest, WhatReadsASequenceTakesLengths) {
  const TensorSpec x = {"x", DataType::kFp32, {-1, 5, 12}};
  const TensorSpec lengths = {"lengths", DataType::kInt64, {-1}};
  const auto infer = [](const Op& op, const std::vector<TensorSpec>& inputs) {
    const auto outputs = InferOutputs(op, inputs);
    return outputs.ok() ? (*outputs)[0].shape.ToString() : std::string(outputs.status().message());
  };
  EXPECT_EQ(infer(TakeLast{}, {x, lengths}), "[-1, 12]");
  EXPECT_EQ(infer(ReduceMean{}, {x, lengths}), "[-1, 12]");
  EXPECT_EQ(infer(Recurrent{.hidden = 7}, {x, lengths}), "[-1, 5, 7]");
  EXPECT_EQ(infer(Attention{2}, {x, lengths}), "[-1, 5, 4]");
  EXPECT_EQ(infer(TakeLast{}, {x}), "TakeLast takes two inputs, got 1");
  EXPECT_EQ(infer(ReduceMean{}, {x, x}), "lengths are INT64 [N], got FP32 [-1, 5, 12]");
  EXPECT_EQ(infer(Attention{2, true}, {x, lengths}), "a causal Attention takes no lengths");
}

TEST(OpsTest, AddTakesTwoInputsOfOneShape) {
  const TensorSpec x = {"x", DataType::kFp32, {-1, 3}};
  const TensorSpec y = {"y", DataType::kFp32, {-1, 4}};
  const auto error = [](const Op& op, const std::vector<TensorSpec>& inputs) {
    return std::string(InferOutputs(op, inputs).status().message());
  };
  EXPECT_EQ(error(Add{}, {x, x}), "");
  EXPECT_EQ(error(Add{}, {x, y}), "[-1, 3] and [-1, 4] differ");
  EXPECT_EQ(error(Add{}, {x, x, x}), "Add takes one or two inputs, got 3");
  EXPECT_EQ(error(Flatten{}, {x, x}), "Flatten takes one input, got 2");
}

TEST(OpsTest, SayWhatDoesNotFit) {
  EXPECT_EQ(Infer(Gemm{7}, {-1}), "Gemm takes 2 dimensions, got [-1]");
  EXPECT_EQ(Infer(Embedding{100, 8}, {-1, 5, 2}), "Embedding takes 2 dimensions, got [-1, 5, 2]");
  EXPECT_EQ(Infer(Take{5}, {-1, 5, 8}), "[-1, 5, 8] has no place 5");
  EXPECT_EQ(Infer(ReduceMean{}, {-1, 5}), "ReduceMean takes 3 dimensions, got [-1, 5]");
  EXPECT_EQ(Infer(Recurrent{.hidden = 7}, {-1, 5}), "LSTM takes 3 dimensions, got [-1, 5]");
  EXPECT_EQ(Infer(Attention{2}, {-1, 5, 9}), "[-1, 5, 9] has no query, key and value of 2 heads");
  EXPECT_EQ(Infer(Conv{.out_channels = 8}, {-1, 28}), "Conv takes 4 dimensions, got [-1, 28]");
  EXPECT_EQ(Infer(MaxPool{2, 2}, {-1, 8, 1, 1}), "a window of 2x2 does not fit a picture of 1x1");
  EXPECT_EQ(Infer(Conv{.out_channels = 8, .kernel = 5, .padding = 1}, {-1, 1, 2, 9}),
            "a window of 5x5 does not fit a picture of 4x11");
  EXPECT_EQ(Infer(Reshape{{2, 2}}, {-1, 5}), "[-1, 2, 2] has not as many elements as [-1, 5]");
  EXPECT_EQ(Infer(Affine{{1, 2}, {0, 0}}, {-1, 3}), "2 constants do not fit [-1, 3]");
  EXPECT_THAT(Infer(Gemm{int64_t{1} << 62}, {-1, 3}), "[-1, 4611686018427387904]");
  EXPECT_THAT(Infer(Conv{.out_channels = int64_t{1} << 61, .kernel = 1}, {-1, 3, 4, 4}),
              HasSubstr("too many elements"));
}

TEST(OpsTest, CountFloatingPointOperations) {
  const auto flops = [](const Op& op, Shape shape) {
    const std::vector<TensorSpec> inputs = {{"x", DataType::kFp32, std::move(shape)}};
    return CountFlops(op, inputs, InferOutputs(op, inputs).value());
  };
  EXPECT_EQ(flops(Gemm{10}, {-1, 784}), 2 * 784 * 10);
  // Each of 8 x 28 x 28 results takes 3 x 3 x 4 multiply-adds.
  EXPECT_EQ(flops(Conv{.out_channels = 8, .kernel = 3, .padding = 1}, {-1, 4, 28, 28}),
            2.0 * 8 * 28 * 28 * 3 * 3 * 4);
  EXPECT_EQ(flops(Flatten{}, {-1, 4, 28, 28}), 0);
  EXPECT_EQ(flops(Gemm{10}, {-1, 5, 784}), 2 * 5 * 784 * 10);
  // Four gates, each of its input and of the state before.
  EXPECT_EQ(flops(Recurrent{.hidden = 7, .bidirectional = true}, {-1, 5, 8}),
            2.0 * 2 * 5 * 4 * 7 * (8 + 7));
  EXPECT_EQ(flops(Attention{2}, {-1, 5, 12}), 2.0 * 2 * 5 * 5 * 4);
}

TEST(NetworkBuilderTest, NamesParametersAfterTheirLayer) {
  NetworkBuilder builder;
  const ValueId x = builder.Input({"x", DataType::kFp32, {-1, 4}});
  const auto y = builder.Linear("hidden.0", x, 3);
  ASSERT_TRUE(y.ok()) << y.status();
  const auto z = builder.Normalize("hidden.0.norm", *y);
  ASSERT_TRUE(z.ok());
  const Network network = std::move(builder).Finish(*z, {{"y", *z}});
  ASSERT_EQ(network.parameters().size(), 6u);
  EXPECT_EQ(network.parameter(0).name, "hidden.0.weight");
  EXPECT_EQ(network.parameter(0).shape, (Shape{3, 4}));
  EXPECT_EQ(network.parameter(1).name, "hidden.0.bias");
  EXPECT_EQ(network.parameter(4).name, "hidden.0.norm.running_mean");
  EXPECT_FALSE(network.parameter(4).trainable);
  EXPECT_EQ(network.trainable_count(), 3 * 4 + 3 + 3 + 3);
  EXPECT_EQ(network.parameter_bytes(), 4 * (3 * 4 + 3 + 4 * 3));
  EXPECT_EQ(network.value(network.outputs()[0]).name, "y");
}

TEST(NetworkBuilderTest, LayersMayShareAWeight) {
  NetworkBuilder builder;
  const ValueId ids = builder.Input({"ids", DataType::kInt64, {-1, 5}});
  const ValueId x = builder.Embed("embedding", ids, {9, 4}, 1).value();
  const auto y = builder.LinearTiedTo("head", x, "embedding.weight");
  ASSERT_TRUE(y.ok()) << y.status();
  EXPECT_EQ(builder.value(*y).shape, (Shape{-1, 5, 9}));
  EXPECT_EQ(builder.LinearTiedTo("other", x, "head.weight").status().message(),
            "there is no head.weight to be tied to");
  const Network network = std::move(builder).Finish(*y, {{"y", *y}});
  EXPECT_EQ(network.trainable_count(), 9 * 4);
  EXPECT_EQ(network.layers()[1].parameters, network.layers()[0].parameters);
}

TEST(NetworkBuilderTest, RefusesNetworksThatNoMachineHolds) {
  NetworkBuilder builder;
  const ValueId x = builder.Input({"x", DataType::kFp32, {-1, int64_t{1} << 30}});
  EXPECT_THAT(std::string(builder.Linear("a", x, 1 << 20).status().message()),
              HasSubstr("the network passes 137438953472 parameters at a"));
  EXPECT_THAT(std::string(builder.Linear("b", x, int64_t{1} << 40).status().message()),
              HasSubstr("too many elements"));
}

}  // namespace
}  // namespace slipway::nn
