#include "common/nn/network_builder.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace slipway::nn {
namespace {

std::vector<ValueId> InputsOf(const Sequence& sequence) {
  if (!sequence.lengths.has_value()) return {sequence.values};
  return {sequence.values, *sequence.lengths};
}

}  // namespace

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

absl::StatusOr<ValueId> NetworkBuilder::AddOne(const std::string& name, Op op,
                                               std::vector<ValueId> inputs,
                                               std::vector<Parameter> parameters) {
  ASSIGN_OR_RETURN(const std::vector<ValueId> results,
                   Add(name, std::move(op), std::move(inputs), std::move(parameters)));
  return results[0];
}

absl::StatusOr<ValueId> NetworkBuilder::Apply(const std::string& name, Op op, ValueId input) {
  return AddOne(name, std::move(op), {input}, {});
}

absl::StatusOr<ValueId> NetworkBuilder::Apply(const std::string& name, Op op,
                                              const Sequence& input) {
  return AddOne(name, std::move(op), InputsOf(input), {});
}

absl::StatusOr<ValueId> NetworkBuilder::Linear(const std::string& name, ValueId input,
                                               int64_t out_features) {
  const int64_t fan_in = SizeOf(input, -1);
  return AddOne(name, Gemm{out_features}, {input},
                {{"weight",
                  {out_features, fan_in},
                  WeightInit(initialization_, fan_in, out_features),
                  true,
                  true},
                 {"bias", {out_features}, BiasInit(initialization_, fan_in), true, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::LinearTiedTo(const std::string& name, ValueId input,
                                                     std::string_view weight) {
  const auto& parameters = network_.parameters_;
  const auto known = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const Parameter& each) { return each.name == weight; });
  if (known == parameters.end()) {
    return absl::InvalidArgumentError(fmt::format("there is no {} to be tied to", weight));
  }
  ASSIGN_OR_RETURN(const ValueId result, AddOne(name, Gemm{known->shape[0]}, {input}, {}));
  network_.layers_.back().parameters = {static_cast<ParameterId>(known - parameters.begin())};
  return result;
}

absl::StatusOr<ValueId> NetworkBuilder::Convolution(const std::string& name, ValueId input,
                                                    Conv conv) {
  const int64_t channels = SizeOf(input, 1);
  const int64_t window = conv.kernel * conv.kernel;
  const int64_t fan_in = channels * window;
  return AddOne(name, conv, {input},
                {{"weight",
                  {conv.out_channels, channels, conv.kernel, conv.kernel},
                  WeightInit(initialization_, fan_in, conv.out_channels * window),
                  true,
                  true},
                 {"bias", {conv.out_channels}, BiasInit(initialization_, fan_in), true, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::Recur(const std::string& name, const Sequence& input,
                                              Recurrent recurrent) {
  const int64_t hidden = recurrent.hidden;
  const int64_t rows = recurrent.gates() * hidden;
  const int64_t width = SizeOf(input.values, 2);
  // PyTorch's default has one bound for all of a cell.
  const bool uniform = initialization_ == Initialization::kUniform;
  return AddOne(
      name, recurrent, InputsOf(input),
      {{"W",
        {recurrent.directions(), rows, width},
        WeightInit(initialization_, uniform ? hidden : width, hidden),
        true,
        true},
       {"R",
        {recurrent.directions(), rows, hidden},
        WeightInit(initialization_, hidden, hidden),
        true,
        true},
       {"B", {recurrent.directions(), 2 * rows}, BiasInit(initialization_, hidden), true, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::Normalize(const std::string& name, ValueId input) {
  const Shape each = {SizeOf(input, 1)};
  return AddOne(name, BatchNormalization{}, {input},
                {{"weight", each, Init::Constant(1), true, false},
                 {"bias", each, Init::Constant(0), true, false},
                 {"running_mean", each, Init::Constant(0), false, false},
                 {"running_var", each, Init::Constant(1), false, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::NormalizeLayer(const std::string& name, ValueId input) {
  const Shape each = {SizeOf(input, -1)};
  return AddOne(name, LayerNormalization{}, {input},
                {{"weight", each, Init::Constant(1), true, false},
                 {"bias", each, Init::Constant(0), true, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::Sum(const std::string& name, ValueId a, ValueId b) {
  return AddOne(name, nn::Add{}, {a, b}, {});
}

absl::StatusOr<ValueId> NetworkBuilder::Drop(const std::string& name, ValueId input, double rate) {
  if (rate == 0) return input;
  return Apply(name, Dropout{rate}, input);
}

absl::StatusOr<ValueId> NetworkBuilder::Embed(const std::string& name, ValueId ids,
                                              Embedding embedding, double deviation) {
  return AddOne(
      name, embedding, {ids},
      {{"weight", {embedding.rows, embedding.width}, Init::Normal(deviation), true, false}});
}

absl::StatusOr<ValueId> NetworkBuilder::AddPositions(const std::string& name, ValueId input,
                                                     double deviation) {
  std::vector<int64_t> row = value(input).shape.dims();
  row.erase(row.begin());
  return AddOne(name, nn::Add{}, {input},
                {{"weight", Shape(std::move(row)), Init::Normal(deviation), true, false}});
}

int64_t NetworkBuilder::SizeOf(ValueId id, int dimension) const {
  const Shape& shape = value(id).shape;
  const auto rank = static_cast<int>(shape.rank());
  const int place = dimension < 0 ? rank + dimension : dimension;
  return place > 0 && place < rank ? shape[static_cast<size_t>(place)] : 0;
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
