#ifndef SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_TYPES_H_
#define SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_TYPES_H_

#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "openvino/core/model.hpp"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// OpenVINO's name of a type; nothing for BYTES.
ov::element::Type ToOpenVino(DataType type);

/// What the model takes and gives, in its own order; -1 for a dimension that is free. Errors:
/// kInvalidArgument for a tensor of strings or of another type that callers cannot send, and for
/// one without a fixed number of dimensions.
absl::StatusOr<Signature> SignatureOf(const ov::Model& model);

/// What an exception out of OpenVINO means: kResourceExhausted where memory ran out, else `code`
/// with what it says, less the places in OpenVINO's own source.
absl::Status OpenVinoError(const std::exception& error, absl::StatusCode code);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_TYPES_H_
