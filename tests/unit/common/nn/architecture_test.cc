#include "common/nn/architecture.h"

#include <cmath>
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
            "spec.architecture.type: must be one of cnn, gru, lstm, mlp, resnet, rnn, "
            "transformer_decoder, transformer_encoder, got \"gpt\"");
  EXPECT_EQ(ErrorOf("{}"),
            "spec.architecture.type: is required; must be one of cnn, gru, lstm, mlp, resnet, rnn, "
            "transformer_decoder, transformer_encoder");
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

TEST(ArchitectureTest, TheInitializationDecidesHowWeightsStart) {
  const auto weight = [](const std::string& fields) {
    return Build(R"({"type":"mlp","hidden":[32])" + fields + "}", {-1, 64})->parameter(0).init;
  };
  EXPECT_EQ(weight("").kind, Init::Kind::kUniform);
  EXPECT_DOUBLE_EQ(weight("").value, 1.0 / 8);
  EXPECT_EQ(weight(R"(,"initialization":"normal")").kind, Init::Kind::kNormal);
  EXPECT_DOUBLE_EQ(weight(R"(,"initialization":"normal")").value, 0.02);
  EXPECT_DOUBLE_EQ(weight(R"(,"initialization":"xavier")").value, std::sqrt(6.0 / 96));
  EXPECT_DOUBLE_EQ(weight(R"(,"initialization":"kaiming")").value, std::sqrt(6.0 / 64));
  EXPECT_EQ(weight(R"(,"initialization":"orthogonal")").kind, Init::Kind::kOrthogonal);
  EXPECT_THAT(ErrorOf(R"({"type":"cnn","initialization":"zeros"})"),
              HasSubstr("spec.architecture.initialization: must be one of uniform, normal, "));
}

TEST(ResnetTest, BuildsStagesWithShortcutsAroundTheirBlocks) {
  const auto network = Build(R"({"type":"resnet","channels":[8,16],"blocks":1})", {-1, 28, 28});
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_THAT(OpsOf(*network),
              ElementsAre("Reshape", "Conv", "BatchNormalization", "Relu",  // stem
                          "Conv", "BatchNormalization", "Relu", "Conv", "BatchNormalization", "Add",
                          "Relu",  // of the same size
                          "Conv", "BatchNormalization", "Relu", "Conv", "BatchNormalization",
                          "Conv", "BatchNormalization", "Add", "Relu",  // halved
                          "GlobalAveragePool", "Flatten", "Gemm"));
  const auto norm = [](int64_t channels) { return 2 * channels; };
  const auto conv = [](int64_t from, int64_t to, int64_t kernel) {
    return kernel * kernel * from * to + to;
  };
  EXPECT_EQ(network->trainable_count(), conv(1, 8, 3) + norm(8) + 2 * (conv(8, 8, 3) + norm(8)) +
                                            conv(8, 16, 3) + conv(16, 16, 3) + conv(8, 16, 1) +
                                            3 * norm(16) + 16 * 10 + 10);
  EXPECT_EQ(ErrorOf(R"({"type":"resnet"})", {-1, 64}),
            "spec.architecture.type: resnet takes pictures, and the inputs are [-1, 64]; use mlp");
}

TEST(RecurrentTest, StacksCellsOverVectorsOrOverIds) {
  const auto vectors = Build(R"({"type":"gru","hidden":16,"layers":2,"dropout":0.1})", {-1, 7, 3});
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  EXPECT_THAT(OpsOf(*vectors), ElementsAre("GRU", "Dropout", "GRU", "Dropout", "Gemm"));
  EXPECT_EQ(vectors->trainable_count(),
            3 * 16 * (3 + 16 + 2) + 3 * 16 * (16 + 16 + 2) + 16 * 10 + 10);

  const auto ids = Build(R"({"type":"lstm","vocabulary":50,"embedding":6,"hidden":16,
                             "bidirectional":true,"pooling":"mean"})",
                         {-1, 7});
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(OpsOf(*ids), ElementsAre("Embedding", "LSTM", "ReduceMean", "Gemm"));
  EXPECT_EQ(ids->trainable_count(), 50 * 6 + 2 * 4 * 16 * (6 + 16 + 2) + 32 * 10 + 10);
  EXPECT_THAT(OpsOf(Build(R"({"type":"rnn"})", {-1, 7, 3}).value()), ElementsAre("RNN", "Gemm"));
}

TEST(RecurrentTest, SaysWhatItTakes) {
  EXPECT_EQ(
      ErrorOf(R"({"type":"lstm"})", {-1, 64}),
      "spec.architecture.vocabulary: is required, for ids of tokens: the inputs are [-1, 64]");
  EXPECT_EQ(ErrorOf(R"({"type":"lstm","vocabulary":9})", {-1, 28, 28}),
            "spec.architecture.vocabulary: must be absent, there are no ids of tokens: the inputs "
            "are [-1, 28, 28]");
  EXPECT_EQ(ErrorOf(R"({"type":"gru"})", {-1, 3, 28, 28}),
            "spec.architecture.type: gru takes sequences of ids or vectors, and the inputs are "
            "[-1, 3, 28, 28]");
}

// What each layer of `op` reads, by name.
std::vector<std::string> InputsOf(const Network& network, std::string_view op) {
  std::vector<std::string> names;
  for (const Layer& layer : network.layers()) {
    if (OpName(layer.op) != op) continue;
    for (const ValueId id : layer.inputs) names.push_back(network.value(id).name);
  }
  return names;
}

TEST(PaddingTest, WhatReadsASequenceGetsItsLengths) {
  const auto lstm =
      Build(R"({"type":"lstm","vocabulary":50,"pad_token_id":0,"layers":2})", {-1, 7});
  ASSERT_TRUE(lstm.ok()) << lstm.status();
  EXPECT_THAT(InputsOf(*lstm, "LSTM"), ElementsAre("embedding", "length", "recurrent.0", "length"));
  const auto mean =
      Build(R"({"type":"gru","vocabulary":50,"pad_token_id":0,"pooling":"mean"})", {-1, 7});
  ASSERT_TRUE(mean.ok()) << mean.status();
  EXPECT_THAT(InputsOf(*mean, "ReduceMean"), ElementsAre("recurrent.0", "length"));
  const auto encoder = Build(
      R"({"type":"transformer_encoder","vocabulary":50,"pad_token_id":3,"layers":1})", {-1, 7});
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  EXPECT_THAT(InputsOf(*encoder, "Attention"), ElementsAre("layer.0.attention.qkv", "length"));
  EXPECT_THAT(InputsOf(*encoder, "ReduceMean"), ElementsAre("norm", "length"));
}

TEST(PaddingTest, IsOneOfTheIds) {
  EXPECT_EQ(ErrorOf(R"({"type":"lstm","vocabulary":9,"pad_token_id":9})"),
            "spec.architecture.pad_token_id: must be less than vocabulary, which is 9, got 9");
  EXPECT_EQ(ErrorOf(R"({"type":"transformer_encoder","pad_token_id":0})"),
            "spec.architecture.pad_token_id: must be less than vocabulary, which is 0, got 0");
}

TEST(ArchitectureTest, ThoseOfSequencesTakeTheTokensOfATokenizer) {
  for (const std::string type :
       {"rnn", "lstm", "gru", "transformer_encoder", "transformer_decoder"}) {
    const auto architecture = ParseArchitecture({{"type", type}, {"layers", 3}}, "a");
    ASSERT_TRUE(architecture.ok()) << architecture.status();
    const auto tokens = (*architecture)->ForTokens(77);
    ASSERT_NE(tokens, nullptr) << type;
    EXPECT_TRUE(tokens->takes_ids());
    json expected = (*architecture)->ToJson();
    expected["vocabulary"] = 77;
    expected["pad_token_id"] = 0;
    EXPECT_EQ(json(tokens->ToJson()), expected);
    EXPECT_EQ(tokens->ForTokens(78), nullptr);
  }
  for (const std::string type : {"mlp", "cnn", "resnet"}) {
    EXPECT_EQ((*ParseArchitecture({{"type", type}}, "a"))->ForTokens(77), nullptr);
  }
}

TEST(TransformerEncoderTest, BuildsBlocksOfAttentionAndFeedForward) {
  const auto network = Build(R"({"type":"transformer_encoder","vocabulary":50,"width":8,"heads":2,
                                 "layers":1,"feed_forward":12,"pooling":"first","dropout":0})",
                             {-1, 7});
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_THAT(OpsOf(*network),
              ElementsAre("Embedding", "Add", "LayerNormalization", "Gemm", "Attention", "Gemm",
                          "Add", "LayerNormalization", "Gemm", "Gelu", "Gemm", "Add",
                          "LayerNormalization", "Take", "Gemm"));
  EXPECT_EQ(network->trainable_count(), 50 * 8 + 7 * 8 + (8 * 24 + 24) + (8 * 8 + 8) +
                                            (8 * 12 + 12) + (12 * 8 + 8) + 3 * 16 + 8 * 10 + 10);
  const auto vectors =
      Build(R"({"type":"transformer_encoder","layers":1,"dropout":0.1})", {-1, 7, 3});
  ASSERT_TRUE(vectors.ok()) << vectors.status();
  EXPECT_THAT(OpsOf(*vectors),
              ElementsAre("Gemm", "Add", "Dropout", "LayerNormalization", "Gemm", "Attention",
                          "Gemm", "Dropout", "Add", "LayerNormalization", "Gemm", "Gelu", "Gemm",
                          "Dropout", "Add", "LayerNormalization", "ReduceMean", "Gemm"));
  EXPECT_EQ(ErrorOf(R"({"type":"transformer_encoder","width":10,"heads":4})", {-1, 7, 3}),
            "spec.architecture.heads: must divide width 10, got 4");
}

}  // namespace
}  // namespace slipway::nn
