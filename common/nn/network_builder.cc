#include "common/nn/network_builder.h"

#include <cmath>
#include <utility>

#include "fmt/format.h"

namespace slipway::nn {

ValueId NetworkBuilder::Input(TensorSpec spec) {
  const auto id = static_cast<ValueId>(network_.values_.size());
  network_.values_.push_back(std::move(spec));
  network_.inputs_.push_back(id);
  return id;
}

absl::StatusOr<std::vector<ValueId>> NetworkBuilder::Add(const std::string& name, Op op,
                                                         std::vector<ValueId> inputs,
                                                         std::vector<Parameter> parameters) {
  std::vector<TensorSpec> specs;
  for (const ValueId id : inputs) specs.push_back(value(id));
  ASSIGN_OR_RETURN(std::vector<TensorSpec> results, InferOutputs(op, specs));

  Layer layer{name, std::move(op), std::move(inputs), {}, {}};
  for (Parameter& parameter : parameters) {
    parameter.name = fmt::format("{}.{}", name, parameter.name);
    ASSIGN_OR_RETURN(const int64_t count, parameter.shape.ElementCount(parameter.name));
    // Both are within 63 bits and the sum so far within 37, so that this cannot overflow.
    if (count > kMaxParameters || (parameter_count_ += count) > kMaxParameters) {
      return absl::InvalidArgumentError(
          fmt::format("the network passes {} parameters at {}", kMaxParameters, name));
    }
    layer.parameters.push_back(static_cast<ParameterId>(network_.parameters_.size()));
    network_.parameters_.push_back(std::move(parameter));
  }
  for (TensorSpec& result : results) {
    result.name = name;
    layer.outputs.push_back(static_cast<ValueId>(network_.values_.size()));
    network_.values_.push_back(std::move(result));
  }
  network_.layers_.push_back(std::move(layer));
  return network_.layers_.back().outputs;
}

absl::StatusOr<ValueId> NetworkBuilder::Apply(const std::string& name, Op op, ValueId input) {
  ASSIGN_OR_RETURN(const std::vector<ValueId> results, Add(name, std::move(op), {input}));
  return results[0];
}

absl::StatusOr<ValueId> NetworkBuilder::Linear(const std::string& name, ValueId input,
                                               int64_t out_features, double gain) {
  const Shape& shape = value(input).shape;
  const int64_t fan_in = shape.rank() == 2 ? shape[1] : 0;
  const double bound = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(fan_in, 1)));
  ASSIGN_OR_RETURN(const std::vector<ValueId> results,
                   Add(name, Gemm{out_features}, {input},
                       {{"weight", {out_features, fan_in}, Init::Uniform(gain * bound), true, true},
                        {"bias", {out_features}, Init::Uniform(bound), true, false}}));
  return results[0];
}

absl::StatusOr<ValueId> NetworkBuilder::Convolution(const std::string& name, ValueId input,
                                                    Conv conv, double gain) {
  const Shape& shape = value(input).shape;
  const int64_t channels = shape.rank() == 4 ? shape[1] : 0;
  const int64_t fan_in = channels * conv.kernel * conv.kernel;
  const double bound = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(fan_in, 1)));
  ASSIGN_OR_RETURN(const std::vector<ValueId> results,
                   Add(name, conv, {input},
                       {{"weight",
                         {conv.out_channels, channels, conv.kernel, conv.kernel},
                         Init::Uniform(gain * bound),
                         true,
                         true},
                        {"bias", {conv.out_channels}, Init::Uniform(bound), true, false}}));
  return results[0];
}

absl::StatusOr<ValueId> NetworkBuilder::Normalize(const std::string& name, ValueId input,
                                                  BatchNormalization op) {
  const Shape& shape = value(input).shape;
  const Shape each = {shape.rank() < 2 ? 0 : shape[1]};
  ASSIGN_OR_RETURN(const std::vector<ValueId> results,
                   Add(name, op, {input},
                       {{"weight", each, Init::Constant(1), true, false},
                        {"bias", each, Init::Constant(0), true, false},
                        {"running_mean", each, Init::Constant(0), false, false},
                        {"running_var", each, Init::Constant(1), false, false}}));
  return results[0];
}

Network NetworkBuilder::Finish(ValueId head,
                               std::vector<std::pair<std::string, ValueId>> outputs) && {
  network_.head_ = head;
  for (auto& [name, id] : outputs) {
    network_.values_[static_cast<size_t>(id)].name = std::move(name);
    network_.outputs_.push_back(id);
  }
  return std::move(network_);
}

}  // namespace slipway::nn
