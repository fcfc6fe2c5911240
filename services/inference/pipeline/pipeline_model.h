#ifndef SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_MODEL_H_
#define SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_MODEL_H_

#include <memory>
#include <vector>

#include "common/pipeline/pipeline_graph.h"
#include "common/time/clock.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// Models that answer as one. A run is one step after the other on the calling thread; what a step
/// gives is what the next one takes, in the same memory. Only where a condition parts a batch's
/// rows, or joins them again, they are copied. Any thread.
class PipelineModel final : public LoadedModel {
 public:
  using ModelPtr = std::shared_ptr<const LoadedModel>;

  /// `models` are those of the plan's steps; one may be there several times. `clock` outlives it.
  PipelineModel(pipeline::Plan plan, std::vector<ModelPtr> models, const Clock& clock);

  std::string_view platform() const override { return "slipway_pipeline"; }
  const Signature& signature() const override { return plan_.signature; }
  /// Of a model that several steps share: once.
  int64_t memory_bytes() const override;
  int64_t device_memory_bytes() const override;
  /// Errors name their step. Ends with kDeadlineExceeded between two steps.
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const override;

 private:
  class Walk;

  int64_t Sum(int64_t (LoadedModel::*bytes_of)() const) const;

  const pipeline::Plan plan_;
  const std::vector<ModelPtr> models_;
  const bool parts_rows_;
  const Clock& clock_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_PIPELINE_PIPELINE_MODEL_H_
