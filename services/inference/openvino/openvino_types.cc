#include "services/inference/openvino/openvino_types.h"

#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

constexpr size_t kMaxErrorBytes = 500;

const std::vector<std::pair<DataType, ov::element::Type>>& Types() {
  static const auto* const types = new std::vector<std::pair<DataType, ov::element::Type>>{
      {DataType::kBool, ov::element::boolean}, {DataType::kUint8, ov::element::u8},
      {DataType::kUint16, ov::element::u16},   {DataType::kUint32, ov::element::u32},
      {DataType::kUint64, ov::element::u64},   {DataType::kInt8, ov::element::i8},
      {DataType::kInt16, ov::element::i16},    {DataType::kInt32, ov::element::i32},
      {DataType::kInt64, ov::element::i64},    {DataType::kFp16, ov::element::f16},
      {DataType::kBf16, ov::element::bf16},    {DataType::kFp32, ov::element::f32},
      {DataType::kFp64, ov::element::f64},
  };
  return *types;
}

std::optional<DataType> FromOpenVino(const ov::element::Type& type) {
  for (const auto& [ours, theirs] : Types()) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

absl::StatusOr<TensorSpec> SpecOf(const ov::Output<const ov::Node>& port, std::string_view what,
                                  size_t i) {
  TensorSpec spec;
  // A port may have several names, or none.
  spec.name = port.get_names().empty() ? fmt::format("{}_{}", what, i) : port.get_any_name();
  const ov::element::Type type = port.get_element_type();
  const std::optional<DataType> dtype = FromOpenVino(type);
  if (!dtype) {
    return absl::InvalidArgumentError(
        type == ov::element::string
            ? fmt::format("{} \"{}\" is of strings, which this runtime does not run", what,
                          spec.name)
            : fmt::format("{} \"{}\" is of type {}, which callers cannot send", what, spec.name,
                          type.is_dynamic() ? "unknown" : type.get_type_name()));
  }
  spec.dtype = *dtype;
  const ov::PartialShape& shape = port.get_partial_shape();
  if (shape.rank().is_dynamic()) {
    return absl::InvalidArgumentError(
        fmt::format("{} \"{}\" has no fixed number of dimensions", what, spec.name));
  }
  std::vector<int64_t> dims;
  for (const ov::Dimension& dimension : shape) {
    dims.push_back(dimension.is_static() ? dimension.get_length() : Shape::kAny);
  }
  spec.shape = Shape(std::move(dims));
  return spec;
}

bool IsPlaceInSource(std::string_view line) {
  return line.empty() || line.starts_with("Exception from ") || line.starts_with("Check '") ||
         line.find("FrontEnd API failed with") != line.npos || line.starts_with("[ERROR]");
}

}  // namespace

ov::element::Type ToOpenVino(DataType type) {
  for (const auto& [ours, theirs] : Types()) {
    if (ours == type) return theirs;
  }
  return ov::element::dynamic;
}

absl::StatusOr<Signature> SignatureOf(const ov::Model& model) {
  Signature signature;
  for (size_t i = 0; i < model.inputs().size(); ++i) {
    ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(model.input(i), "input", i));
    signature.inputs.push_back(std::move(spec));
  }
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(model.output(i), "output", i));
    signature.outputs.push_back(std::move(spec));
  }
  return signature;
}

absl::Status OpenVinoError(const std::exception& error, absl::StatusCode code) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return absl::ResourceExhaustedError("out of memory");
  }
  const std::string_view text = error.what();
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    while (!line.empty() && (line.back() == ' ' || line.back() == ':')) line.remove_suffix(1);
    if (IsPlaceInSource(line)) continue;
    if (!kept.empty()) kept += "; ";
    kept += line;
    if (kept.size() > kMaxErrorBytes) break;
  }
  if (kept.empty()) kept = text.substr(0, text.find('\n'));
  return {code, kept.substr(0, kMaxErrorBytes)};
}

}  // namespace slipway::worker
