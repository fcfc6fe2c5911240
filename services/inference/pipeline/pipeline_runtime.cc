#include "services/inference/pipeline/pipeline_runtime.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/pipeline/pipeline_graph.h"
#include "services/inference/pipeline/pipeline_model.h"
#include "services/inference/signature.h"
#include "services/inference/warm_up.h"

namespace slipway::worker {

using ModelPtr = PipelineModel::ModelPtr;

absl::StatusOr<ModelPtr> PipelineRuntime::Load(const ModelSource& source) {
  if (source.format != pipeline::kFormat) return models_.Load(source);
  if (source.pipeline == nullptr) return InvalidField("pipeline", "must be given");
  if (source.settings.precision != RuntimeSettings::Precision::kFloat32) {
    return absl::FailedPreconditionError("a pipeline is computed in float32");
  }
  const PipelineSource& made_of = *source.pipeline;
  ASSIGN_OR_RETURN(const pipeline::PipelineGraph graph,
                   pipeline::PipelineGraph::Parse(made_of.definition, "pipeline"));
  std::map<std::string, ModelPtr> loaded;
  for (const auto& [version, step] : made_of.models) {
    absl::StatusOr<ModelPtr> made = LoadStep(step);
    if (!made.ok()) return Annotate(made.status(), version);
    loaded[version] = *std::move(made);
  }
  std::vector<ModelPtr> models;
  std::vector<Signature> signatures;
  for (const auto& step : made_of.definition.steps()) {
    const auto model = loaded.find(step.model_version());
    if (model == loaded.end()) return NotFound(step.model_version());
    models.push_back(model->second);
    signatures.push_back(model->second->signature());
    // Which its files do not tell.
    signatures.back().states = made_of.models.at(model->first).signature.states;
  }
  ASSIGN_OR_RETURN(pipeline::Plan plan, graph.Bind(signatures));
  return std::make_shared<PipelineModel>(std::move(plan), std::move(models), clock_);
}

absl::StatusOr<ModelPtr> PipelineRuntime::LoadStep(const ModelSource& source) {
  ASSIGN_OR_RETURN(ModelPtr loaded, models_.Load(source));
  RETURN_IF_ERROR(CheckSameSignature(source.signature, loaded->signature()));
  RETURN_IF_ERROR(WarmUp(*loaded, source));
  return loaded;
}

}  // namespace slipway::worker
