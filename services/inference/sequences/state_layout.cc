#include "services/inference/sequences/state_layout.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

// Marks the tensor that is named as the state's.
absl::StatusOr<const TensorSpec*> Claim(const std::vector<TensorSpec>& tensors,
                                        std::string_view name, int state, std::vector<int>& owners,
                                        const std::string& field) {
  const std::optional<size_t> place = IndexOf(tensors, name);
  if (!place) return InvalidField(field, fmt::format("the model has no \"{}\"", name));
  int& owner = owners[*place];
  if (owner >= 0) return InvalidField(field, fmt::format("{} is a state already", name));
  owner = state;
  return &tensors[*place];
}

// One row of it.
absl::StatusOr<Shape> ShapeOfOne(const TensorSpec& spec, bool batches, const std::string& field) {
  Shape shape = spec.shape;
  if (batches) shape[0] = 1;
  for (const int64_t dim : shape.dims()) {
    if (dim != Shape::kAny) continue;
    return InvalidField(field, fmt::format("{} {} has a free dimension, which a state cannot have",
                                           spec.name, spec.shape.ToString()));
  }
  return shape;
}

// Those that no state owns.
std::vector<TensorSpec> Visible(const std::vector<TensorSpec>& tensors,
                                const std::vector<int>& owners) {
  std::vector<TensorSpec> visible;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (owners[i] < 0) visible.push_back(tensors[i]);
  }
  return visible;
}

}  // namespace

absl::StatusOr<StateLayout> StateLayout::Make(const Signature& model,
                                              const std::vector<StateSpec>& states,
                                              std::string_view field) {
  StateLayout layout;
  layout.inputs_.assign(model.inputs.size(), -1);
  layout.outputs_.assign(model.outputs.size(), -1);
  layout.batches_ = TakesBatches(model);
  for (size_t i = 0; i < states.size(); ++i) {
    const std::string here = fmt::format("{}[{}]", field, i);
    const int place = static_cast<int>(i);
    ASSIGN_OR_RETURN(const TensorSpec* input,
                     Claim(model.inputs, states[i].input, place, layout.inputs_, here + ".input"));
    ASSIGN_OR_RETURN(const TensorSpec* output, Claim(model.outputs, states[i].output, place,
                                                     layout.outputs_, here + ".output"));
    if (input->dtype != output->dtype || input->shape != output->shape) {
      return InvalidField(
          here, fmt::format("{} is {} {}, {} is {} {}", input->name, DataTypeName(input->dtype),
                            input->shape.ToString(), output->name, DataTypeName(output->dtype),
                            output->shape.ToString()));
    }
    if (input->dtype == DataType::kBytes) return InvalidField(here, "a state cannot hold texts");
    ASSIGN_OR_RETURN(Shape shape, ShapeOfOne(*input, layout.batches_, here));
    ASSIGN_OR_RETURN(const int64_t bytes, shape.ByteCount(input->dtype, here));
    layout.bytes_ += bytes;
    ASSIGN_OR_RETURN(
        Tensor zeros,
        Tensor::Make(input->name, input->dtype, std::move(shape),
                     Buffer::Own(std::string(static_cast<size_t>(bytes), '\0')), here));
    layout.zeros_.push_back(std::move(zeros));
  }
  layout.visible_ = {.inputs = Visible(model.inputs, layout.inputs_),
                     .outputs = Visible(model.outputs, layout.outputs_),
                     .states = states};
  return layout;
}

TensorBatch StateLayout::Join(TensorBatch inputs, TensorBatch states) const {
  TensorBatch joined;
  joined.reserve(inputs_.size());
  auto next = inputs.begin();
  for (const int state : inputs_) {
    joined.push_back(std::move(state < 0 ? *next++ : states[static_cast<size_t>(state)]));
  }
  return joined;
}

absl::StatusOr<StateLayout::Parts> StateLayout::Split(TensorBatch outputs) const {
  Parts parts;
  parts.states.resize(zeros_.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs_[i] < 0) {
      parts.outputs.push_back(std::move(outputs[i]));
      continue;
    }
    const auto state = static_cast<size_t>(outputs_[i]);
    const Tensor& zeros = zeros_[state];
    if (outputs[i].shape() != zeros.shape()) {
      return absl::InternalError(fmt::format("the model gave {} {}, not {}", outputs[i].name(),
                                             outputs[i].shape().ToString(),
                                             zeros.shape().ToString()));
    }
    ASSIGN_OR_RETURN(
        parts.states[state],
        Tensor::Make(zeros.name(), zeros.dtype(), zeros.shape(),
                     Buffer::Own(std::string(outputs[i].data().view())), zeros.name()));
  }
  return parts;
}

}  // namespace slipway::worker
