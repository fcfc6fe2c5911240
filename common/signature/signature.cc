#include "common/signature/signature.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "fmt/format.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway {
namespace {

using Specs = google::protobuf::RepeatedPtrField<registry::v1::TensorSpec>;

absl::StatusOr<TensorSpec> ParseSpec(const registry::v1::TensorSpec& spec,
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

absl::StatusOr<std::vector<TensorSpec>> ParseSpecs(const Specs& specs, const std::string& field) {
  std::vector<TensorSpec> parsed;
  for (int i = 0; i < specs.size(); ++i) {
    ASSIGN_OR_RETURN(TensorSpec spec, ParseSpec(specs[i], fmt::format("{}[{}]", field, i)));
    parsed.push_back(std::move(spec));
  }
  return parsed;
}

void Fill(const std::vector<TensorSpec>& specs, Specs& out) {
  for (const TensorSpec& spec : specs) {
    registry::v1::TensorSpec& tensor = *out.Add();
    tensor.set_name(spec.name);
    tensor.set_datatype(std::string(DataTypeName(spec.dtype)));
    tensor.mutable_shape()->Add(spec.shape.dims().begin(), spec.shape.dims().end());
  }
}

}  // namespace

absl::StatusOr<Signature> ParseSignature(const registry::v1::Signature& signature,
                                         std::string_view field) {
  Signature parsed;
  ASSIGN_OR_RETURN(parsed.inputs, ParseSpecs(signature.inputs(), fmt::format("{}.inputs", field)));
  ASSIGN_OR_RETURN(parsed.outputs,
                   ParseSpecs(signature.outputs(), fmt::format("{}.outputs", field)));
  for (const registry::v1::StateSpec& state : signature.states()) {
    parsed.states.push_back({state.input(), state.output()});
  }
  return parsed;
}

registry::v1::Signature ToProto(const Signature& signature) {
  registry::v1::Signature proto;
  Fill(signature.inputs, *proto.mutable_inputs());
  Fill(signature.outputs, *proto.mutable_outputs());
  for (const StateSpec& state : signature.states) {
    registry::v1::StateSpec& out = *proto.add_states();
    out.set_input(state.input);
    out.set_output(state.output);
  }
  return proto;
}

bool TakesBatches(const Signature& signature) {
  const auto has_rows = [](const TensorSpec& spec) {
    return spec.shape.rank() > 0 && spec.shape[0] == Shape::kAny;
  };
  return !signature.inputs.empty() && std::ranges::all_of(signature.inputs, has_rows) &&
         std::ranges::all_of(signature.outputs, has_rows);
}

std::optional<size_t> IndexOf(const std::vector<TensorSpec>& specs, std::string_view name) {
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return i;
  }
  return std::nullopt;
}

std::string ToText(const TensorSpec& spec) {
  return fmt::format("{} {} {}", spec.name, DataTypeName(spec.dtype), spec.shape.ToString());
}

}  // namespace slipway
