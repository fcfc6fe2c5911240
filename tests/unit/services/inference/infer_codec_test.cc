#include "services/inference/infer_codec.h"

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::inference::ModelInferRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
std::string Bytes(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return bytes;
}

const std::string kTenant = "acme";
const TenantMemory kNoMemory = {nullptr, kTenant};

// Two inputs and two outputs.
const Signature kSignature = {
    {{"x", DataType::kFp32, {-1, 2}}, {"mask", DataType::kBool, {-1}}},
    {{"scores", DataType::kFp32, {-1, 3}}, {"label", DataType::kInt64, {-1}}}};

ModelInferRequest::InferInputTensor& AddInput(ModelInferRequest& request, const std::string& name,
                                              const std::string& type,
                                              std::initializer_list<int64_t> shape) {
  auto& input = *request.add_inputs();
  input.set_name(name);
  input.set_datatype(type);
  for (const int64_t dim : shape) input.add_shape(dim);
  return input;
}

ModelInferRequest Good() {
  ModelInferRequest request;
  AddInput(request, "x", "FP32", {2, 2});
  AddInput(request, "mask", "BOOL", {2});
  request.add_raw_input_contents(Bytes<float>({1, 2, 3, 4}));
  request.add_raw_input_contents(std::string("\1\0", 2));
  return request;
}

TEST(DecodeInputsTest, BorrowsRawContentsInTheSignaturesOrder) {
  ModelInferRequest request = Good();
  request.mutable_inputs()->SwapElements(0, 1);
  request.mutable_raw_input_contents()->SwapElements(0, 1);
  const auto inputs = DecodeInputs(request, kSignature, kNoMemory);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_EQ((*inputs)[0].name(), "x");
  EXPECT_EQ((*inputs)[0].shape(), Shape({2, 2}));
  EXPECT_EQ((*inputs)[0].data().data(), request.raw_input_contents(1).data());
  EXPECT_EQ((*inputs)[1].name(), "mask");
}

// Each row changes a good request into a bad one.
TEST(DecodeInputsTest, RefusesWhatDoesNotFitNamingTheTensor) {
  const int64_t huge = (int64_t{1} << 60) + 2;
  const struct {
    const char* rule;
    std::function<void(ModelInferRequest&)> spoil;
    const char* field;
    const char* text;
  } rows[] = {
      {"missing input",
       [](auto& r) {
         r.mutable_inputs()->RemoveLast();
         r.mutable_raw_input_contents()->RemoveLast();
       },
       "inputs.mask", "is missing"},
      {"no inputs at all", [](auto& r) { r.Clear(); }, "inputs.x", "is missing"},
      {"extra input",
       [](auto& r) {
         AddInput(r, "extra", "FP32", {2, 2});
         r.add_raw_input_contents("");
       },
       "inputs.extra", "takes x, mask"},
      {"an input twice",
       [](auto& r) {
         AddInput(r, "x", "FP32", {2, 2});
         r.add_raw_input_contents(Bytes<float>({1, 2, 3, 4}));
       },
       "inputs.x", "twice"},
      {"a long name is cut",
       [](auto& r) { r.mutable_inputs(0)->set_name(std::string(10'000, 'n')); }, nullptr,
       "is no input"},
      {"wrong datatype", [](auto& r) { r.mutable_inputs(0)->set_datatype("FP64"); },
       "inputs.x.datatype", "must be FP32, got \"FP64\""},
      {"no datatype", [](auto& r) { r.mutable_inputs(0)->clear_datatype(); }, "inputs.x.datatype",
       "must be FP32"},
      {"wrong rank", [](auto& r) { r.mutable_inputs(0)->add_shape(1); }, "inputs.x.shape",
       "must be [-1, 2], got [2, 2, 1]"},
      {"no shape", [](auto& r) { r.mutable_inputs(0)->clear_shape(); }, "inputs.x.shape",
       "must be [-1, 2]"},
      {"wrong dimension", [](auto& r) { r.mutable_inputs(0)->set_shape(1, 3); }, "inputs.x.shape",
       "must be [-1, 2], got [2, 3]"},
      {"negative dimension", [](auto& r) { r.mutable_inputs(0)->set_shape(0, -1); },
       "inputs.x.shape", "must be > 0"},
      {"zero dimension", [](auto& r) { r.mutable_inputs(0)->set_shape(0, 0); }, "inputs.x.shape",
       "must be > 0"},
      {"a hundred dimensions",
       [](auto& r) {
         for (int i = 0; i < 98; ++i) r.mutable_inputs(0)->add_shape(1);
       },
       "inputs.x.shape", "got 100 dimensions"},
      {"element count beyond 63 bits",
       [&](auto& r) { r.mutable_inputs(0)->set_shape(0, huge * 4); }, "inputs.x.shape", ""},
      {"byte count beyond 63 bits", [&](auto& r) { r.mutable_inputs(0)->set_shape(0, huge); },
       "inputs.x.shape", "too many bytes"},
      {"too few bytes", [](auto& r) { r.mutable_raw_input_contents(0)->resize(15); }, "inputs.x",
       "takes 16 bytes, got 15"},
      {"too many bytes", [](auto& r) { r.mutable_raw_input_contents(0)->resize(17); }, "inputs.x",
       "takes 16 bytes, got 17"},
      {"fewer raw contents than inputs",
       [](auto& r) { r.mutable_raw_input_contents()->RemoveLast(); }, "raw_input_contents",
       "each of the 2 inputs, got 1"},
      {"more raw contents than inputs", [](auto& r) { r.add_raw_input_contents("x"); },
       "raw_input_contents", "got 3"},
      {"raw and typed contents together",
       [](auto& r) { r.mutable_inputs(1)->mutable_contents()->add_bool_contents(true); },
       "inputs.mask.contents", "must be empty"},
      {"neither raw nor typed contents", [](auto& r) { r.clear_raw_input_contents(); },
       "inputs.x.contents", "is missing"},
      {"rows that do not belong together",
       [](auto& r) {
         r.mutable_inputs(1)->set_shape(0, 3);
         *r.mutable_raw_input_contents(1) = std::string(3, '\1');
       },
       "inputs.mask.shape", "has 3 rows, x has 2"},
  };
  for (const auto& row : rows) {
    ModelInferRequest request = Good();
    row.spoil(request);
    const absl::Status status = DecodeInputs(request, kSignature, kNoMemory).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << row.rule << ": " << status;
    if (row.field != nullptr) {
      EXPECT_EQ(FieldOf(status), row.field) << row.rule;
    }
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.text)) << row.rule;
    EXPECT_LT(status.message().size(), 500u) << row.rule;
  }
}

TEST(DecodeInputsTest, RefusesTheContractsOverflow) {
  const Signature signature = {{{"x", DataType::kFp32, {-1, -1}}}, {}};
  ModelInferRequest request;
  AddInput(request, "x", "FP32", {16, (int64_t{1} << 60) + 2});
  // What 16 * (2^60 + 2) * 4 is in 64 bits: 128.
  request.add_raw_input_contents(std::string(128, '\0'));
  const absl::Status status = DecodeInputs(request, signature, kNoMemory).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(FieldOf(status), "inputs.x.shape");
}

TEST(DecodeInputsTest, TakesTypedContentsOfEveryType) {
  const struct {
    const char* type;
    std::function<void(inference::InferTensorContents&)> fill;
    std::string bytes;
  } rows[] = {
      {"BOOL", [](auto& c) { c.add_bool_contents(true), c.add_bool_contents(false); },
       Bytes<uint8_t>({1, 0})},
      {"INT8", [](auto& c) { c.add_int_contents(-128), c.add_int_contents(127); },
       Bytes<int8_t>({-128, 127})},
      {"INT16", [](auto& c) { c.add_int_contents(-2), c.add_int_contents(3); },
       Bytes<int16_t>({-2, 3})},
      {"INT32", [](auto& c) { c.add_int_contents(-2), c.add_int_contents(3); },
       Bytes<int32_t>({-2, 3})},
      {"INT64", [](auto& c) { c.add_int64_contents(-2), c.add_int64_contents(int64_t{1} << 40); },
       Bytes<int64_t>({-2, int64_t{1} << 40})},
      {"UINT8", [](auto& c) { c.add_uint_contents(0), c.add_uint_contents(255); },
       Bytes<uint8_t>({0, 255})},
      {"UINT16", [](auto& c) { c.add_uint_contents(1), c.add_uint_contents(2); },
       Bytes<uint16_t>({1, 2})},
      {"UINT32", [](auto& c) { c.add_uint_contents(1), c.add_uint_contents(4'000'000'000); },
       Bytes<uint32_t>({1, 4'000'000'000})},
      {"UINT64", [](auto& c) { c.add_uint64_contents(1), c.add_uint64_contents(~0ULL); },
       Bytes<uint64_t>({1, ~uint64_t{0}})},
      {"FP32", [](auto& c) { c.add_fp32_contents(1.5), c.add_fp32_contents(-2); },
       Bytes<float>({1.5, -2})},
      {"FP64", [](auto& c) { c.add_fp64_contents(1.5), c.add_fp64_contents(-2); },
       Bytes<double>({1.5, -2})},
      {"BYTES", [](auto& c) { c.add_bytes_contents("ab"), c.add_bytes_contents(""); },
       Bytes<uint32_t>({2}) + "ab" + Bytes<uint32_t>({0})},
  };
  for (const auto& row : rows) {
    const Signature signature = {{{"x", *ParseDataType(row.type), {2}}}, {}};
    ModelInferRequest request;
    row.fill(*AddInput(request, "x", row.type, {2}).mutable_contents());
    const auto inputs = DecodeInputs(request, signature, kNoMemory);
    ASSERT_TRUE(inputs.ok()) << row.type << ": " << inputs.status();
    EXPECT_EQ((*inputs)[0].data().view(), row.bytes) << row.type;
  }
}

TEST(DecodeInputsTest, RefusesTypedContentsThatDoNotFit) {
  const struct {
    const char* rule;
    const char* type;
    std::function<void(inference::InferTensorContents&)> fill;
  } rows[] = {
      {"too few", "FP32", [](auto& c) { c.add_fp32_contents(1); }},
      {"too many", "FP32",
       [](auto& c) {
         for (int i = 0; i < 3; ++i) c.add_fp32_contents(1);
       }},
      {"another type's field", "FP32",
       [](auto& c) { c.add_fp64_contents(1), c.add_fp64_contents(2); }},
      {"two fields", "FP32",
       [](auto& c) { c.add_fp32_contents(1), c.add_fp32_contents(1), c.add_int_contents(1); }},
      {"beyond INT8", "INT8", [](auto& c) { c.add_int_contents(128), c.add_int_contents(0); }},
      {"below INT16", "INT16", [](auto& c) { c.add_int_contents(-32769), c.add_int_contents(0); }},
      {"beyond UINT8", "UINT8", [](auto& c) { c.add_uint_contents(256), c.add_uint_contents(0); }},
      {"FP16 is raw only", "FP16", [](auto& c) { c.add_fp32_contents(1), c.add_fp32_contents(1); }},
      {"BF16 is raw only", "BF16", [](auto& c) { c.add_fp32_contents(1), c.add_fp32_contents(1); }},
  };
  for (const auto& row : rows) {
    const Signature signature = {{{"x", *ParseDataType(row.type), {2}}}, {}};
    ModelInferRequest request;
    row.fill(*AddInput(request, "x", row.type, {2}).mutable_contents());
    const absl::Status status = DecodeInputs(request, signature, kNoMemory).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << row.rule;
    EXPECT_EQ(FieldOf(status), "inputs.x.contents") << row.rule << status;
  }
}

TEST(DecodeInputsTest, ChecksRawTextsElementByElement) {
  const Signature signature = {{{"x", DataType::kBytes, {2}}}, {}};
  const std::string good = Bytes<uint32_t>({2}) + "ab" + Bytes<uint32_t>({0});
  const auto decode = [&](const std::string& raw) {
    ModelInferRequest request;
    AddInput(request, "x", "BYTES", {2});
    request.add_raw_input_contents(raw);
    return DecodeInputs(request, signature, kNoMemory).status();
  };
  EXPECT_TRUE(decode(good).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(decode(good.substr(0, 9))));
  EXPECT_TRUE(absl::IsInvalidArgument(decode(good + "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(decode(Bytes<uint32_t>({~0u, 0}))));
}

std::vector<size_t> Places(const ModelInferRequest& request) {
  std::vector<size_t> places;
  const auto choices = ChooseOutputs(request, kSignature);
  for (const OutputChoice& choice : *choices) places.push_back(choice.place);
  return places;
}

TEST(ChooseOutputsTest, AnswersAllUnlessSomeAreNamed) {
  ModelInferRequest request;
  EXPECT_THAT(Places(request), ElementsAre(0, 1));
  request.add_outputs()->set_name("label");
  EXPECT_THAT(Places(request), ElementsAre(1));
  request.add_outputs()->set_name("scores");
  EXPECT_THAT(Places(request), ElementsAre(1, 0));
}

TEST(ChooseOutputsTest, RefusesUnknownAndRepeatedOnes) {
  ModelInferRequest request;
  request.add_outputs()->set_name("nothing");
  EXPECT_EQ(FieldOf(ChooseOutputs(request, kSignature).status()), "outputs.nothing");
  request.mutable_outputs(0)->set_name("label");
  request.add_outputs()->set_name("label");
  EXPECT_EQ(FieldOf(ChooseOutputs(request, kSignature).status()), "outputs.label");
}

TEST(ChooseOutputsTest, TakesCountsOfBothIntegerTypesAndNoOthers) {
  ModelInferRequest request;
  auto& output = *request.add_outputs();
  output.set_name("scores");
  auto& count = (*output.mutable_parameters())["classification"];
  count.set_int64_param(3);
  EXPECT_EQ(ChooseOutputs(request, kSignature)->front().top_count, 3);
  count.set_uint64_param(~uint64_t{0});
  EXPECT_EQ(ChooseOutputs(request, kSignature)->front().top_count, INT64_MAX);
  count.set_int64_param(-1);
  EXPECT_EQ(FieldOf(ChooseOutputs(request, kSignature).status()),
            "outputs.scores.parameters.classification");
  count.set_string_param("3");
  EXPECT_FALSE(ChooseOutputs(request, kSignature).ok());
}

class EncodeResponseTest : public testing::Test {
 protected:
  Metrics metrics_{"worker"};
  const ServedModel model_{.deployment = {"acme", "shoes"},
                           .version = {{"acme", "cnn"}, 7},
                           .deployment_name = "tenants/acme/deployments/shoes",
                           .version_name = "tenants/acme/models/cnn/versions/7",
                           .version_number = "7",
                           .platform = "fake",
                           .parallelism = {},
                           .labels = {"boot", "sandal"},
                           .signature = kSignature,
                           .queue = nullptr,
                           .metrics = ModelMetrics(metrics_, "d", "v")};
  const TensorBatch outputs_ = {
      *Tensor::Make("scores", DataType::kFp32, {1, 3}, Buffer::Own(Bytes<float>({1, 3, 2})), ""),
      *Tensor::Make("label", DataType::kInt64, {1}, Buffer::Own(Bytes<int64_t>({2})), "")};
  inference::ModelInferResponse response_;
};

TEST_F(EncodeResponseTest, EchoesTheIdAndAnswersRawContents) {
  ModelInferRequest request;
  request.set_model_name("tenants/acme/deployments/shoes");
  request.set_id("request-1");
  ASSERT_TRUE(EncodeResponse(request, model_, outputs_, {{.place = 1}}, kNoMemory,
                             absl::Microseconds(42), response_)
                  .ok());
  EXPECT_EQ(response_.model_name(), "tenants/acme/deployments/shoes");
  EXPECT_EQ(response_.model_version(), "7");
  EXPECT_EQ(response_.id(), "request-1");
  EXPECT_EQ(response_.parameters().at(kComputeMicrosParameter).int64_param(), 42);
  ASSERT_EQ(response_.outputs_size(), 1);
  EXPECT_EQ(response_.outputs(0).name(), "label");
  EXPECT_EQ(response_.outputs(0).datatype(), "INT64");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(1));
  EXPECT_FALSE(response_.outputs(0).has_contents());
  EXPECT_THAT(response_.raw_output_contents(), ElementsAre(Bytes<int64_t>({2})));
}

TEST_F(EncodeResponseTest, AnswersTheBestClassesWhereTheyAreAskedFor) {
  ASSERT_TRUE(EncodeResponse({}, model_, outputs_, {{.place = 0, .top_count = 2}}, kNoMemory,
                             absl::ZeroDuration(), response_)
                  .ok());
  EXPECT_EQ(response_.outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(1, 2));
  EXPECT_EQ(response_.raw_output_contents(0), EncodeTexts({"3.000000:1:sandal", "2.000000:2"}));
}

TEST_F(EncodeResponseTest, RefusesSharedMemoryWhereItIsNotOffered) {
  EXPECT_EQ(FieldOf(EncodeResponse({}, model_, outputs_,
                                   {{.place = 0, .memory = MemorySlice{.region = "r"}}}, kNoMemory,
                                   absl::ZeroDuration(), response_)),
            "outputs.scores.parameters.shared_memory_region");
  ModelInferRequest request = Good();
  (*request.mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_string_param("r");
  request.mutable_raw_input_contents()->DeleteSubrange(0, 1);
  EXPECT_EQ(FieldOf(DecodeInputs(request, kSignature, kNoMemory).status()),
            "inputs.x.parameters.shared_memory_region");
}

}  // namespace
}  // namespace slipway::worker
