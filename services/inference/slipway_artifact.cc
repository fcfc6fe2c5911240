#include "services/inference/slipway_artifact.h"

#include <utility>

#include "common/files/files.h"
#include "common/nn/model_description.h"

namespace slipway::worker {
namespace {

constexpr uint64_t kMaxDescriptionBytes = uint64_t{16} << 20;

absl::StatusOr<nn::Network> BuildNetwork(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxDescriptionBytes));
  ASSIGN_OR_RETURN(const nn::ModelDescription description, nn::ModelDescription::Parse(text, ""));
  return description.BuildNetwork("");
}

}  // namespace

absl::StatusOr<SlipwayArtifact> SlipwayArtifact::Open(const ModelSource& source) {
  ASSIGN_OR_RETURN(const std::string description_path, PathOf(source, nn::kDescriptionFile));
  ASSIGN_OR_RETURN(const std::string weights_path, PathOf(source, nn::kWeightsFile));
  absl::StatusOr<nn::Network> network = BuildNetwork(description_path);
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
