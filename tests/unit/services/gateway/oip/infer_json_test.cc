#include "services/gateway/oip/infer_json.h"

#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/open_inference.pb.h"
#include "nlohmann/json.hpp"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::gateway {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::vector<T> Elements(const std::string& raw) {
  std::vector<T> elements(raw.size() / sizeof(T));
  std::memcpy(elements.data(), raw.data(), raw.size());
  return elements;
}

template <class T>
std::string Raw(std::initializer_list<T> elements) {
  return {reinterpret_cast<const char*>(elements.begin()), elements.size() * sizeof(T)};
}

std::string Input(std::string_view type, std::string_view shape, std::string_view data) {
  return fmt::format(R"({{"inputs":[{{"name":"x","datatype":"{}","shape":{},"data":{}}}]}})", type,
                     shape, data);
}

// The message as a worker sees it.
absl::StatusOr<ModelInferRequest> Read(std::string body, AnswerForm* form = nullptr,
                                       std::optional<uint64_t> json_bytes = std::nullopt) {
  InferRequest request;
  AnswerForm ignored;
  RETURN_IF_ERROR(
      ReadInferRequest(std::move(body), json_bytes, request, form == nullptr ? ignored : *form));
  ModelInferRequest message;
  if (!message.ParseFromString(std::string(Serialize(request)))) {
    return absl::InternalError("the serialized request cannot be parsed");
  }
  return message;
}

std::string RawOf(std::string_view type, std::string_view shape, std::string_view data) {
  const auto request = Read(Input(type, shape, data));
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? request->raw_input_contents(0) : "";
}

TEST(ReadInferRequestTest, ReadsEveryPartOfARequest) {
  const auto request = Read(R"({
    "id": "7",
    "parameters": {"a": true, "b": -3, "c": 1.5, "d": "text", "e": 18446744073709551615},
    "inputs": [
      {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"p": 1},
       "data": [1, 2.5, -3e-1, 4]},
      {"name": "y", "shape": [1], "datatype": "BYTES", "data": ["h\u00e9"]}],
    "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}, {"name": "z"}],
    "something_of_an_extension": {"deep": [1, {"x": null}]}})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->id(), "7");
  EXPECT_TRUE(request->parameters().at("a").bool_param());
  EXPECT_EQ(request->parameters().at("b").int64_param(), -3);
  EXPECT_EQ(request->parameters().at("c").double_param(), 1.5);
  EXPECT_EQ(request->parameters().at("d").string_param(), "text");
  EXPECT_EQ(request->parameters().at("e").uint64_param(), 18446744073709551615u);
  ASSERT_EQ(request->inputs_size(), 2);
  EXPECT_EQ(request->inputs(0).name(), "x");
  EXPECT_EQ(request->inputs(0).datatype(), "FP32");
  EXPECT_THAT(request->inputs(0).shape(), ElementsAre(2, 2));
  EXPECT_EQ(request->inputs(0).parameters().at("p").int64_param(), 1);
  EXPECT_THAT(Elements<float>(request->raw_input_contents(0)), ElementsAre(1, 2.5, -0.3f, 4));
  EXPECT_EQ(request->raw_input_contents(1), std::string("\x03\0\0\0h\xc3\xa9", 7));
  EXPECT_EQ(request->outputs(0).parameters().at("classification").int64_param(), 3);
  EXPECT_EQ(request->outputs(1).name(), "z");
  EXPECT_EQ(request->model_name(), "");
}

TEST(ReadInferRequestTest, ReadsEveryDatatypeToItsBounds) {
  EXPECT_EQ(RawOf("BOOL", "[3]", "[true,false,true]"), std::string("\1\0\1", 3));
  EXPECT_THAT(Elements<uint8_t>(RawOf("UINT8", "[2]", "[0,255]")), ElementsAre(0, 255));
  EXPECT_THAT(Elements<int8_t>(RawOf("INT8", "[2]", "[-128,127]")), ElementsAre(-128, 127));
  EXPECT_THAT(Elements<uint16_t>(RawOf("UINT16", "[1]", "[65535]")), ElementsAre(65535));
  EXPECT_THAT(Elements<int16_t>(RawOf("INT16", "[2]", "[-32768,32767]")),
              ElementsAre(-32768, 32767));
  EXPECT_THAT(Elements<uint32_t>(RawOf("UINT32", "[1]", "[4294967295]")), ElementsAre(4294967295u));
  EXPECT_THAT(Elements<int32_t>(RawOf("INT32", "[2]", "[-2147483648,2147483647]")),
              ElementsAre(std::numeric_limits<int32_t>::min(), 2147483647));
  EXPECT_THAT(Elements<uint64_t>(RawOf("UINT64", "[1]", "[18446744073709551615]")),
              ElementsAre(18446744073709551615u));
  EXPECT_THAT(
      Elements<int64_t>(RawOf("INT64", "[2]", "[-9223372036854775808,9223372036854775807]")),
      ElementsAre(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()));
  EXPECT_THAT(Elements<double>(RawOf("FP64", "[2]", "[1e308,5e-324]")), ElementsAre(1e308, 5e-324));
  EXPECT_THAT(Elements<float>(RawOf("FP32", "[2]", "[3.4028235e38,-0.0]")),
              ElementsAre(std::numeric_limits<float>::max(), 0.0f));
  EXPECT_EQ(RawOf("BYTES", "[2]", R"(["","a"])"), std::string("\0\0\0\0\1\0\0\0a", 9));
}

TEST(ReadInferRequestTest, TakesNestedAndFlatData) {
  const std::string flat = RawOf("INT32", "[2,1,3]", "[1,2,3,4,5,6]");
  EXPECT_EQ(RawOf("INT32", "[2,1,3]", "[[[1,2,3]],[[4,5,6]]]"), flat);
  EXPECT_THAT(Elements<int32_t>(flat), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Elements<int32_t>(RawOf("INT32", "[]", "[5]")), ElementsAre(5));
}

TEST(ReadInferRequestTest, TakesTheKeysInAnyOrder) {
  for (const char* body :
       {R"({"inputs":[{"data":[1,2],"shape":[2],"datatype":"INT8","name":"x"}]})",
        R"({"inputs":[{"shape":[2],"data":[1,2],"name":"x","datatype":"INT8"}]})",
        R"({"inputs":[{"datatype":"INT8","data":[[1],[2]],"shape":[2,1],"name":"x"}],"id":"i"})"}) {
    const auto request = Read(body);
    ASSERT_TRUE(request.ok()) << body << request.status();
    EXPECT_THAT(Elements<int8_t>(request->raw_input_contents(0)), ElementsAre(1, 2)) << body;
    EXPECT_EQ(request->inputs(0).name(), "x");
  }
}

struct Wrong {
  std::string body;
  const char* field;
  const char* problem;
};

TEST(ReadInferRequestTest, NamesWhatIsWrong) {
  for (const Wrong& wrong : std::vector<Wrong>{
           {"", "body", "is not JSON"},
           {"[]", "body", "must be an object"},
           {"5", "body", "must be an object"},
           {"{", "body", "is not JSON"},
           {"{}", "inputs", "at least one tensor"},
           {R"({"inputs":[]})", "inputs", "at least one tensor"},
           {R"({"inputs":{}})", "inputs", "must be a list"},
           {R"({"inputs":[5]})", "inputs[0]", "must be an object"},
           {R"({"inputs":[{}]})", "inputs[0].name", "is missing"},
           {R"({"id":5,"inputs":[]})", "id", "must be a text"},
           {R"({"id":"a","id":"b"})", "id", "is given twice"},
           {R"({"parameters":[]})", "parameters", "must be an object"},
           {R"({"parameters":{"a":null}})", "parameters.a", "must be a text, a number"},
           {R"({"parameters":{"a":{"b":1}}})", "parameters.a", "must be a text, a number"},
           {R"({"parameters":{"a":1,"a":2}})", "parameters.a", "is given twice"},
           {R"({"inputs":[{"name":"x","shape":[1],"data":[1]}]})", "inputs.x.datatype", "missing"},
           {R"({"inputs":[{"name":"x","datatype":"FP32","data":[1]}]})", "inputs.x.shape",
            "missing"},
           {R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]})", "inputs.x.data",
            "missing"},
           {R"({"inputs":[{"name":"x","name":"y"}]})", "inputs.x.name", "twice"},
           {R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]},
                          {"name":"x","datatype":"FP32","shape":[1],"data":[1]}]})",
            "inputs.x", "is given twice"},
           {R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],
                           "parameters":{"binary_data_size":4}}]})",
            "inputs.x.parameters.binary_data_size", "inference-header-content-length is missing"},
           {R"({"inputs":[{"name":"x","parameters":{"binary_data_size":-4}}]})",
            "inputs.x.parameters.binary_data_size", "number of bytes"},
           {R"({"inputs":[{"name":"x","parameters":{"binary_data_size":"4"}}]})",
            "inputs.x.parameters.binary_data_size", "number of bytes"},
           {R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1],
                           "parameters":{"binary_data_size":4}}]})",
            "inputs.x.data", "beside binary_data_size"},
           {R"({"parameters":{"binary_data_output":1}})", "parameters.binary_data_output",
            "true or false"},
           {R"({"outputs":[{"name":"o","parameters":{"binary_data":"yes"}}]})",
            "outputs[0].parameters.binary_data", "true or false"},
           {Input("FLOAT", "[1]", "[1]"), "inputs.x.datatype", "is no datatype"},
           {Input("FP16", "[1]", "[1]"), "inputs.x.data", "has no JSON form"},
           {Input("BF16", "[1]", "[1]"), "inputs.x.data", "has no JSON form"},
           {Input("FP32", "[0]", "[]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "[-1]", "[1]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "[1.5]", "[1]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "[\"1\"]", "[1]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "[99999999999999999999]", "[1]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "2", "[1,2]"), "inputs.x.shape", "positive integers"},
           {Input("FP32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[1]"), "inputs.x.shape",
            "more than 16 dimensions"},
           {Input("FP32", "[16,1152921504606846978]", "[1]"), "inputs.x.shape", "more elements"},
           {Input("FP32", "[9223372036854775807,9223372036854775807]", "[1]"), "inputs.x.shape",
            "more elements"},
           {Input("FP64", "[1000000]", "[1]"), "inputs.x.shape", "more elements"},
           {Input("FP32", "[2]", "[1]"), "inputs.x.data", "has 1 elements, the shape [2] says 2"},
           {Input("FP32", "[2]", "[1,2,3]"), "inputs.x.data", "has more elements than the shape"},
           {Input("FP32", "[2]", "[]"), "inputs.x.data", "has 0 elements"},
           {Input("FP32", "[2]", "5"), "inputs.x.data", "must be a list"},
           {Input("FP32", "[2,2]", "[[1,2],[3]]"), "inputs.x.data", "has a list of 1 where"},
           {Input("FP32", "[2,2]", "[[1,2],[3,4],[5,6]]"), "inputs.x.data", "more than 2"},
           {Input("FP32", "[2,2]", "[[1,2,3],[4]]"), "inputs.x.data", "has a list of 3 where"},
           {Input("FP32", "[2,2]", "[[[1],[2]],[[3],[4]]]"), "inputs.x.data", "no FP32"},
           {Input("FP32", "[2,1,2]", "[[1,2],[3,4]]"), "inputs.x.data", "less deeply"},
           {Input("FP32", "[2,2]", "[[1,2],3,4]"), "inputs.x.data", "mixes"},
           {Input("FP32", "[2,2]", "[1,2,[3,4]]"), "inputs.x.data", "at place 2 no FP32"},
           {Input("FP32", "[1]", "[\"1\"]"), "inputs.x.data", "at place 0 no FP32"},
           {Input("FP32", "[2]", "[1,null]"), "inputs.x.data", "at place 1 no FP32"},
           {Input("FP32", "[1]", "[1e39]"), "inputs.x.data", "no FP32"},
           {Input("FP64", "[1]", "[1e999]"), "inputs.x.data", "no FP64"},
           {Input("INT8", "[1]", "[128]"), "inputs.x.data", "no INT8"},
           {Input("UINT8", "[1]", "[-1]"), "inputs.x.data", "no UINT8"},
           {Input("INT32", "[1]", "[1.5]"), "inputs.x.data", "no INT32"},
           {Input("INT32", "[1]", "[2147483648]"), "inputs.x.data", "no INT32"},
           {Input("INT64", "[1]", "[9223372036854775808]"), "inputs.x.data", "no INT64"},
           {Input("UINT64", "[1]", "[18446744073709551616]"), "inputs.x.data", "no UINT64"},
           {Input("BOOL", "[1]", "[1]"), "inputs.x.data", "no BOOL"},
           {Input("BYTES", "[1]", "[1]"), "inputs.x.data", "no BYTES"},
           {R"({"outputs":[{"name":""}],"inputs":[]})", "outputs[0].name", "is missing"},
           {R"({"outputs":[{}]})", "outputs[0].name", "is missing"},
           {R"({"outputs":5})", "outputs", "must be a list"},
       }) {
    const auto request = Read(wrong.body);
    ASSERT_FALSE(request.ok()) << wrong.body;
    EXPECT_EQ(ToHttpCode(request.status()), 400) << wrong.body;
    EXPECT_EQ(FieldOf(request.status()), wrong.field) << wrong.body << request.status();
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(wrong.problem)) << wrong.body;
  }
}

TEST(ReadInferRequestTest, SaysWhereTheSyntaxBreaks) {
  const std::string good = Input("FP32", "[3]", "[1,2,3]");
  EXPECT_THAT(Read(good + "x").status().ToString(), HasSubstr("at byte"));
  EXPECT_THAT(Read(good + good).status().ToString(), HasSubstr("at byte"));
  for (const std::string& data : {std::string("[1,,3]"), std::string("[1 2 3]")}) {
    const std::string body = Input("FP32", "[3]", data);
    EXPECT_EQ(ToHttpCode(Read(body).status()), 400) << body;
  }
  EXPECT_EQ(ToHttpCode(Read("{\"id\":\"\xff\"}").status()), 400);
}

TEST(ReadInferRequestTest, NoPrefixAndNoChangedByteIsTakenForAnotherTensorOrCrashes) {
  const std::string good =
      R"({"id":"i","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4]]},)"
      R"({"name":"y","shape":[1],"datatype":"BYTES","data":["abc"]}],"outputs":[{"name":"o"}]})";
  ASSERT_TRUE(Read(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(ToHttpCode(Read(good.substr(0, size)).status()), 400) << size;
  }
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string body = good;
    const int changes = 1 + static_cast<int>(random() % 3);
    for (int c = 0; c < changes; ++c) {
      const size_t at = random() % body.size();
      switch (random() % 3) {
        case 0:
          body[at] = static_cast<char>(random());
          break;
        case 1:
          body.erase(at, 1 + random() % 4);
          break;
        default:
          body.insert(at, 1, "[]{},:\"01.-e\\"[random() % 13]);
      }
      if (body.empty()) body = " ";
    }
    const auto request = Read(body);
    if (!request.ok()) {
      ASSERT_EQ(ToHttpCode(request.status()), 400);
      continue;
    }
    // What it took, another parser takes, and the sizes fit.
    ++taken;
    ASSERT_TRUE(nlohmann::json::accept(body)) << body;
    for (int t = 0; t < request->inputs_size(); ++t) {
      int64_t count = 1;
      for (const int64_t size : request->inputs(t).shape()) count *= size;
      if (request->inputs(t).datatype() == "FP32") {
        ASSERT_EQ(request->raw_input_contents(t).size(), static_cast<size_t>(count) * 4) << body;
      }
    }
  }
  EXPECT_GT(taken, 100);
}

TEST(ReadInferRequestTest, DeepNestingCostsNothing) {
  EXPECT_EQ(ToHttpCode(Read(Input("FP32", "[1]", std::string(1 << 20, '['))).status()), 400);
  EXPECT_EQ(ToHttpCode(Read("{\"x\":" + std::string(1 << 20, '[')).status()), 400);
}

// ---- Binary tensors behind the JSON
// --------------------------------------------------------------

std::string Head(std::string_view inputs) { return fmt::format(R"({{"inputs":[{}]}})", inputs); }

TEST(ReadBinaryRequestTest, TakesBinaryAndJsonTensorsInOneRequest) {
  const std::string head = Head(
      R"({"name":"a","datatype":"BF16","shape":[2],"parameters":{"binary_data_size":4,"p":1}},)"
      R"({"name":"b","datatype":"INT8","shape":[2],"data":[1,2]},)"
      R"({"name":"c","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}})");
  AnswerForm form;
  const auto request = Read(head + std::string("wxyz\2\0\0\0hi", 10), &form, head.size());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->raw_input_contents(0), "wxyz");
  EXPECT_EQ(request->raw_input_contents(1), "\1\2");
  EXPECT_EQ(request->raw_input_contents(2), std::string("\2\0\0\0hi", 6));
  EXPECT_EQ(request->inputs(0).parameters().size(), 1u);
  EXPECT_EQ(request->inputs(0).parameters().at("p").int64_param(), 1);
  EXPECT_FALSE(form.binary);
}

TEST(ReadBinaryRequestTest, LargeTensorsAreNotCopied) {
  const std::string head = Head(R"({"name":"a","datatype":"UINT8","shape":[100000],)"
                                R"("parameters":{"binary_data_size":100000}})");
  std::string body = head + std::string(100'000, 'x');
  const char* const tensor = body.data() + head.size();
  InferRequest request;
  AnswerForm form;
  ASSERT_TRUE(ReadInferRequest(std::move(body), head.size(), request, form).ok());
  const absl::Cord message = Serialize(request);
  bool found = false;
  for (const absl::string_view chunk : message.Chunks()) found = found || chunk.data() == tensor;
  EXPECT_TRUE(found);
}

TEST(ReadBinaryRequestTest, WhatFollowsMustBeExactlyTheTensors) {
  const std::string head =
      Head(R"({"name":"a","datatype":"INT8","shape":[4],"parameters":{"binary_data_size":4}})");
  EXPECT_TRUE(Read(head + "abcd", nullptr, head.size()).ok());
  for (const char* binary : {"", "abc", "abcde"}) {
    EXPECT_EQ(ToHttpCode(Read(head + binary, nullptr, head.size()).status()), 400) << binary;
  }
  EXPECT_EQ(FieldOf(Read(head + "abcd", nullptr, head.size() + 5).status()),
            "inference-header-content-length");
  EXPECT_EQ(ToHttpCode(Read(head + "abcd", nullptr, head.size() - 1).status()), 400);
  const std::string huge = Head(R"({"name":"a","datatype":"INT8","shape":[4],)"
                                R"("parameters":{"binary_data_size":9223372036854775807}})");
  EXPECT_EQ(ToHttpCode(Read(huge + "abcd", nullptr, huge.size()).status()), 400);
}

TEST(ReadBinaryRequestTest, TheAnswersFormIsTheDoorsOwn) {
  AnswerForm form;
  const auto request = Read(
      R"({"parameters":{"binary_data_output":true,"k":1},
          "inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}],
          "outputs":[{"name":"a","parameters":{"binary_data":false,"classification":2}},
                     {"name":"b"}]})",
      &form);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(form.binary);
  EXPECT_THAT(form.outputs, ElementsAre(std::pair<std::string, bool>("a", false)));
  EXPECT_EQ(request->parameters().size(), 1u);
  EXPECT_EQ(request->outputs(0).parameters().size(), 1u);
  EXPECT_EQ(request->outputs(0).parameters().at("classification").int64_param(), 2);
}

registry::v1::Signature SignatureOf(std::string_view datatype, std::vector<int64_t> shape) {
  registry::v1::Signature signature;
  auto& input = *signature.add_inputs();
  input.set_name("x");
  input.set_datatype(std::string(datatype));
  for (const int64_t size : shape) input.add_shape(size);
  return signature;
}

TEST(ReadRawRequestTest, TheBodyIsTheOneInput) {
  InferRequest request;
  AnswerForm form;
  ASSERT_TRUE(ReadRawRequest("abcdefgh", SignatureOf("FP32", {-1, -1}), request, form).ok());
  EXPECT_EQ(request.contents[0], "abcdefgh");
  EXPECT_EQ(request.head.inputs(0).name(), "x");
  EXPECT_EQ(request.head.inputs(0).datatype(), "FP32");
  EXPECT_THAT(request.head.inputs(0).shape(), ElementsAre(1, 2));
  EXPECT_TRUE(form.binary);

  InferRequest text;
  ASSERT_TRUE(ReadRawRequest("hello", SignatureOf("BYTES", {-1}), text, form).ok());
  EXPECT_EQ(text.contents[0], absl::string_view("\5\0\0\0hello", 9));
  EXPECT_THAT(text.head.inputs(0).shape(), ElementsAre(1));

  InferRequest refused;
  EXPECT_EQ(ToHttpCode(ReadRawRequest("ab", SignatureOf("INT8", {-1, -1, -1}), refused, form)),
            400);
  EXPECT_EQ(ToHttpCode(ReadRawRequest("ab", registry::v1::Signature(), refused, form)), 400);
}

// ---- Answers -----------------------------------------------------------------------------------

ModelInferResponse Response(std::string_view type, std::vector<int64_t> shape, std::string raw) {
  ModelInferResponse response;
  auto& output = *response.add_outputs();
  output.set_name("o");
  output.set_datatype(std::string(type));
  for (const int64_t size : shape) output.add_shape(size);
  response.add_raw_output_contents(std::move(raw));
  return response;
}

absl::StatusOr<InferBody> Write(const ModelInferResponse& response, const AnswerForm& form = {},
                                std::string_view name = "m", std::string_view version = "1") {
  ASSIGN_OR_RETURN(const InferAnswer answer,
                   ParseInferAnswer(absl::Cord(response.SerializeAsString())));
  return WriteInferAnswer(answer, form, name, version);
}

std::string DataOf(std::string_view type, std::vector<int64_t> shape, std::string raw) {
  const auto body = Write(Response(type, std::move(shape), std::move(raw)));
  if (!body.ok()) return body.status().ToString();
  return nlohmann::json::parse(body->bytes)["outputs"][0]["data"].dump();
}

TEST(WriteInferResponseTest, WritesEveryPartOfAnAnswer) {
  ModelInferResponse response = Response("FP32", {1, 2}, Raw<float>({0.1f, -2}));
  response.set_id("7\"");
  (*response.mutable_parameters())["slipway_compute_micros"].set_int64_param(99);
  (*response.mutable_parameters())["a"].set_string_param("b\n");
  const auto text = Write(response, {}, "digits", "3");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_FALSE(text->json_bytes);
  EXPECT_EQ(text->bytes,
            R"({"model_name":"digits","model_version":"3","id":"7\"","parameters":{"a":"b\u000a"},)"
            R"("outputs":[{"name":"o","shape":[1,2],"datatype":"FP32","data":[0.1,-2]}]})");
}

TEST(WriteInferResponseTest, WritesEveryDatatype) {
  EXPECT_EQ(DataOf("BOOL", {2}, std::string("\0\1", 2)), "[false,true]");
  EXPECT_EQ(DataOf("UINT8", {2}, Raw<uint8_t>({0, 255})), "[0,255]");
  EXPECT_EQ(DataOf("INT8", {2}, Raw<int8_t>({-128, 127})), "[-128,127]");
  EXPECT_EQ(DataOf("UINT16", {1}, Raw<uint16_t>({65535})), "[65535]");
  EXPECT_EQ(DataOf("INT16", {1}, Raw<int16_t>({-32768})), "[-32768]");
  EXPECT_EQ(DataOf("UINT32", {1}, Raw<uint32_t>({4294967295u})), "[4294967295]");
  EXPECT_EQ(DataOf("INT32", {1}, Raw<int32_t>({-2147483647 - 1})), "[-2147483648]");
  EXPECT_EQ(DataOf("UINT64", {1}, Raw<uint64_t>({18446744073709551615u})),
            "[18446744073709551615]");
  EXPECT_EQ(DataOf("INT64", {1}, Raw<int64_t>({std::numeric_limits<int64_t>::min()})),
            "[-9223372036854775808]");
  EXPECT_EQ(DataOf("FP64", {1}, Raw<double>({-2.2250738585072014e-308})),
            "[-2.2250738585072014e-308]");
  EXPECT_EQ(DataOf("BYTES", {2}, std::string("\1\0\0\0a\3\0\0\0\xe2\x82\xac", 12)),
            "[\"a\",\"\xe2\x82\xac\"]");
  EXPECT_EQ(DataOf("FP32", {}, Raw<float>({1})), "[1]");
}

TEST(WriteInferResponseTest, NumbersReadBackAsTheyWere) {
  std::mt19937_64 random(11);
  std::string raw;
  for (int i = 0; i < 20'000; ++i) {
    float value;
    const uint32_t bits = static_cast<uint32_t>(random());
    std::memcpy(&value, &bits, 4);
    if (!std::isfinite(value)) value = 1;
    raw.append(reinterpret_cast<const char*>(&value), 4);
  }
  const auto text = Write(Response("FP32", {20'000}, raw));
  ASSERT_TRUE(text.ok());
  std::string again = text->bytes;
  const size_t inputs = again.find("\"outputs\"");
  again.replace(inputs, 9, "\"inputs\"");
  const auto request = Read(again);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->raw_input_contents(0) == raw);
}

TEST(WriteInferResponseTest, WhatJsonLacksIsNull) {
  EXPECT_EQ(DataOf("FP32", {3},
                   Raw<float>({std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity()})),
            "[null,null,null]");
}

TEST(WriteInferResponseTest, RefusesWhatJsonCannotCarry) {
  EXPECT_THAT(DataOf("FP16", {1}, "ab"), HasSubstr("which JSON cannot carry"));
  for (const std::string bad : {"\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                                "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    const uint32_t size = static_cast<uint32_t>(bad.size());
    EXPECT_THAT(DataOf("BYTES", {1}, std::string(reinterpret_cast<const char*>(&size), 4) + bad),
                HasSubstr("not UTF-8"));
  }
}

TEST(WriteInferResponseTest, BinaryOutputsFollowTheJson) {
  ModelInferResponse response = Response("BF16", {2}, "abcd");
  (*response.mutable_outputs(0)->mutable_parameters())["p"].set_bool_param(true);
  auto& second = *response.add_outputs();
  second.set_name("n");
  second.set_datatype("INT8");
  second.add_shape(1);
  response.add_raw_output_contents("\5");
  const auto mixed = Write(response, {.binary = true, .outputs = {{"n", false}}});
  ASSERT_TRUE(mixed.ok()) << mixed.status();
  ASSERT_TRUE(mixed->json_bytes);
  EXPECT_EQ(mixed->bytes.substr(*mixed->json_bytes), "abcd");
  EXPECT_EQ(mixed->bytes.substr(0, *mixed->json_bytes),
            R"({"model_name":"m","model_version":"1","outputs":[{"name":"o","shape":[2],)"
            R"("datatype":"BF16","parameters":{"p":true,"binary_data_size":4}},)"
            R"({"name":"n","shape":[1],"datatype":"INT8","data":[5]}]})");
  const auto all = Write(response, {.binary = true, .outputs = {}});
  EXPECT_EQ(all->bytes.substr(*all->json_bytes), "abcd\5");
  EXPECT_THAT(all->bytes, HasSubstr(R"("datatype":"INT8","parameters":{"binary_data_size":1}})"));
  EXPECT_EQ(ToHttpCode(Write(response, {.binary = false, .outputs = {{"n", true}}}).status()), 400);
}

TEST(WriteInferResponseTest, AnAnswerInManyPiecesIsTheSame) {
  std::string raw(300'000, '\0');
  std::mt19937 random(3);
  for (char& byte : raw) byte = static_cast<char>(random() % 100);
  const std::string message = Response("INT8", {300'000}, raw).SerializeAsString();
  absl::Cord pieces;
  for (size_t at = 0; at < message.size();) {
    const size_t size = std::min<size_t>(1 + random() % 9000, message.size() - at);
    pieces.Append(absl::MakeCordFromExternal({message.data() + at, size}, [] {}));
    at += size;
  }
  const auto answer = ParseInferAnswer(pieces);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->contents[0], raw);
  const auto binary = WriteInferAnswer(*answer, {.binary = true, .outputs = {}}, "m", "1");
  EXPECT_EQ(binary->bytes.substr(*binary->json_bytes), raw);
  EXPECT_EQ(WriteInferAnswer(*answer, {}, "m", "1")->bytes,
            Write(Response("INT8", {300'000}, raw))->bytes);
}

TEST(ParseInferAnswerTest, TellsWhatIsNoAnswer) {
  const std::string good = Response("INT8", {3}, "abc").SerializeAsString();
  EXPECT_TRUE(ParseInferAnswer(absl::Cord(good)).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    const auto cut = ParseInferAnswer(absl::Cord(good.substr(0, size)));
    if (cut.ok()) {
      EXPECT_TRUE(cut->contents.empty()) << size;
    }
  }
  std::mt19937 random(5);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    (void)ParseInferAnswer(absl::Cord(bytes));
  }
}

TEST(ParseInferAnswerTest, TheComputeTimeIsNoParameterOfTheCallers) {
  ModelInferResponse response = Response("INT8", {1}, "a");
  (*response.mutable_parameters())["slipway_compute_micros"].set_int64_param(99);
  const auto answer = ParseInferAnswer(absl::Cord(response.SerializeAsString()));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->compute_micros, 99);
  EXPECT_TRUE(answer->head.parameters().empty());
}

TEST(WriteInferResponseTest, AWorkersBrokenTensorIsOurFault) {
  for (const auto& response :
       {Response("FP32", {2}, "abc"), Response("FP32", {-1}, "abcd"), Response("NONE", {1}, "a"),
        Response("BYTES", {1}, std::string("\5\0\0\0a", 5)), Response("BYTES", {1}, "ab"),
        Response("BYTES", {1}, std::string("\0\0\0\0x", 5)),
        Response("FP32", {int64_t{1} << 62, 4}, "")}) {
    EXPECT_EQ(Write(response).status().code(), absl::StatusCode::kInternal);
  }
  ModelInferResponse typed = Response("FP32", {1}, "abcd");
  typed.clear_raw_output_contents();
  EXPECT_EQ(Write(typed).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace slipway::gateway
