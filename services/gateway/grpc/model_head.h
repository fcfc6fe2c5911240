#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_MODEL_HEAD_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_MODEL_HEAD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/gateway/oip/infer_message.h"

namespace slipway::gateway {

/// What routing needs of a serialized inference.ModelInferRequest.
struct ModelHead {
  std::string model;    ///< model_name
  std::string version;  ///< model_version
  std::string id;
  /// Of a stream's request: its last response is to be marked (by kFinalResponse).
  bool wants_final = false;
  SequenceHead sequence;
  bool less_urgent = false;  ///< see IsLessUrgent
  int64_t rows = 1;          ///< see RowsOf
};

/// Response parameter: no more responses come of this request.
inline constexpr char kFinalResponse[] = "triton_final_response";

/// Passes over all else, tensors above all, without looking inside: the worker does that. Errors:
/// kInvalidArgument (bytes that are no message).
absl::StatusOr<ModelHead> ReadModelHead(std::string_view request);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_MODEL_HEAD_H_
