#ifndef SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_H_
#define SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_H_

#include <functional>
#include <memory>

#include "common/grpc/service.h"
#include "common/time/clock.h"
#include "services/inference/inference_call.h"

namespace slipway::worker {

/// Starts an inference; `caller` hears its end, perhaps before this returns.
using StartInference =
    std::function<void(const InferenceRequest& request, InferenceCaller& caller)>;

/// Handles one ModelStreamInfer call. A few of its requests run at once, so that they can share a
/// batch; answers go out in the order of the requests. A request that fails gets an error_message
/// and does not end the stream. `clock` and what `start` needs outlive the call.
void RunInferStream(std::unique_ptr<ServiceCall> call, const Clock& clock, StartInference start);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_H_
