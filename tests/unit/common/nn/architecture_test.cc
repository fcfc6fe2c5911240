#include "common/nn/architecture.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The network that `spec` makes of inputs of `shape`, for ten classes.
absl::StatusOr<Network> Build(const std::string& spec, Shape shape) {
  ASSIGN_OR_RETURN(const auto architecture,
                   ParseArchitecture(json::parse(spec), "spec.architecture"));
  NetworkBuilder builder;
  const ValueId x = builder.Input({"x", DataType::kFp32, std::move(shape)});
  ASSIGN_OR_RETURN(const ValueId head, architecture->Build(builder, x, 10, "spec.architecture"));
  return std::move(builder).Finish(head, {{"logits", head}});
}

std::string ErrorOf(const std::string& spec, Shape shape = {-1, 28, 28}) {
  return std::string(Build(spec, std::move(shape)).status().message());
}

std::vector<std::string> OpsOf(const Network& network) {
  std::vector<std::string> names;
  for (const Layer& layer : network.layers()) names.emplace_back(OpName(layer.op));
  return names;
}

TEST(ArchitectureTest, EveryKindPrintsASpecThatMakesItAgain) {
  for (const Kind<Architecture>* kind : Architectures()) {
    const auto architecture = ParseArchitecture({{"type", kind->type}}, "a");
    ASSERT_TRUE(architecture.ok()) << kind->type << ": " << architecture.status();
    const std::string printed = (*architecture)->ToJson().dump();
    const auto again = ParseArchitecture(json::parse(printed), "a");
    ASSERT_TRUE(again.ok()) << printed << ": " << again.status();
    EXPECT_EQ((*again)->ToJson().dump(), printed);
  }
}

TEST(ArchitectureTest, RefusesUnknownTypesAndKeys) {
  EXPECT_EQ(ErrorOf(R"({"type":"gpt"})"),
            "spec.architecture.type: must be one of cnn, mlp, got \"gpt\"");
  EXPECT_EQ(ErrorOf("{}"), "spec.architecture.type: is required; must be one of cnn, mlp");
  EXPECT_EQ(ErrorOf(R"({"type":"cnn","chanels":[1]})"),
            "spec.architecture.chanels: is not a known field; did you mean channels?");
}

TEST(MlpTest, FlattensItsInputAndStacksDenseLayers) {
  const auto network =
      Build(R"({"type":"mlp","hidden":[64,32],"dropout":0.1,"batch_norm":true})", {-1, 28, 28});
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_THAT(OpsOf(*network),
              ElementsAre("Flatten", "Gemm", "BatchNormalization", "Relu", "Dropout", "Gemm",
                          "BatchNormalization", "Relu", "Dropout", "Gemm"));
  EXPECT_EQ(network->trainable_count(),
            784 * 64 + 64 + 2 * 64 + 64 * 32 + 32 + 2 * 32 + 32 * 10 + 10);
  EXPECT_EQ(network->value(network->head()).shape, (Shape{-1, 10}));
}

TEST(MlpTest, WithoutHiddenLayersIsALinearModel) {
  const auto network = Build(R"({"type":"mlp","hidden":[]})", {-1, 4});
  ASSERT_TRUE(network.ok());
  EXPECT_THAT(OpsOf(*network), ElementsAre("Gemm"));
}

TEST(MlpTest, ChecksItsFields) {
  EXPECT_EQ(ErrorOf(R"({"type":"mlp","hidden":[128,0]})"),
            "spec.architecture.hidden[1]: must be between 1 and 65536, got 0");
  EXPECT_EQ(ErrorOf(R"({"type":"mlp","dropout":1})"),
            "spec.architecture.dropout: must be at least 0 and less than 1, got 1");
  EXPECT_THAT(ErrorOf(R"({"type":"mlp","activation":"swish"})"),
              HasSubstr("spec.architecture.activation: must be one of relu, "));
  EXPECT_THAT(ErrorOf(R"({"type":"mlp","hidden":[65536]})", {-1, 1 << 30}),
              HasSubstr("spec.architecture: the network passes"));
}

TEST(CnnTest, BuildsBlocksPoolingsAndDenseLayers) {
  const auto network =
      Build(R"({"type":"cnn","channels":[8,16],"hidden":[32],"batch_norm":true})", {-1, 28, 28});
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_THAT(OpsOf(*network), ElementsAre("Reshape", "Conv", "BatchNormalization", "MaxPool",
                                           "Relu", "Conv", "BatchNormalization", "MaxPool", "Relu",
                                           "Flatten", "Gemm", "Relu", "Gemm"));
  EXPECT_EQ(network->trainable_count(), (9 * 8 + 8 + 2 * 8) + (9 * 8 * 16 + 16 + 2 * 16) +
                                            (7 * 7 * 16 * 32 + 32) + (32 * 10 + 10));
}

TEST(CnnTest, PoolsBeforeTheActivationOnlyWhereThatChangesNothing) {
  const auto ops = [](const std::string& fields) {
    return OpsOf(
        Build(R"({"type":"cnn","channels":[4],"batch_norm":false,"hidden":[],)" + fields + "}",
              {-1, 1, 8, 8})
            .value());
  };
  EXPECT_THAT(ops(R"("activation":"relu")"),
              ElementsAre("Conv", "MaxPool", "Relu", "Flatten", "Gemm"));
  EXPECT_THAT(ops(R"("activation":"gelu")"),
              ElementsAre("Conv", "Gelu", "MaxPool", "Flatten", "Gemm"));
  EXPECT_THAT(ops(R"("pooling":"average")"),
              ElementsAre("Conv", "Relu", "AveragePool", "Flatten", "Gemm"));
  EXPECT_THAT(ops(R"("pool":1,"global_pool":true)"),
              ElementsAre("Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"));
}

TEST(CnnTest, ChecksItsFields) {
  EXPECT_EQ(ErrorOf(R"({"type":"cnn","channels":[32,0]})"),
            "spec.architecture.channels[1]: must be between 1 and 4096, got 0");
  EXPECT_EQ(ErrorOf(R"({"type":"cnn","channels":[]})"),
            "spec.architecture.channels: must hold between 1 and 64 items, got 0");
  EXPECT_EQ(ErrorOf(R"({"type":"cnn","kernel":4})"),
            "spec.architecture.kernel: must be odd, got 4");
}

TEST(CnnTest, SaysWhenThePictureIsGone) {
  EXPECT_EQ(ErrorOf(R"({"type":"cnn","channels":[8,8,8,8,8]})"),
            "spec.architecture.pool: the 28x28 picture is gone after 4 poolings of 2");
  EXPECT_EQ(ErrorOf(R"({"type":"cnn"})", {-1, 64}),
            "spec.architecture.type: cnn takes pictures, and the inputs are [-1, 64]; use mlp");
}

}  // namespace
}  // namespace slipway::nn
