// One tensor, three ways in and out: JSON, JSON with binary tensors, gRPC. All answers are the same
// bits. Random tensors by a seed; the model gives its inputs back.

#include <grpcpp/grpcpp.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "inference/open_inference.grpc.pb.h"
#include "tests/conformance/served_gateway.h"

namespace slipway {
namespace {

using json = nlohmann::json;
using Random = std::mt19937_64;

struct RawTensor {
  TensorSpec spec;
  std::vector<int64_t> shape;
  std::string bytes;
};
// Bytes by name.
using Tensors = std::map<std::string, std::string>;

template <class T>
T At(const std::string& bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void Put(T value, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Calls `use` with a value of the C++ type of a datatype whose elements JSON has as numbers.
template <class Use>
void WithType(DataType type, Use use) {
  switch (type) {
    case DataType::kInt8:
      return use(int8_t{});
    case DataType::kInt16:
      return use(int16_t{});
    case DataType::kInt32:
      return use(int32_t{});
    case DataType::kInt64:
      return use(int64_t{});
    case DataType::kUint8:
      return use(uint8_t{});
    case DataType::kUint16:
      return use(uint16_t{});
    case DataType::kUint32:
      return use(uint32_t{});
    case DataType::kUint64:
      return use(uint64_t{});
    case DataType::kFp32:
      return use(float{});
    case DataType::kFp64:
      return use(double{});
    default:
      FAIL() << "a datatype that is no number in JSON";
  }
}

bool HasJson(DataType type) { return type != DataType::kFp16 && type != DataType::kBf16; }

std::string RandomText(Random& random) {
  const char* const pieces[] = {"a", "Z",        "\"",           "\\",
                                "/", "\n",       "\t",           "\x01",
                                " ", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  std::string text;
  for (size_t n = random() % 6; n > 0; --n) text += pieces[random() % std::size(pieces)];
  return text;
}

std::string RandomElements(DataType type, size_t count, Random& random) {
  std::string bytes;
  if (type == DataType::kBytes) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; ++i) texts.push_back(RandomText(random));
    return EncodeTexts(texts);
  }
  if (type == DataType::kBool) {
    for (size_t i = 0; i < count; ++i) Put(static_cast<uint8_t>(random() % 2), bytes);
    return bytes;
  }
  if (!HasJson(type)) {
    for (size_t i = 0; i < count; ++i) Put(static_cast<uint16_t>(random()), bytes);
    return bytes;
  }
  WithType(type, [&]<class T>(T) {
    for (size_t i = 0; i < count;) {
      // Any bits, so that every exponent occurs; JSON has no infinities and no NaN.
      const uint64_t bits = random();
      T value;
      std::memcpy(&value, &bits, sizeof(value));
      if constexpr (std::is_floating_point_v<T>) {
        if (!std::isfinite(value)) continue;
      }
      Put(value, bytes);
      ++i;
    }
  });
  return bytes;
}

json ToJson(const RawTensor& tensor) {
  json data = json::array();
  const auto count = static_cast<size_t>(tensor.shape[0] * tensor.shape[1]);
  if (tensor.spec.dtype == DataType::kBytes) {
    const auto made = *Tensor::Make("x", DataType::kBytes, Shape(tensor.shape),
                                    Buffer::Borrow(tensor.bytes), "x");
    for (const std::string_view text : made.Texts()) data.push_back(std::string(text));
  } else if (tensor.spec.dtype == DataType::kBool) {
    for (size_t i = 0; i < count; ++i) data.push_back(tensor.bytes[i] != 0);
  } else {
    WithType(tensor.spec.dtype, [&]<class T>(T) {
      for (size_t i = 0; i < count; ++i) data.push_back(At<T>(tensor.bytes, i));
    });
  }
  return data;
}

std::string FromJson(DataType type, const json& data) {
  std::string bytes;
  if (type == DataType::kBytes) return EncodeTexts(data.get<std::vector<std::string>>());
  for (const json& element : data) {
    if (type == DataType::kBool) {
      Put(static_cast<uint8_t>(element.get<bool>()), bytes);
    } else {
      // A float's shortest text is read as a double, and rounded once more: the same float.
      WithType(type, [&]<class T>(T) { Put(element.get<T>(), bytes); });
    }
  }
  return bytes;
}

class DifferentialTest : public ServedGatewayTest {
 protected:
  void SetUp() override {
    std::vector<TensorSpec> all;
    std::vector<TensorSpec> with_json;
    for (const DataType type : kAllDataTypes) {
      const TensorSpec spec = {"in_" + std::string(DataTypeName(type)), type, {-1, -1}};
      all.push_back(spec);
      if (HasJson(type)) with_json.push_back(spec);
    }
    models_ = {{"all", all}, {"json", with_json}};
    Serve(models_);
    stub_ = inference::GRPCInferenceService::NewStub(
        grpc::CreateChannel(gateway_->address(), grpc::InsecureChannelCredentials()));
  }

  static std::vector<RawTensor> RandomTensors(const std::vector<TensorSpec>& specs,
                                              Random& random) {
    std::vector<RawTensor> tensors;
    const auto rows = static_cast<int64_t>(1 + random() % 5);
    for (const TensorSpec& spec : specs) {
      const std::vector<int64_t> shape = {rows, static_cast<int64_t>(1 + random() % 40)};
      tensors.push_back(
          {spec, shape,
           RandomElements(spec.dtype, static_cast<size_t>(shape[0] * shape[1]), random)});
    }
    return tensors;
  }

  Tensors ByGrpc(const std::string& model, const std::vector<RawTensor>& tensors) {
    inference::ModelInferRequest request;
    request.set_model_name(model);
    for (const RawTensor& tensor : tensors) {
      auto& input = *request.add_inputs();
      input.set_name(tensor.spec.name);
      input.set_datatype(std::string(DataTypeName(tensor.spec.dtype)));
      for (const int64_t dim : tensor.shape) input.add_shape(dim);
      request.add_raw_input_contents(tensor.bytes);
    }
    grpc::ClientContext context;
    context.AddMetadata("x-api-key", key_);
    inference::ModelInferResponse response;
    const grpc::Status status = stub_->ModelInfer(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    Tensors answer;
    for (int i = 0; i < response.outputs_size(); ++i) {
      answer[response.outputs(i).name()] = response.raw_output_contents(i);
    }
    return answer;
  }

  Tensors ByJson(const std::string& model, const std::vector<RawTensor>& tensors) {
    json request = {{"inputs", json::array()}};
    for (const RawTensor& tensor : tensors) {
      request["inputs"].push_back({{"name", tensor.spec.name},
                                   {"datatype", DataTypeName(tensor.spec.dtype)},
                                   {"shape", tensor.shape},
                                   {"data", ToJson(tensor)}});
    }
    const auto got = Ask("POST", "/v2/models/" + model + "/infer", key_, request.dump());
    EXPECT_EQ(got.status, 200) << got.body;
    const json response = json::parse(got.body, nullptr, false);
    Tensors answer;
    for (const json& output : response.value("outputs", json::array())) {
      answer[output["name"]] = FromJson(
          *ParseDataType(output["datatype"].get_ref<const std::string&>()), output["data"]);
    }
    return answer;
  }

  // Some inputs binary and some not, where `mixed`; all outputs binary.
  Tensors ByBinaryJson(const std::string& model, const std::vector<RawTensor>& tensors,
                       bool mixed) {
    json request = {{"inputs", json::array()}, {"parameters", {{"binary_data_output", true}}}};
    std::string blobs;
    for (size_t i = 0; i < tensors.size(); ++i) {
      json input = {{"name", tensors[i].spec.name},
                    {"datatype", DataTypeName(tensors[i].spec.dtype)},
                    {"shape", tensors[i].shape}};
      if (mixed && i % 2 == 0) {
        input["data"] = ToJson(tensors[i]);
      } else {
        input["parameters"]["binary_data_size"] = tensors[i].bytes.size();
        blobs += tensors[i].bytes;
      }
      request["inputs"].push_back(input);
    }
    const std::string head = request.dump();
    const auto got = Ask("POST", "/v2/models/" + model + "/infer", key_, head + blobs,
                         fmt::format("Inference-Header-Content-Length: {}\r\n"
                                     "Content-Type: application/octet-stream\r\n",
                                     head.size()));
    EXPECT_EQ(got.status, 200) << got.body;
    const std::string length(got.headers.Get("inference-header-content-length"));
    if (length.empty()) return {};
    size_t at = std::stoul(length);
    const json response = json::parse(got.body.substr(0, at), nullptr, false);
    Tensors answer;
    for (const json& output : response.value("outputs", json::array())) {
      const size_t size = output["parameters"]["binary_data_size"];
      answer[output["name"]] = got.body.substr(at, size);
      at += size;
    }
    EXPECT_EQ(at, got.body.size());
    return answer;
  }

  std::vector<Model> models_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

TEST_F(DifferentialTest, JsonBinaryJsonAndGrpcGiveTheSameBits) {
  for (uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Random random(seed);
    for (const Model& model : models_) {
      const std::vector<RawTensor> tensors = RandomTensors(model.tensors, random);
      Tensors sent;
      for (const RawTensor& tensor : tensors) sent[tensor.spec.name] = tensor.bytes;
      EXPECT_EQ(ByGrpc(model.name, tensors), sent) << "gRPC";
      EXPECT_EQ(ByBinaryJson(model.name, tensors, false), sent) << "binary JSON";
      if (model.name != "json") continue;
      EXPECT_EQ(ByJson(model.name, tensors), sent) << "JSON";
      EXPECT_EQ(ByBinaryJson(model.name, tensors, true), sent) << "JSON and binary";
    }
  }
}

}  // namespace
}  // namespace slipway
