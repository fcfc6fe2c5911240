#ifndef SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_RUNTIME_H_

#include <memory>

#include "common/time/clock.h"
#include "services/inference/model_runtime.h"
#include "services/inference/pipeline/pipeline_source.h"

namespace slipway::worker {

/// Adds pipelines to what another runtime runs: loads the models of a pipeline's steps by it, each
/// version once, warms each up (a branch that no recorded row takes would stay cold), and puts them
/// together. Everything else goes to the other runtime as it is. Any thread.
class PipelineRuntime final : public ModelRuntime {
 public:
  /// Both outlive this object.
  PipelineRuntime(ModelRuntime& models, const Clock& clock) : models_(models), clock_(clock) {}

  /// Further errors, for a pipeline: InvalidField below "pipeline" where it does not fit its steps;
  /// what is wrong with a step's model, naming the version; kFailedPrecondition (a precision below
  /// float32).
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override;

 private:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadStep(const ModelSource& source);

  ModelRuntime& models_;
  const Clock& clock_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_RUNTIME_H_
