#include "services/training/trainer/data/idx_examples.h"

#include <utility>

#include "common/idx/idx.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

absl::StatusOr<IdxArray> Fetch(const std::string& path, const std::string& field,
                               FileFetcher fetch) {
  ASSIGN_OR_RETURN(const std::string local, fetch(path));
  auto array = ReadIdx(local, path);
  if (absl::IsInvalidArgument(array.status())) {
    return InvalidField(field, std::string(array.status().message()));
  }
  return array;
}

}  // namespace

absl::StatusOr<Examples> ReadIdxExamples(const training::v1::Part& part, const std::string& field,
                                         training::TargetKind targets, FileFetcher fetch) {
  const std::string inputs_field = field + ".inputs";
  const std::string targets_field = field + ".targets";
  ASSIGN_OR_RETURN(IdxArray inputs, Fetch(part.inputs(), inputs_field, fetch));
  ASSIGN_OR_RETURN(const IdxArray labels, Fetch(part.targets(), targets_field, fetch));
  if (inputs.shape.rank() < 2) {
    return InvalidField(inputs_field, fmt::format("{} holds {}: inputs need at least 2 dimensions",
                                                  part.inputs(), inputs.shape.ToString()));
  }
  if (labels.shape.rank() != 1) {
    return InvalidField(targets_field, fmt::format("{} holds {}: targets need one dimension",
                                                   part.targets(), labels.shape.ToString()));
  }
  if (inputs.shape[0] != labels.shape[0]) {
    return InvalidField(targets_field,
                        fmt::format("{} has {} targets, and {} has {} inputs", part.targets(),
                                    labels.shape[0], part.inputs(), inputs.shape[0]));
  }
  Examples examples;
  examples.count = inputs.shape[0];
  examples.row_bytes = static_cast<size_t>(inputs.shape.Product(1));
  Shape shape = inputs.shape;
  shape[0] = Shape::kAny;
  examples.input = {shape.rank() > 2 ? "image" : "features", DataType::kUint8, shape};
  examples.inputs = Buffer::Own(std::move(inputs.elements));
  for (const char label : labels.elements) {
    const auto value = static_cast<unsigned char>(label);
    if (targets == training::TargetKind::kClass) {
      examples.classes.push_back(value);
    } else {
      examples.values.push_back(static_cast<float>(value));
    }
  }
  return examples;
}

}  // namespace slipway::trainer
