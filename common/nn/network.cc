#include "common/nn/network.h"

namespace slipway::nn {

int64_t Network::trainable_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) {
    if (parameter.trainable) count += parameter.shape.Product();
  }
  return count;
}

int64_t Network::parameter_bytes() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) count += parameter.shape.Product();
  return count * static_cast<int64_t>(ElementSize(DataType::kFp32));
}

double Network::flops() const {
  double flops = 0;
  for (const Layer& layer : layers_) {
    std::vector<TensorSpec> in;
    std::vector<TensorSpec> out;
    for (const ValueId id : layer.inputs) in.push_back(value(id));
    for (const ValueId id : layer.outputs) out.push_back(value(id));
    flops += CountFlops(layer.op, in, out);
  }
  return flops;
}

}  // namespace slipway::nn
