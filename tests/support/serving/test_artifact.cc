#include "tests/support/serving/test_artifact.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <utility>

#include "common/fields/json.h"
#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/tensor/safetensors.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "test artifact: %s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

void Fill(const TensorSpec& spec, slipway::registry::v1::TensorSpec& out) {
  out.set_name(spec.name);
  out.set_datatype(std::string(DataTypeName(spec.dtype)));
  out.mutable_shape()->Add(spec.shape.dims().begin(), spec.shape.dims().end());
}

// weight [out, in] times x, plus bias.
std::vector<float> Dense(const std::vector<float>& weight, const std::vector<float>& bias,
                         const std::vector<float>& x) {
  std::vector<float> y = bias;
  for (size_t o = 0; o < y.size(); ++o) {
    for (size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
  }
  return y;
}

}  // namespace

TestArtifact MakeTestArtifact(const std::string& architecture, const std::string& input,
                              const std::vector<int64_t>& row, int64_t classes, uint64_t seed) {
  std::vector<int64_t> shape = {Shape::kAny};
  shape.insert(shape.end(), row.begin(), row.end());
  nn::ModelDescription description;
  description.input = {input, DataType::kFp32, Shape(shape)};
  description.output = nn::OutputOf(nn::Task::kClassification, classes);
  description.architecture =
      Must(nn::ParseArchitecture(Must(ParseJson(architecture, "architecture")), "architecture"));
  return MakeTestArtifact(description, seed);
}

TestArtifact MakeTestArtifact(const nn::ModelDescription& description, uint64_t seed) {
  const nn::Network network = Must(description.BuildNetwork(""));

  TestArtifact artifact;
  artifact.description = description.Print();
  Fill(description.input, *artifact.signature.add_inputs());
  Fill(description.output, *artifact.signature.add_outputs());
  std::mt19937_64 random(seed);
  std::vector<Tensor> tensors;
  for (const nn::Parameter& parameter : network.parameters()) {
    std::vector<float>& values = artifact.parameters[parameter.name];
    values.resize(static_cast<size_t>(parameter.shape.Product()));
    for (float& value : values) {
      value = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 1000.0F;
      if (parameter.trainable) {
        const bool varies = parameter.init.kind != nn::Init::Kind::kConstant;
        value *= varies ? static_cast<float>(parameter.init.value) : 0.5F;
      } else {  // a variance is no negative number
        value = std::abs(value) / 2 + 0.1F;
      }
    }
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()),
                                 values.size() * sizeof(float));
    tensors.push_back(Must(Tensor::Make(parameter.name, DataType::kFp32, parameter.shape,
                                        Buffer::Borrow(bytes), parameter.name)));
  }
  const TempDir dir;
  const std::string path = dir / "model.safetensors";
  const absl::Status written = WriteSafetensors(path, tensors);
  artifact.weights = Must(written.ok() ? ReadFile(path) : written);
  return artifact;
}

TestArtifact SmallMlp(uint64_t seed) {
  return MakeTestArtifact(R"({"type": "mlp", "hidden": [8]})", "x", {4}, 3, seed);
}

std::vector<float> SmallMlpAnswer(const TestArtifact& artifact, const std::vector<float>& row) {
  const auto& parameters = artifact.parameters;
  std::vector<float> hidden =
      Dense(parameters.at("hidden.0.weight"), parameters.at("hidden.0.bias"), row);
  for (float& value : hidden) value = std::max(value, 0.0F);
  std::vector<float> answer =
      Dense(parameters.at("head.weight"), parameters.at("head.bias"), hidden);
  const float largest = *std::max_element(answer.begin(), answer.end());
  float sum = 0;
  for (float& value : answer) sum += value = std::exp(value - largest);
  for (float& value : answer) value /= sum;
  return answer;
}

}  // namespace slipway
