#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_SETTINGS_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_SETTINGS_H_

#include <optional>
#include <string_view>

#include "common/status/status.h"
#include "services/inference/batching/batch_policy.h"
#include "services/inference/model_runtime.h"
#include "services/inference/response_cache/response_cache.h"
#include "services/inference/sequences/sequence_table.h"
#include "slipway/worker/v1/worker.pb.h"

namespace slipway::worker {

/// What a deployment says of how its model is to be run.
struct ModelSettings {
  RuntimeSettings runtime = {};
  BatchPolicy batching = {};
  /// Its model stays in memory.
  bool pinned = false;
  ResponseCacheSettings cache = {};
  /// Only for models with states; there without it the defaults hold.
  std::optional<SequenceSettings> sequences = std::nullopt;
};

/// With `defaults` for what they leave out. Errors: those of CheckRuntimeSettings.
absl::StatusOr<ModelSettings> ParseModelSettings(const v1::RuntimeSettings& settings,
                                                 const BatchPolicy& defaults,
                                                 std::string_view field);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_SETTINGS_H_
