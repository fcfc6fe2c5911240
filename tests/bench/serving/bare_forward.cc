#include "tests/bench/serving/bare_forward.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "common/tensor/safetensors.h"
#include "tests/bench/serving/models.h"

namespace slipway {
namespace {

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "bare forward: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

}  // namespace

struct BareForward::Impl {
  std::unique_ptr<nn::TorchNetwork> network;
  at::Tensor input;
};

BareForward::BareForward(const TestArtifact& artifact, const std::vector<int64_t>& shape)
    : impl_(std::make_unique<Impl>()) {
  at::set_num_threads(1);
  const auto description = Must(nn::ModelDescription::Parse(artifact.description, ""));
  impl_->network = Must(nn::TorchNetwork::Create(Must(description.BuildNetwork("")), "cpu",
                                                 nn::TorchNetwork::Use::kInference));
  const auto weights =
      Must(SafetensorsFile::Parse(Buffer::Borrow(artifact.weights), "model.safetensors"));
  if (!impl_->network->Load(weights.tensors()).ok()) std::exit(1);
  const c10::InferenceMode inference;
  impl_->input = at::empty(shape);
  float* const values = impl_->input.data_ptr<float>();
  for (int64_t i = 0; i < impl_->input.numel(); ++i) values[i] = BenchInput(i);
}

BareForward::~BareForward() = default;

void BareForward::Run(int count) {
  const c10::InferenceMode inference;
  for (int i = 0; i < count; ++i) {
    const std::vector<at::Tensor> outputs = impl_->network->Infer({&impl_->input, 1});
    if (outputs.size() != 1) std::exit(1);
  }
}

std::vector<float> BareForward::Answer(const std::vector<float>& input) {
  const c10::InferenceMode inference;
  at::Tensor tensor = impl_->input.clone();
  std::memcpy(tensor.data_ptr(), input.data(), input.size() * sizeof(float));
  const at::Tensor output = impl_->network->Infer({&tensor, 1})[0].contiguous();
  const float* values = output.const_data_ptr<float>();
  return {values, values + output.numel()};
}

}  // namespace slipway
