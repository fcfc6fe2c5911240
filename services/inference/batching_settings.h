#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_SETTINGS_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_SETTINGS_H_

#include <string_view>

#include "common/status/status.h"
#include "services/inference/batching/batch_policy.h"
#include "slipway/worker/v1/worker.pb.h"

namespace slipway::worker {

/// A deployment's settings, with `defaults` for what they leave out. Errors: InvalidField below
/// `field` ("runtime.batching.max_rows").
absl::StatusOr<BatchPolicy> ParseBatching(const v1::Batching& settings, BatchPolicy defaults,
                                          std::string_view field);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_SETTINGS_H_
