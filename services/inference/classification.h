#ifndef SLIPWAY_SERVICES_INFERENCE_CLASSIFICATION_H_
#define SLIPWAY_SERVICES_INFERENCE_CLASSIFICATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::worker {

/// The classification extension of the Open Inference Protocol: the `count` highest scores of each
/// row (of fewer where there are fewer), highest first, the lower index first among equals, as a
/// BYTES tensor [rows, count] of "score:index" or, where labels has one, "score:index:label".
/// All but dimension 0 of `scores` are classes; where it has no batch dimension (`batched` false)
/// that one is too, and the answer is [count].
/// Errors: kInvalidArgument: a datatype that has no order (BOOL, BYTES).
absl::StatusOr<Tensor> TopClasses(const Tensor& scores, bool batched, int64_t count,
                                  const std::vector<std::string>& labels);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_CLASSIFICATION_H_
