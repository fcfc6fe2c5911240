#include "services/inference/signature.h"

#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

// The zeros that warm a model up must not cost more than the model.
constexpr int64_t kMaxWarmUpBytes = int64_t{1} << 30;

absl::Status CheckSame(std::string_view what, const std::vector<TensorSpec>& registered,
                       const std::vector<TensorSpec>& actual) {
  if (registered.size() != actual.size()) {
    return absl::InvalidArgumentError(
        fmt::format("the version was registered with {} {}, its "
                    "files have {}",
                    registered.size(), what, actual.size()));
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (registered[i] == actual[i]) continue;
    return absl::InvalidArgumentError(
        fmt::format("{}[{}] was registered as {}, the version's files say {}", what, i,
                    ToText(registered[i]), ToText(actual[i])));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSameSignature(const Signature& registered, const Signature& actual) {
  if (registered.inputs.empty() && registered.outputs.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckSame("inputs", registered.inputs, actual.inputs));
  return CheckSame("outputs", registered.outputs, actual.outputs);
}

absl::StatusOr<TensorBatch> ZeroInputs(const Signature& signature) {
  TensorBatch inputs;
  for (const TensorSpec& spec : signature.inputs) {
    Shape shape = spec.shape;
    for (size_t i = 0; i < shape.rank(); ++i) {
      if (shape[i] == Shape::kAny) shape[i] = 1;
    }
    ASSIGN_OR_RETURN(const int64_t elements, shape.ElementCount(spec.name));
    // The length of an empty text.
    const size_t element_bytes =
        spec.dtype == DataType::kBytes ? sizeof(uint32_t) : ElementSize(spec.dtype);
    if (elements > kMaxWarmUpBytes / static_cast<int64_t>(element_bytes)) {
      return InvalidField(spec.name, fmt::format("{} is too large", shape.ToString()));
    }
    std::string zeros(static_cast<size_t>(elements) * element_bytes, '\0');
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Make(spec.name, spec.dtype, std::move(shape),
                                                 Buffer::Own(std::move(zeros)), spec.name));
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

absl::Status CheckOutputs(const Signature& signature, const TensorBatch& outputs) {
  if (outputs.size() != signature.outputs.size()) {
    return absl::InternalError(fmt::format("the model gave {} outputs, its signature has {}",
                                           outputs.size(), signature.outputs.size()));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const absl::Status fits =
        outputs[i].CheckAgainst(signature.outputs[i], signature.outputs[i].name);
    if (!fits.ok()) return absl::InternalError(std::string(fits.message()));
  }
  return absl::OkStatus();
}

}  // namespace slipway::worker
