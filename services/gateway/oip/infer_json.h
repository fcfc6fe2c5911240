#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_

#include <string>
#include <string_view>

#include "common/status/status.h"

namespace inference {
class ModelInferRequest;
class ModelInferResponse;
}  // namespace inference

// The Open Inference Protocol's JSON, to and from its gRPC messages with raw tensors. Any thread.
namespace slipway::gateway {

/// The response parameter by which a worker says how long the model ran. Callers do not see it.
inline constexpr std::string_view kComputeMicrosParameter = "slipway_compute_micros";

/// Reads the body of an infer request; `request` is empty before. Numbers go from the text
/// straight into the raw tensors; nothing is allocated that is larger than a few times the body.
/// `data` may be flat or nested as the shape says. Unknown keys are passed over, as the protocol's
/// extensions use them; known keys must come once. Model name and version stay empty.
///
/// `body` may get more capacity. Errors: InvalidField ("inputs.pixels.data", ...).
absl::Status ReadInferRequest(std::string& body, inference::ModelInferRequest& request);

/// Writes the answer of a worker. Numbers are the shortest texts that read back as the same; NaN
/// and infinities, which JSON lacks, are null.
/// Errors: kInvalidArgument for outputs that JSON cannot carry (FP16, BF16, bytes that are not
/// UTF-8); kInternal where shape and bytes of the worker's tensors do not fit together.
absl::StatusOr<std::string> WriteInferResponse(const inference::ModelInferResponse& response,
                                               std::string_view model_name,
                                               std::string_view model_version);

/// Appends `text` as a JSON string with its quotes. False where it is not UTF-8; what was
/// appended is then of no use.
bool AppendJsonString(std::string_view text, std::string& out);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_
