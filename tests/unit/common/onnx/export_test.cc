// What the file says. That it computes the same numbers is the business of
// tests/integration/services/inference/openvino_runtime_test.cc.

#include "common/onnx/export.h"

#include <set>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "common/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "onnx/onnx.pb.h"
#include "tests/support/serving/test_artifact.h"

namespace slipway::onnx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

nn::ModelDescription Describe(const std::string& architecture, TensorSpec input) {
  nn::ModelDescription description;
  description.input = std::move(input);
  description.output = nn::OutputOf(nn::Task::kClassification, 3);
  description.architecture =
      nn::ParseArchitecture(nlohmann::json::parse(architecture), "architecture").value();
  return description;
}

absl::StatusOr<std::string> Export(const nn::ModelDescription& description) {
  const TestArtifact artifact = MakeTestArtifact(description, 1);
  const auto weights = SafetensorsFile::Parse(Buffer::Borrow(artifact.weights), "weights").value();
  return ExportOnnx(description.BuildNetwork("").value(), weights.tensors());
}

::onnx::ModelProto ModelOf(const nn::ModelDescription& description) {
  const auto bytes = Export(description);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  ::onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes.value_or("")));
  return model;
}

std::vector<std::string> OpsOf(const ::onnx::ModelProto& model) {
  std::vector<std::string> ops;
  for (const auto& node : model.graph().node()) ops.push_back(node.op_type());
  return ops;
}

TEST(ExportOnnxTest, InputsAndOutputsKeepTheirNamesAndTheBatchIsFree) {
  const auto model =
      ModelOf(Describe(R"({"type":"mlp","hidden":[8]})", {"x", DataType::kInt32, {-1, 4}}));
  ASSERT_EQ(model.graph().input_size(), 1);
  const auto& input = model.graph().input(0);
  EXPECT_EQ(input.name(), "x");
  EXPECT_EQ(input.type().tensor_type().elem_type(), ::onnx::TensorProto::INT32);
  EXPECT_EQ(input.type().tensor_type().shape().dim(0).dim_param(), "batch");
  EXPECT_EQ(input.type().tensor_type().shape().dim(1).dim_value(), 4);
  ASSERT_EQ(model.graph().output_size(), 1);
  EXPECT_EQ(model.graph().output(0).name(), "probabilities");
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(0).dim_param(), "batch");
  EXPECT_EQ(model.opset_import(0).version(), kOpset);
  EXPECT_THAT(OpsOf(model), ElementsAre("Cast", "Gemm", "Relu", "Gemm", "Softmax"));
}

void ExpectInOrder(const ::onnx::ModelProto& model) {
  std::set<std::string> known = {""};  // what is left out
  for (const auto& input : model.graph().input()) known.insert(input.name());
  for (const auto& constant : model.graph().initializer()) {
    EXPECT_TRUE(known.insert(constant.name()).second) << constant.name();
  }
  for (const auto& node : model.graph().node()) {
    for (const auto& input : node.input()) EXPECT_TRUE(known.contains(input)) << input;
    for (const auto& output : node.output()) {
      EXPECT_TRUE(output.empty() || known.insert(output).second) << output;
    }
  }
  for (const auto& output : model.graph().output()) EXPECT_TRUE(known.contains(output.name()));
}

TEST(ExportOnnxTest, EachValueIsGivenOnceAndBeforeItIsRead) {
  nn::ModelDescription description =
      Describe(R"({"type":"cnn","channels":[4,8],"hidden":[16],"dropout":0.25,"batch_norm":true})",
               {"image", DataType::kUint8, {-1, 28, 28}});
  description.preprocessing = {nn::MakeRescale(255), nn::MakeStandardize({0.3}, {0.4})};
  ExpectInOrder(ModelOf(description));
  ExpectInOrder(ModelOf(Describe(R"({"type":"resnet"})", description.input)));
  const TensorSpec ids = {"ids", DataType::kInt64, {-1, 5}};
  for (const std::string type :
       {"rnn", "lstm", "gru", "transformer_encoder", "transformer_decoder"}) {
    for (const std::string padding : {"-1", "0"}) {
      ExpectInOrder(ModelOf(Describe(
          R"({"type":")" + type + R"(","vocabulary":9,"layers":2,"pad_token_id":)" + padding + "}",
          ids)));
    }
  }
  ExpectInOrder(ModelOf(Describe(
      R"({"type":"lstm","vocabulary":9,"pad_token_id":0,"bidirectional":true,"pooling":"mean"})",
      ids)));
}

TEST(ExportOnnxTest, WhatOnlyALossLooksAtIsLeftOut) {
  nn::ModelDescription description;
  description.task = nn::Task::kMaskedLanguageModel;
  description.table = nn::Table::Parse(nlohmann::json::parse(
                                           R"([{"type":"text","name":"text","max_length":5,
                                "tokenizer":{"type":"byte","has_mask":true}}])"),
                                       "table")
                          .value();
  description.input = description.table->encoded();
  description.architecture =
      nn::ParseArchitecture(nlohmann::json::parse(R"({"type":"transformer_encoder"})"), "a")
          .value()
          ->ForTokens(description.table->tokenizer()->size());
  description.output = nn::OutputOf(description.task, 128);
  const ::onnx::ModelProto model = ModelOf(description);
  ExpectInOrder(model);
  for (const auto& node : model.graph().node()) {
    EXPECT_THAT(node.output(0), ::testing::Not(::testing::HasSubstr("head")));
  }
  EXPECT_EQ(model.graph().output(0).name(), "embedding");
}

TEST(ExportOnnxTest, IdsAreNeverNumbersOfFewerBits) {
  const auto model = ModelOf(Describe(R"({"type":"lstm","vocabulary":9,"dropout":0.5})",
                                      {"ids", DataType::kInt32, {-1, 5}}));
  EXPECT_THAT(OpsOf(model), ElementsAre("Cast", "Clip", "Gather", "Transpose", "LSTM", "Transpose",
                                        "Reshape", "Identity", "Gemm", "Softmax"));
  EXPECT_EQ(model.graph().node(0).attribute(0).i(), ::onnx::TensorProto::INT64);
}

TEST(ExportOnnxTest, WeightsAreTheFilesOwnBytes) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[8]})", {"x", DataType::kFp32, {-1, 4}});
  const TestArtifact artifact = MakeTestArtifact(description, 1);
  const auto model = ModelOf(description);
  int weights = 0;
  for (const auto& constant : model.graph().initializer()) {
    const auto known = artifact.parameters.find(constant.name());
    if (known == artifact.parameters.end()) continue;
    ++weights;
    EXPECT_EQ(constant.raw_data(),
              std::string_view(reinterpret_cast<const char*>(known->second.data()),
                               known->second.size() * sizeof(float)));
  }
  EXPECT_EQ(weights, 4);
}

TEST(ExportOnnxTest, RefusesWhatOnnxCannotSay) {
  // An input that is called as the output is.
  const auto exported = Export(
      Describe(R"({"type":"mlp","hidden":[8]})", {"probabilities", DataType::kFp32, {-1, 4}}));
  EXPECT_TRUE(absl::IsUnimplemented(exported.status())) << exported.status();
  EXPECT_THAT(std::string(exported.status().message()), HasSubstr("\"probabilities\""));
}

TEST(ExportOnnxTest, RefusesAnotherNetworksWeights) {
  const auto small = Describe(R"({"type":"mlp","hidden":[8]})", {"x", DataType::kFp32, {-1, 4}});
  const auto large = Describe(R"({"type":"mlp","hidden":[9]})", {"x", DataType::kFp32, {-1, 4}});
  const TestArtifact artifact = MakeTestArtifact(small, 1);
  const auto weights = SafetensorsFile::Parse(Buffer::Borrow(artifact.weights), "weights").value();
  const auto exported = ExportOnnx(large.BuildNetwork("").value(), weights.tensors());
  EXPECT_TRUE(absl::IsInvalidArgument(exported.status())) << exported.status();
  EXPECT_THAT(std::string(exported.status().message()), HasSubstr("hidden.0.weight"));
}

}  // namespace
}  // namespace slipway::onnx
