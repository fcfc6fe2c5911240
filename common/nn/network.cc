#include "common/nn/network.h"

#include <map>

#include "fmt/format.h"

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
  for (const Layer& layer : layers_) flops += this->flops(layer);
  return flops;
}

double Network::flops(const Layer& layer) const {
  std::vector<TensorSpec> in;
  std::vector<TensorSpec> out;
  for (const ValueId id : layer.inputs) in.push_back(value(id));
  for (const ValueId id : layer.outputs) out.push_back(value(id));
  return CountFlops(layer.op, in, out);
}

std::vector<bool> LayersFor(const Network& network, std::span<const ValueId> values) {
  std::vector<bool> needed(network.values().size());
  for (const ValueId id : values) needed[static_cast<size_t>(id)] = true;
  const std::vector<Layer>& layers = network.layers();
  std::vector<bool> run(layers.size());
  for (size_t i = layers.size(); i-- > 0;) {
    for (const ValueId id : layers[i].outputs) run[i] = run[i] || needed[static_cast<size_t>(id)];
    if (!run[i]) continue;
    for (const ValueId id : layers[i].inputs) needed[static_cast<size_t>(id)] = true;
  }
  return run;
}

absl::StatusOr<std::vector<const Tensor*>> MatchParameters(const Network& network,
                                                           std::span<const Tensor> tensors) {
  std::map<std::string_view, const Tensor*> unused;
  for (const Tensor& tensor : tensors) {
    if (!unused.emplace(tensor.name(), &tensor).second) {
      return absl::InvalidArgumentError(fmt::format("tensor {} is given twice", tensor.name()));
    }
  }
  std::vector<const Tensor*> found;
  for (const Parameter& parameter : network.parameters()) {
    const auto it = unused.find(parameter.name);
    if (it == unused.end()) {
      return absl::InvalidArgumentError(fmt::format("tensor {} is missing", parameter.name));
    }
    const Tensor& tensor = *it->second;
    if (tensor.dtype() != DataType::kFp32 || tensor.shape() != parameter.shape) {
      return absl::InvalidArgumentError(fmt::format(
          "tensor {} must be FP32 {}, got {} {}", parameter.name, parameter.shape.ToString(),
          DataTypeName(tensor.dtype()), tensor.shape().ToString()));
    }
    found.push_back(&tensor);
    unused.erase(it);
  }
  if (!unused.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("tensor {} does not belong to this architecture", unused.begin()->first));
  }
  return found;
}

}  // namespace slipway::nn
