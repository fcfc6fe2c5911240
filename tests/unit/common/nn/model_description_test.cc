#include "common/nn/model_description.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Example() {
  return json::parse(R"({
    "format": 1,
    "task": "classification",
    "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}],
    "labels": ["shirt", "trouser", "bag"],
    "preprocessing": [{"type": "rescale", "divisor": 255},
                      {"type": "standardize", "mean": [0.25], "deviation": [0.5]}],
    "architecture": {"type": "cnn", "channels": [4], "hidden": []}
  })");
}

std::string ErrorOf(const json& object) {
  return std::string(ModelDescription::Parse(object.dump(), "").status().message());
}

// The example with one value replaced.
std::string ErrorWith(const std::string& pointer, const json& value) {
  json object = Example();
  object[json::json_pointer(pointer)] = value;
  return ErrorOf(object);
}

TEST(ModelDescriptionTest, PrintsWhatItParses) {
  const auto description = ModelDescription::Parse(Example().dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->input, (TensorSpec{"image", DataType::kUint8, {-1, 28, 28}}));
  EXPECT_EQ(description->labels[2], "bag");
  const std::string printed = description->Print();
  const auto again = ModelDescription::Parse(printed, "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Print(), printed);
}

TEST(ModelDescriptionTest, TakesPicturesOfAnySizeWhereItSaysHowTheyAreScaled) {
  json object = Example();
  object["pictures"] = json::parse(R"({"height": 20, "width": 30, "channels": 1, "fit": "crop"})");
  object["inputs"] =
      json::parse(R"([{"name": "image", "datatype": "UINT8", "shape": [-1, -1, -1, -1]}])");
  const auto description = ModelDescription::Parse(object.dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(description->inputs()[0], (TensorSpec{"image", DataType::kUint8, {-1, -1, -1, -1}}));
  EXPECT_EQ(description->input, (TensorSpec{"scaled", DataType::kUint8, {-1, 1, 20, 30}}));
  EXPECT_EQ(description->BuildNetwork("")->value(0), description->input);
  const std::string printed = description->Print();
  const auto again = ModelDescription::Parse(printed, "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Print(), printed);
  EXPECT_EQ(again->pictures->fit, PictureScaling::Fit::kCrop);

  object["pictures"]["channels"] = 2;
  EXPECT_EQ(ErrorOf(object), "pictures.channels: must be 1 or 3, got 2");
  object["pictures"]["channels"] = 3;
  object["inputs"][0]["shape"] = {-1, 3, 20, 30};
  EXPECT_EQ(ErrorOf(object), "inputs: must be pictures of any size");
  object["inputs"] = json::parse(R"([{"name": "features", "datatype": "FP32", "shape": [-1, 1]}])");
  object["table"] = json::parse(R"([{"type": "number", "name": "x"}])");
  EXPECT_EQ(ErrorOf(object), "pictures: must be absent beside a table");
}

TEST(ModelDescriptionTest, TheNetworkGoesFromRawRowsToProbabilities) {
  const auto description = ModelDescription::Parse(Example().dump(), "");
  ASSERT_TRUE(description.ok());
  const auto network = description->BuildNetwork("");
  ASSERT_TRUE(network.ok());
  EXPECT_EQ(network->value(network->inputs()[0]), description->input);
  EXPECT_EQ(network->value(network->outputs()[0]), description->output);
  EXPECT_EQ(OpName(network->layers().front().op), "Cast");
  EXPECT_EQ(OpName(network->layers().back().op), "Softmax");
  EXPECT_EQ(network->value(network->head()).name, "head");
  // (x / 255 - 0.25) / 0.5
  EXPECT_DOUBLE_EQ(std::get<Affine>(network->layers()[1].op).scale[0], 1.0 / 255);
  EXPECT_DOUBLE_EQ(std::get<Affine>(network->layers()[2].op).scale[0], 2);
  EXPECT_DOUBLE_EQ(std::get<Affine>(network->layers()[2].op).shift[0], -0.5);
}

TEST(ModelDescriptionTest, ARegressionGivesTheHeadItself) {
  json object = Example();
  object["task"] = "regression";
  object["labels"] = json::array();
  object["inputs"] = json::parse(R"([{"name":"features","datatype":"FP32","shape":[-1,4]}])");
  object["outputs"] = json::parse(R"([{"name":"prediction","datatype":"FP32","shape":[-1,1]}])");
  object["preprocessing"] =
      json::parse(R"([{"type":"standardize","mean":[1,2,3,4],"deviation":[1,1,1,1]}])");
  object["architecture"] = json::parse(R"({"type":"mlp","hidden":[]})");
  const auto description = ModelDescription::Parse(object.dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  const auto network = description->BuildNetwork("");
  ASSERT_TRUE(network.ok());
  EXPECT_EQ(network->head(), network->outputs()[0]);
  EXPECT_EQ(network->layers().size(), 2u);
}

TEST(ModelDescriptionTest, NamesWhatIsWrong) {
  EXPECT_EQ(ErrorWith("/format", 2), "format: must be between 1 and 1, got 2");
  EXPECT_EQ(
      ErrorWith("/task", "dreaming"),
      "task: must be one of classification, regression, language_model, masked_language_model, got "
      "\"dreaming\"");
  EXPECT_EQ(ErrorWith("/inputs/0/datatype", "FLOAT"), "inputs[0].datatype: is not a known type");
  EXPECT_EQ(ErrorWith("/inputs/0/datatype", "BYTES"),
            "inputs[0].datatype: must be a type of numbers, got BYTES");
  EXPECT_THAT(ErrorWith("/inputs/0/shape", {28, 28}),
              HasSubstr("inputs[0].shape: must start with -1"));
  EXPECT_THAT(ErrorWith("/inputs/0/shape", {-1, -1, 28}), HasSubstr("negative dimension"));
  EXPECT_THAT(ErrorWith("/inputs/0/shape", {-1, 1 << 30, 1 << 30}),
              HasSubstr("inputs[0].shape: a row must have between 1 and"));
  EXPECT_THAT(ErrorWith("/inputs/0/shape", {-1, int64_t{1} << 40, int64_t{1} << 40}),
              HasSubstr("too many elements"));
  EXPECT_THAT(ErrorWith("/inputs", json::array()), HasSubstr("inputs: must hold"));
  EXPECT_THAT(ErrorWith("/outputs/0/shape", {-1, 0}),
              HasSubstr("outputs[0]: must be probabilities"));
  EXPECT_THAT(ErrorWith("/outputs/0/name", "label"),
              HasSubstr("outputs[0]: must be probabilities"));
  EXPECT_EQ(ErrorWith("/labels", {"a", "b"}), "labels: must name 3 classes, got 2");
  EXPECT_THAT(ErrorWith("/preprocessing", "none"), HasSubstr("preprocessing: must be a list"));
  EXPECT_EQ(ErrorWith("/preprocessing/0/divisor", 0),
            "preprocessing[0].divisor: must be more than 0, got 0");
  EXPECT_EQ(ErrorWith("/preprocessing/1/mean", {1, 2}),
            "preprocessing[1].deviation: must be as long as mean");
  EXPECT_EQ(ErrorWith("/preprocessing/0/type", "pickle"),
            "preprocessing[0].type: must be one of rescale, standardize, got \"pickle\"");
  EXPECT_EQ(ErrorWith("/architecture/channels", {4, 4, 4, 4, 4}),
            "architecture.pool: the 28x28 picture is gone after 4 poolings of 2");
  EXPECT_THAT(ErrorWith("/extra", 1), HasSubstr("extra: is not a known field"));
  EXPECT_THAT(std::string(ModelDescription::Parse("{", "").status().message()),
              HasSubstr("is not JSON"));
}

TEST(ModelDescriptionTest, IdsOfTokensStayAsTheyAre) {
  json object = Example();
  object["inputs"][0] = {{"name", "ids"}, {"datatype", "INT64"}, {"shape", {-1, 12}}};
  object["architecture"] = {{"type", "lstm"}, {"vocabulary", 100}};
  EXPECT_EQ(ErrorOf(object), "preprocessing: must be empty: the architecture takes ids of tokens");
  object["preprocessing"] = json::array();
  const auto description = ModelDescription::Parse(object.dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(OpName(description->BuildNetwork("")->layers().front().op), "Embedding");
}

TEST(ModelDescriptionTest, ALanguageModelTakesTextAndSaysWhatComesNext) {
  const json object = json::parse(R"({
    "format": 1, "task": "language_model",
    "inputs": [{"name": "texts", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 4]}],
    "table": [{"type": "text", "name": "text", "max_length": 5,
               "tokenizer": {"type": "word", "vocabulary": ["the", "sea"]}}],
    "architecture": {"type": "gru", "vocabulary": 4, "pad_token_id": 0}
  })");
  const auto description = ModelDescription::Parse(object.dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(ModelDescription::Parse(description->Print(), "")->Print(), description->Print());
  const Network network = description->BuildNetwork("").value();
  EXPECT_EQ(network.value(network.head()).shape, (Shape{-1, 5, 4}));
  EXPECT_EQ(network.value(network.outputs()[0]), description->output);

  const auto error = [&](const std::string& pointer, const json& value) {
    json other = object;
    other[json::json_pointer(pointer)] = value;
    return ErrorOf(other);
  };
  EXPECT_EQ(error("/outputs/0/shape", {-1, 5}), "table: must be a column of text with 5 tokens");
  EXPECT_EQ(error("/architecture/pad_token_id", -1),
            "architecture.pad_token_id: is required: texts end somewhere");
  EXPECT_EQ(error("/architecture",
                  {{"type", "transformer_decoder"}, {"vocabulary", 9}, {"pad_token_id", 0}}),
            "architecture.vocabulary: must be 4");
  EXPECT_EQ(error("/architecture/type", "transformer_encoder"),
            "architecture.type: cannot say what comes next; use rnn, lstm, gru or "
            "transformer_decoder");
}

TEST(ModelDescriptionTest, AMaskedLanguageModelTakesTextAndGivesAnEmbedding) {
  const json object = json::parse(R"({
    "format": 1, "task": "masked_language_model",
    "inputs": [{"name": "texts", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, 8]}],
    "table": [{"type": "text", "name": "text", "max_length": 5,
               "tokenizer": {"type": "word", "vocabulary": ["the", "sea"], "has_mask": true}}],
    "architecture": {"type": "transformer_encoder", "width": 8, "heads": 2, "vocabulary": 5,
                     "pad_token_id": 0}
  })");
  const auto description = ModelDescription::Parse(object.dump(), "");
  ASSERT_TRUE(description.ok()) << description.status();
  EXPECT_EQ(ModelDescription::Parse(description->Print(), "")->Print(), description->Print());
  const Network network = description->BuildNetwork("").value();
  EXPECT_EQ(network.value(network.head()).shape, (Shape{-1, 5, 5}));
  EXPECT_EQ(network.value(network.outputs()[0]), description->output);

  const auto error = [&](const std::string& pointer, const json& value) {
    json other = object;
    other[json::json_pointer(pointer)] = value;
    return ErrorOf(other);
  };
  EXPECT_EQ(error("/table/0/tokenizer/has_mask", false),
            "table: must be a column of text whose tokenizer has a mask");
  EXPECT_EQ(error("/architecture/vocabulary", 4), "architecture.vocabulary: must be 5");
  EXPECT_EQ(error("/outputs/0/shape", {-1, 9}),
            "outputs[0].shape: must be [-1, 8], as the architecture has it");
  EXPECT_EQ(error("/outputs/0/name", "probabilities"),
            "outputs[0]: must be embedding FP32 [-1, n] with n from 1 to 1000000");
  EXPECT_EQ(error("/architecture/type", "transformer_decoder"),
            "architecture.type: cannot say which tokens are hidden; use transformer_encoder");
}

TEST(ModelDescriptionTest, ConstantsMustFitTheColumns) {
  json object = Example();
  object["preprocessing"][1]["mean"] = {1, 2};
  object["preprocessing"][1]["deviation"] = {1, 2};
  EXPECT_EQ(ErrorOf(object), "preprocessing[1].mean: 2 constants do not fit [-1, 28, 28]");
}

}  // namespace
}  // namespace slipway::nn
