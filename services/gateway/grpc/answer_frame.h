#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_ANSWER_FRAME_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_ANSWER_FRAME_H_

#include <string>
#include <string_view>

#include "services/gateway/oip/infer_message.h"

namespace slipway::gateway {

/// A worker's answer as a frame for the caller, under the names that the caller knows: as a
/// ModelInferResponse, or as a ModelStreamInferResponse. Tensors are copied once, into the frame.
std::string InferFrame(InferAnswer answer, std::string_view model, std::string_view version);
std::string StreamInferFrame(InferAnswer answer, std::string_view model, std::string_view version);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_ANSWER_FRAME_H_
