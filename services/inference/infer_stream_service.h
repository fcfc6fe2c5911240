#ifndef SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_SERVICE_H_
#define SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_SERVICE_H_

#include <grpcpp/support/server_callback.h>

#include <functional>

#include "common/grpc/edge.h"
#include "common/time/clock.h"
#include "inference/open_inference.pb.h"
#include "services/inference/inference_call.h"

namespace slipway::worker {

using InferStreamReactor =
    grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>;

/// Starts an inference; `caller` hears its end, perhaps before this returns.
using StartInference =
    std::function<void(const InferenceRequest& request, InferenceCaller& caller)>;

/// Handles one ModelStreamInfer call; deletes itself at its end. A few of its requests run at
/// once, so that they can share a batch; answers go out in the order of the requests. A request
/// that fails gets an error_message and does not end the stream. `edge`, `clock` and what `start`
/// needs outlive it.
InferStreamReactor* NewInferStream(grpc::CallbackServerContext& context, ServiceEdge& edge,
                                   const Clock& clock, StartInference start);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFER_STREAM_SERVICE_H_
