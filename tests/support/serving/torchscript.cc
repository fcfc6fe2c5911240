#include "tests/support/serving/torchscript.h"

#include <torch/script.h>

#include <sstream>

#include "common/nn/torch_network.h"

namespace slipway {

std::string MakeTorchScript(const std::string& methods, std::span<const Tensor> parameters) {
  torch::jit::Module module("Fixture");
  for (const Tensor& parameter : parameters) {
    module.register_parameter(parameter.name(), nn::ToTorch(parameter).clone(),
                              /*is_buffer=*/false);
  }
  module.define(methods);
  std::ostringstream bytes;
  module.save(bytes);
  return std::move(bytes).str();
}

}  // namespace slipway
