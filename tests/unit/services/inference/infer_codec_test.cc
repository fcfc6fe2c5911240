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

TEST(ParseRequestTest, LeavesRawContentsWhereTheyAre) {
  ModelInferRequest good = Good();
  good.set_model_name("given");
  good.set_id("id-1");
  ModelInferRequest fields;  // as a gateway adds them behind the caller's
  fields.set_model_name("tenants/acme/deployments/shoes");
  fields.set_model_version("3");
  const std::string bytes = good.SerializeAsString() + fields.SerializeAsString();
  ModelInferRequest request;
  RawContents contents;
  ASSERT_TRUE(ParseRequest(bytes, request, contents).ok());
  EXPECT_EQ(request.model_name(), "tenants/acme/deployments/shoes");
  EXPECT_EQ(request.model_version(), "3");
  EXPECT_EQ(request.id(), "id-1");
  EXPECT_EQ(request.inputs_size(), 2);
  EXPECT_EQ(request.raw_input_contents_size(), 0);
  EXPECT_THAT(contents, ElementsAre(good.raw_input_contents(0), good.raw_input_contents(1)));
  for (const std::string_view content : contents) {
    EXPECT_GE(content.data(), bytes.data());
    EXPECT_LE(content.data() + content.size(), bytes.data() + bytes.size());
  }
}

TEST(ParseRequestTest, RefusesWhatIsNoRequest) {
  const std::string good = Good().SerializeAsString();
  for (size_t size = 1; size < good.size(); ++size) {
    ModelInferRequest request;
    RawContents contents;
    EXPECT_EQ(ParseRequest(good.substr(0, size), request, contents).ok(),
              ModelInferRequest().ParseFromString(good.substr(0, size)))
        << size;
  }
  ModelInferRequest request;
  RawContents contents;
  EXPECT_TRUE(absl::IsInvalidArgument(ParseRequest("\x3a\x7f", request, contents)));
}

absl::StatusOr<TensorBatch> Decode(const ModelInferRequest& request, const Signature& signature) {
  const RawContents contents(request.raw_input_contents().begin(),
                             request.raw_input_contents().end());
  return DecodeInputs(request, contents, signature, kNoMemory);
}

TEST(DecodeInputsTest, BorrowsRawContentsInTheSignaturesOrder) {
  ModelInferRequest request = Good();
  request.mutable_inputs()->SwapElements(0, 1);
  request.mutable_raw_input_contents()->SwapElements(0, 1);
  const auto inputs = Decode(request, kSignature);
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
    const absl::Status status = Decode(request, kSignature).status();
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
  const absl::Status status = Decode(request, signature).status();
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
    const auto inputs = Decode(request, signature);
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
    const absl::Status status = Decode(request, signature).status();
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
    return Decode(request, signature).status();
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

class EncodeAnswerTest : public testing::Test {
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
  InferAnswer answer_{response_, {}};
};

TEST_F(EncodeAnswerTest, EchoesTheIdAndAnswersRawContents) {
  ModelInferRequest request;
  request.set_model_name("tenants/acme/deployments/shoes");
  request.set_id("request-1");
  ASSERT_TRUE(EncodeAnswer(request, model_, outputs_, {{.place = 1}}, kNoMemory,
                           absl::Microseconds(42), answer_)
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
  EXPECT_EQ(response_.raw_output_contents_size(), 0);
  ASSERT_EQ(answer_.contents.size(), 1u);
  EXPECT_EQ(answer_.contents[0].data(), outputs_[1].data().data()) << "it was copied";
  EXPECT_EQ(answer_.contents[0].view(), Bytes<int64_t>({2}));
}

TEST_F(EncodeAnswerTest, AnswersTheBestClassesWhereTheyAreAskedFor) {
  ASSERT_TRUE(EncodeAnswer({}, model_, outputs_, {{.place = 0, .top_count = 2}}, kNoMemory,
                           absl::ZeroDuration(), answer_)
                  .ok());
  EXPECT_EQ(response_.outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(1, 2));
  ASSERT_EQ(answer_.contents.size(), 1u);
  EXPECT_EQ(answer_.contents[0].view(), EncodeTexts({"3.000000:1:sandal", "2.000000:2"}));
}

TEST_F(EncodeAnswerTest, RefusesSharedMemoryWhereItIsNotOffered) {
  EXPECT_EQ(FieldOf(EncodeAnswer({}, model_, outputs_,
                                 {{.place = 0, .memory = MemorySlice{.region = "r"}}}, kNoMemory,
                                 absl::ZeroDuration(), answer_)),
            "outputs.scores.parameters.shared_memory_region");
  ModelInferRequest request = Good();
  (*request.mutable_inputs(0)->mutable_parameters())["shared_memory_region"].set_string_param("r");
  request.mutable_raw_input_contents()->DeleteSubrange(0, 1);
  EXPECT_EQ(FieldOf(Decode(request, kSignature).status()),
            "inputs.x.parameters.shared_memory_region");
}

}  // namespace
}  // namespace slipway::worker
