#include "tests/bench/runtimes/frozen_script.h"

#include <torch/script.h>

#include <sstream>

#include "common/nn/torch_network.h"

namespace slipway {

struct FrozenScript::Impl {
  torch::jit::Module module;
};

FrozenScript::FrozenScript(const std::string& bytes, bool optimized)
    : impl_(std::make_unique<Impl>()) {
  const c10::InferenceMode inference;
  std::istringstream stream(bytes);
  torch::jit::Module module = torch::jit::load(stream);
  module.eval();
  impl_->module = torch::jit::freeze(module);
  if (optimized) impl_->module = torch::jit::optimize_for_inference(impl_->module);
}

FrozenScript::~FrozenScript() = default;

std::vector<float> FrozenScript::Run(const Tensor& input, int count) {
  const c10::InferenceMode inference;
  at::Tensor output;
  for (int i = 0; i < count; ++i) output = impl_->module.forward({nn::ToTorch(input)}).toTensor();
  output = output.contiguous();
  const float* const values = output.const_data_ptr<float>();
  return {values, values + output.numel()};
}

}  // namespace slipway
