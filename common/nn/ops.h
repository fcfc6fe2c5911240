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

/// [N, in] -> [N, out]: x W^T + b (transB = 1); and so for each step of [N, ..., in], which ONNX
/// calls MatMul and Add. Parameters: weight [out, in], bias [out], which may be left out.
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

/// Over the last dimension (axis -1). Parameters: weight, bias, each [size of it].
struct LayerNormalization {
  double epsilon = 1e-5;
};

/// The sum of two inputs of one shape; or of one input and its parameter weight, which is shaped as
/// a row of it.
struct Add {};

/// [N, T] -> [N, T, width]: of each id its row of the table (Gather on axis 0). An id below 0 reads
/// the first row and one past the end the last (Clip), so that no caller can leave the table.
/// Parameter: weight [rows, width].
struct Embedding {
  int64_t rows = 0;
  int64_t width = 0;
};

/// Of ids [N, T] how many steps each row has: [N] INT64. A row ends behind its last id that is not
/// `pad`, and has at least one step. In ONNX Equal, Where and ReduceMax. What reads a sequence may
/// take these lengths as a second input: then no row sees what is behind its end.
struct Length {
  int64_t pad = 0;
};

/// [N, T, ...] -> [N, ...]: what is at `index` of dimension 1 (Gather).
struct Take {
  int64_t index = 0;
};

/// [N, T, width], lengths -> [N, width]: the last step of each row (GatherND).
struct TakeLast {};

/// [N, T, width], perhaps lengths -> [N, width]: the mean over the steps.
struct ReduceMean {};

/// RNN (tanh), LSTM, or GRU (linear_before_reset = 1): [N, T, in] -> the state after each step
/// [N, T, D hidden], or after the last one [N, D hidden], where D is 2 with a second direction,
/// which reads from the end. Starts at zeros. May take lengths; then the states behind a row's end
/// mean nothing. Parameters, with gates in ONNX's order: W [D, gates hidden, in], R [D, gates
/// hidden, hidden], B [D, 2 gates hidden].
struct Recurrent {
  enum class Cell { kRnn, kLstm, kGru };
  Cell cell = Cell::kLstm;
  int64_t hidden = 0;
  bool bidirectional = false;
  bool last = false;

  int64_t directions() const { return bidirectional ? 2 : 1; }
  int64_t gates() const { return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1; }
};

/// Scaled dot-product attention of several heads (https://arxiv.org/abs/1706.03762, 3.2): [N, T, 3
/// width], which is query, key and value side by side -> [N, T, width]. May take lengths. In ONNX
/// Transpose, MatMul and Softmax.
struct Attention {
  int64_t heads = 1;
  /// Each step sees itself and those before it only; there are no lengths then.
  bool causal = false;
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

using Op =
    std::variant<Cast, Affine, Reshape, Flatten, Gemm, Conv, MaxPool, AveragePool,
                 GlobalAveragePool, BatchNormalization, LayerNormalization, Add, Embedding, Length,
                 Take, TakeLast, ReduceMean, Recurrent, Attention, Activate, Dropout, Softmax>;

/// The operator's name, in ONNX where there is one of the kind ("Activate" has its function's:
/// "Relu"); for messages and export.
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
