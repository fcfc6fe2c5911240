#ifndef SLIPWAY_SERVICES_INFERENCE_TABLE_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_TABLE_RUNTIME_H_

#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// Puts in front of a network that was trained on a table what encodes the table's raw rows (see
/// docs/adr/0015); any other model is left as it is. A row that cannot be encoded (a value is
/// missing, and its column has nothing to put there) gets NaN in every FP32 output, and no other
/// row notices. Any thread.
class TableRuntime final : public ModelRuntime {
 public:
  /// `network`, which outlives this, loads what the encoded rows go to.
  explicit TableRuntime(ModelRuntime& network) : network_(network) {}

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override;

 private:
  ModelRuntime& network_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_TABLE_RUNTIME_H_
