#include "services/inference/signature.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

// The zeros that warm a model up must not cost more than the model.
constexpr int64_t kMaxWarmUpBytes = int64_t{1} << 30;

absl::StatusOr<TensorSpec> ParseSpec(const slipway::registry::v1::TensorSpec& spec,
                                     const std::string& field) {
  const std::optional<DataType> type = ParseDataType(spec.datatype());
  if (!type) {
    return InvalidField(field + ".datatype", fmt::format("\"{}\" is none", spec.datatype()));
  }
  if (static_cast<size_t>(spec.shape_size()) > Shape::kMaxRank) {
    return InvalidField(field + ".shape",
                        fmt::format("has more than {} dimensions", Shape::kMaxRank));
  }
  for (const int64_t dim : spec.shape()) {
    if (dim < Shape::kAny) return InvalidField(field + ".shape", "has a dimension below -1");
  }
  return TensorSpec{spec.name(), *type, Shape({spec.shape().begin(), spec.shape().end()})};
}

absl::StatusOr<std::vector<TensorSpec>> ParseSpecs(
    const google::protobuf::RepeatedPtrField<slipway::registry::v1::TensorSpec>& specs,
    const std::string& field) {
  std::vector<TensorSpec> parsed;
  for (int i = 0; i < specs.size(); ++i) {
    ASSIGN_OR_RETURN(TensorSpec spec, ParseSpec(specs[i], fmt::format("{}[{}]", field, i)));
    parsed.push_back(std::move(spec));
  }
  return parsed;
}

std::string ToText(const TensorSpec& spec) {
  return fmt::format("{} {} {}", spec.name, DataTypeName(spec.dtype), spec.shape.ToString());
}

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

absl::StatusOr<Signature> ParseSignature(const slipway::registry::v1::Signature& signature,
                                         std::string_view field) {
  Signature parsed;
  ASSIGN_OR_RETURN(parsed.inputs, ParseSpecs(signature.inputs(), fmt::format("{}.inputs", field)));
  ASSIGN_OR_RETURN(parsed.outputs,
                   ParseSpecs(signature.outputs(), fmt::format("{}.outputs", field)));
  return parsed;
}

absl::Status CheckSameSignature(const Signature& registered, const Signature& actual) {
  if (registered == Signature{}) return absl::OkStatus();
  RETURN_IF_ERROR(CheckSame("inputs", registered.inputs, actual.inputs));
  return CheckSame("outputs", registered.outputs, actual.outputs);
}

bool TakesBatches(const Signature& signature) {
  const auto has_rows = [](const TensorSpec& spec) {
    return spec.shape.rank() > 0 && spec.shape[0] == Shape::kAny;
  };
  return !signature.inputs.empty() && std::ranges::all_of(signature.inputs, has_rows) &&
         std::ranges::all_of(signature.outputs, has_rows);
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
