#ifndef SLIPWAY_COMMON_ONNX_EXPORT_H_
#define SLIPWAY_COMMON_ONNX_EXPORT_H_

#include <span>
#include <string>

#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::onnx {

/// What the files need of a reader.
inline constexpr int kIrVersion = 9;
inline constexpr int kOpset = 20;

/// The network with these weights as an ONNX file, for inference: dropout is left out, statistics
/// are constants. Inputs and outputs keep their names, and the batch is free. `weights` are the
/// network's parameters by name, as a model file holds them.
/// Errors: kInvalidArgument (weights that are not the network's, see MatchParameters),
/// kUnimplemented (what ONNX cannot say; more than the 2 GB that a file of Protobuf can hold).
absl::StatusOr<std::string> ExportOnnx(const nn::Network& network, std::span<const Tensor> weights);

}  // namespace slipway::onnx

#endif  // SLIPWAY_COMMON_ONNX_EXPORT_H_
