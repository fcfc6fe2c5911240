#include "services/inference/slipway_artifact.h"

#include <utility>

#include "common/files/files.h"
#include "common/nn/model_description.h"

namespace slipway::worker {
namespace {

constexpr uint64_t kMaxDescriptionBytes = uint64_t{16} << 20;

}  // namespace

absl::StatusOr<nn::ModelDescription> ReadDescription(const ModelSource& source) {
  ASSIGN_OR_RETURN(const std::string path, PathOf(source, nn::kDescriptionFile));
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxDescriptionBytes);
  if (!text.ok()) return Annotate(text.status(), nn::kDescriptionFile);
  auto description = nn::ModelDescription::Parse(*text, "");
  if (!description.ok()) return Annotate(description.status(), nn::kDescriptionFile);
  return description;
}

absl::StatusOr<SlipwayArtifact> SlipwayArtifact::Open(const ModelSource& source) {
  ASSIGN_OR_RETURN(const nn::ModelDescription description, ReadDescription(source));
  ASSIGN_OR_RETURN(const std::string weights_path, PathOf(source, nn::kWeightsFile));
  absl::StatusOr<nn::Network> network = description.BuildNetwork("");
  if (!network.ok()) return Annotate(network.status(), nn::kDescriptionFile);
  auto weights = SafetensorsFile::Open(weights_path, SafetensorsFile::Access::kMap);
  // The path is the cache's; what a person knows is the file's name in the artifact.
  if (!weights.ok()) return Annotate(weights.status(), nn::kWeightsFile);

  Signature signature;
  for (const nn::ValueId id : network->inputs()) signature.inputs.push_back(network->value(id));
  for (const nn::ValueId id : network->outputs()) signature.outputs.push_back(network->value(id));
  return SlipwayArtifact{*std::move(network), *std::move(weights), std::move(signature)};
}

}  // namespace slipway::worker
