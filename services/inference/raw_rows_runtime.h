#ifndef SLIPWAY_SERVICES_INFERENCE_RAW_ROWS_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_RAW_ROWS_RUNTIME_H_

#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// Puts in front of a network what turns raw rows into those that it was trained on (see
/// docs/adr/0015): what encodes the rows of a table, or scales pictures. Any other model is left as
/// it is. A row of a table that cannot be encoded (a value is missing, and its column has nothing
/// to put there) gets NaN in every FP32 output, and no other row notices. Any thread.
class RawRowsRuntime final : public ModelRuntime {
 public:
  /// `network`, which outlives this, loads what these rows go to.
  explicit RawRowsRuntime(ModelRuntime& network) : network_(network) {}

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override;

 private:
  ModelRuntime& network_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_RAW_ROWS_RUNTIME_H_
