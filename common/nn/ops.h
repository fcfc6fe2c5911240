#ifndef SLIPWAY_COMMON_NN_OPS_H_
#define SLIPWAY_COMMON_NN_OPS_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "common/nn/activation.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

// What a layer computes. Operators mean what ONNX (opset 20) calls by the same name
// (https://onnx.ai/onnx/operators), so that an exporter is a walk over the graph. Dimension 0 is
// the batch and may be free.
//
// A new operator is a struct here and in the variant; the compiler then names each visitor that
// lacks it: InferOutputs and CountFlops (ops.cc), the interpreter (torch_network.cc) and the
// exporter (common/onnx/export.cc).
namespace slipway::nn {

/// Another element type.
struct Cast {
  DataType to = DataType::kFp32;
};

/// x * scale + shift with constants (Mul, Add): one of each, or one for each element of the last
/// dimension.
struct Affine {
  std::vector<double> scale;
  std::vector<double> shift;
};

/// [N, ...] -> [N, dims...] with as many elements.
struct Reshape {
  std::vector<int64_t> dims;
};

/// [N, ...] -> [N, product] (axis 1).
struct Flatten {};

/// [N, in] -> [N, out]: x W^T + b (transB = 1). Parameters: weight [out, in], bias [out].
struct Gemm {
  int64_t out_features = 0;
};

/// [N, C, H, W] -> [N, out, H', W'], square window, zero padding on each side. Parameters: weight
/// [out, C, kernel, kernel], bias [out].
struct Conv {
  int64_t out_channels = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 0;
};

/// The largest of each square window; no padding, and what is left over at the edge is dropped.
struct MaxPool {
  int64_t kernel = 2;
  int64_t stride = 2;
};

/// The mean of each square window, as MaxPool.
struct AveragePool {
  int64_t kernel = 2;
  int64_t stride = 2;
};

/// [N, C, H, W] -> [N, C, 1, 1].
struct GlobalAveragePool {};

/// Over all but dimension 1. Parameters: weight, bias, running_mean, running_var, each [C]. In
/// training by the batch's statistics, which move the running ones by `momentum` (PyTorch's
/// sense: running = (1 - momentum) running + momentum batch).
struct BatchNormalization {
  double epsilon = 1e-5;
  double momentum = 0.1;
};

/// Element by element.
struct Activate {
  Activation function = Activation::kRelu;
};

/// In training zeroes each element with probability `rate` and divides the others by 1 - rate;
/// otherwise nothing.
struct Dropout {
  double rate = 0.5;
};

/// Over the last dimension.
struct Softmax {};

using Op = std::variant<Cast, Affine, Reshape, Flatten, Gemm, Conv, MaxPool, AveragePool,
                        GlobalAveragePool, BatchNormalization, Activate, Dropout, Softmax>;

/// The operator's name in ONNX ("Activate" has its function's: "Relu"); for messages and export.
std::string_view OpName(const Op& op);

/// Types and shapes of the results, unnamed. Errors: kInvalidArgument in words of the operator
/// ("a window of 2x2 does not fit a picture of 1x1"); whoever knows which field of a spec is to
/// blame puts its path in front.
absl::StatusOr<std::vector<TensorSpec>> InferOutputs(const Op& op,
                                                     std::span<const TensorSpec> inputs);

/// Floating-point operations of a forward pass of one row (a multiply-add counts 2).
double CountFlops(const Op& op, std::span<const TensorSpec> inputs,
                  std::span<const TensorSpec> outputs);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_OPS_H_
