#include "common/nn/ops.h"

#include <optional>
#include <string>

#include "fmt/format.h"

namespace slipway::nn {
namespace {

using Inputs = std::span<const TensorSpec>;
using Outputs = absl::StatusOr<std::vector<TensorSpec>>;

absl::Status Misfit(std::string problem) { return absl::InvalidArgumentError(std::move(problem)); }

std::vector<TensorSpec> One(DataType dtype, Shape shape) {
  return {TensorSpec{"", dtype, std::move(shape)}};
}

absl::Status CheckRank(const Op& op, const TensorSpec& input, size_t rank) {
  if (input.shape.rank() == rank) return absl::OkStatus();
  return Misfit(
      fmt::format("{} takes {} dimensions, got {}", OpName(op), rank, input.shape.ToString()));
}

absl::Status CheckSteps(const Op& op, const TensorSpec& input) {
  return input.shape.rank() > 2 ? absl::OkStatus() : CheckRank(op, input, 3);
}

// A sequence [N, T, width], perhaps with the lengths of its rows.
absl::Status CheckSequence(const Op& op, Inputs in) {
  RETURN_IF_ERROR(CheckRank(op, in[0], 3));
  if (in.size() == 1 || (in[1].shape.rank() == 1 && in[1].dtype == DataType::kInt64)) {
    return absl::OkStatus();
  }
  return Misfit(fmt::format("lengths are INT64 [N], got {} {}", DataTypeName(in[1].dtype),
                            in[1].shape.ToString()));
}

// How many windows fit side by side.
std::optional<int64_t> Windows(int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
  const int64_t room = size + 2 * padding - kernel;
  if (room < 0) return std::nullopt;
  return room / stride + 1;
}

Outputs Slide(const TensorSpec& x, int64_t channels, int64_t kernel, int64_t stride,
              int64_t padding) {
  const auto height = Windows(x.shape[2], kernel, stride, padding);
  const auto width = Windows(x.shape[3], kernel, stride, padding);
  if (!height || !width) {
    return Misfit(fmt::format("a window of {}x{} does not fit a picture of {}x{}", kernel, kernel,
                              x.shape[2] + 2 * padding, x.shape[3] + 2 * padding));
  }
  return One(x.dtype, {x.shape[0], channels, *height, *width});
}

// Elements of a row.
int64_t Elements(const TensorSpec& spec) { return spec.shape.Product(1); }
double Count(const TensorSpec& spec) { return static_cast<double>(Elements(spec)); }

struct Inference {
  const Op& op;
  Inputs in;
  const TensorSpec& x = in[0];

  Outputs operator()(const Cast& cast) const { return One(cast.to, x.shape); }

  Outputs operator()(const Affine& affine) const {
    if (affine.scale.size() != affine.shift.size())
      return Misfit("scale and shift differ in length");
    const auto count = static_cast<int64_t>(affine.scale.size());
    const int64_t last = x.shape.rank() < 2 ? 1 : x.shape[x.shape.rank() - 1];
    if (count != 1 && count != last) {
      return Misfit(fmt::format("{} constants do not fit {}", count, x.shape.ToString()));
    }
    return One(x.dtype, x.shape);
  }

  Outputs operator()(const Reshape& reshape) const {
    std::vector<int64_t> dims = {x.shape[0]};
    dims.insert(dims.end(), reshape.dims.begin(), reshape.dims.end());
    Shape shape(std::move(dims));
    if (shape.Product(1) != Elements(x)) {
      return Misfit(
          fmt::format("{} has not as many elements as {}", shape.ToString(), x.shape.ToString()));
    }
    return One(x.dtype, std::move(shape));
  }

  Outputs operator()(const Flatten&) const { return One(x.dtype, {x.shape[0], Elements(x)}); }

  Outputs operator()(const Gemm& gemm) const {
    if (x.shape.rank() < 2) return CheckRank(op, x, 2);
    Shape shape = x.shape;
    shape[shape.rank() - 1] = gemm.out_features;
    return One(x.dtype, std::move(shape));
  }

  Outputs operator()(const Conv& conv) const {
    RETURN_IF_ERROR(CheckRank(op, x, 4));
    return Slide(x, conv.out_channels, conv.kernel, conv.stride, conv.padding);
  }
  Outputs operator()(const MaxPool& pool) const {
    RETURN_IF_ERROR(CheckRank(op, x, 4));
    return Slide(x, x.shape[1], pool.kernel, pool.stride, 0);
  }
  Outputs operator()(const AveragePool& pool) const {
    RETURN_IF_ERROR(CheckRank(op, x, 4));
    return Slide(x, x.shape[1], pool.kernel, pool.stride, 0);
  }
  Outputs operator()(const GlobalAveragePool&) const {
    RETURN_IF_ERROR(CheckRank(op, x, 4));
    return One(x.dtype, {x.shape[0], x.shape[1], 1, 1});
  }

  Outputs operator()(const BatchNormalization&) const {
    if (x.shape.rank() < 2) return Misfit(fmt::format("got {}", x.shape.ToString()));
    return One(x.dtype, x.shape);
  }
  Outputs operator()(const LayerNormalization&) const {
    if (x.shape.rank() < 2) return CheckRank(op, x, 2);
    return One(x.dtype, x.shape);
  }
  Outputs operator()(const Add&) const {
    for (const TensorSpec& other : in) {
      if (other.shape == x.shape) continue;
      return Misfit(fmt::format("{} and {} differ", x.shape.ToString(), other.shape.ToString()));
    }
    return One(x.dtype, x.shape);
  }
  Outputs operator()(const Embedding& embedding) const {
    RETURN_IF_ERROR(CheckRank(op, x, 2));
    return One(DataType::kFp32, {x.shape[0], x.shape[1], embedding.width});
  }
  Outputs operator()(const Length&) const {
    RETURN_IF_ERROR(CheckRank(op, x, 2));
    return One(DataType::kInt64, {x.shape[0]});
  }
  Outputs operator()(const TakeLast&) const {
    RETURN_IF_ERROR(CheckSequence(op, in));
    return WithoutSteps();
  }
  Outputs operator()(const Take& take) const {
    RETURN_IF_ERROR(CheckSteps(op, x));
    if (take.index < 0 || take.index >= x.shape[1]) {
      return Misfit(fmt::format("{} has no place {}", x.shape.ToString(), take.index));
    }
    return WithoutSteps();
  }
  Outputs operator()(const ReduceMean&) const {
    RETURN_IF_ERROR(CheckSequence(op, in));
    return WithoutSteps();
  }
  Outputs operator()(const Recurrent& recurrent) const {
    RETURN_IF_ERROR(CheckSequence(op, in));
    const int64_t width = recurrent.directions() * recurrent.hidden;
    if (recurrent.last) return One(x.dtype, {x.shape[0], width});
    return One(x.dtype, {x.shape[0], x.shape[1], width});
  }
  Outputs operator()(const Attention& attention) const {
    RETURN_IF_ERROR(CheckSequence(op, in));
    if (attention.causal && in.size() > 1) return Misfit("a causal Attention takes no lengths");
    if (x.shape[2] % (3 * attention.heads) != 0) {
      return Misfit(fmt::format("{} has no query, key and value of {} heads", x.shape.ToString(),
                                attention.heads));
    }
    return One(x.dtype, {x.shape[0], x.shape[1], x.shape[2] / 3});
  }
  Outputs operator()(const Activate&) const { return One(x.dtype, x.shape); }
  Outputs operator()(const Dropout&) const { return One(x.dtype, x.shape); }
  Outputs operator()(const Softmax&) const { return One(x.dtype, x.shape); }

  Outputs WithoutSteps() const {
    std::vector<int64_t> dims = x.shape.dims();
    dims.erase(dims.begin() + 1);
    return One(x.dtype, Shape(std::move(dims)));
  }
};

struct FlopCount {
  const TensorSpec& x;
  const TensorSpec& y;

  double operator()(const Cast&) const { return 0; }
  double operator()(const Reshape&) const { return 0; }
  double operator()(const Flatten&) const { return 0; }
  double operator()(const Dropout&) const { return 0; }
  double operator()(const Affine&) const { return 2 * Count(y); }
  double operator()(const Gemm& gemm) const {
    return 2 * Count(x) * static_cast<double>(gemm.out_features);
  }
  double operator()(const Conv& conv) const {
    return 2 * Count(y) * static_cast<double>(x.shape[1] * conv.kernel * conv.kernel);
  }
  double operator()(const MaxPool& pool) const {
    return Count(y) * static_cast<double>(pool.kernel * pool.kernel);
  }
  double operator()(const AveragePool& pool) const {
    return Count(y) * static_cast<double>(pool.kernel * pool.kernel);
  }
  double operator()(const GlobalAveragePool&) const { return Count(x); }
  double operator()(const BatchNormalization&) const { return 2 * Count(y); }
  double operator()(const LayerNormalization&) const { return 8 * Count(y); }
  double operator()(const Add&) const { return Count(y); }
  double operator()(const Embedding&) const { return 0; }
  double operator()(const Length&) const { return Count(x); }
  double operator()(const Take&) const { return 0; }
  double operator()(const TakeLast&) const { return 0; }
  double operator()(const ReduceMean&) const { return Count(x); }
  double operator()(const Recurrent& recurrent) const {
    const int64_t gates = x.shape[1] * recurrent.directions() * recurrent.gates();
    return 2 * static_cast<double>(gates * recurrent.hidden) *
           static_cast<double>(x.shape[2] + recurrent.hidden);
  }
  double operator()(const Attention&) const {
    // Of each pair of steps: query times key, and weight times value.
    return 4 * static_cast<double>(x.shape[1]) * Count(y);
  }
  double operator()(const Activate&) const { return Count(y); }
  double operator()(const Softmax&) const { return 3 * Count(y); }
};

struct Naming {
  std::string_view operator()(const Cast&) const { return "Cast"; }
  std::string_view operator()(const Affine&) const { return "Affine"; }
  std::string_view operator()(const Reshape&) const { return "Reshape"; }
  std::string_view operator()(const Flatten&) const { return "Flatten"; }
  std::string_view operator()(const Gemm&) const { return "Gemm"; }
  std::string_view operator()(const Conv&) const { return "Conv"; }
  std::string_view operator()(const MaxPool&) const { return "MaxPool"; }
  std::string_view operator()(const AveragePool&) const { return "AveragePool"; }
  std::string_view operator()(const GlobalAveragePool&) const { return "GlobalAveragePool"; }
  std::string_view operator()(const BatchNormalization&) const { return "BatchNormalization"; }
  std::string_view operator()(const LayerNormalization&) const { return "LayerNormalization"; }
  std::string_view operator()(const Add&) const { return "Add"; }
  std::string_view operator()(const Embedding&) const { return "Embedding"; }
  std::string_view operator()(const Length&) const { return "Length"; }
  std::string_view operator()(const Take&) const { return "Take"; }
  std::string_view operator()(const TakeLast&) const { return "TakeLast"; }
  std::string_view operator()(const ReduceMean&) const { return "ReduceMean"; }
  std::string_view operator()(const Recurrent& recurrent) const {
    switch (recurrent.cell) {
      case Recurrent::Cell::kRnn:
        return "RNN";
      case Recurrent::Cell::kLstm:
        return "LSTM";
      case Recurrent::Cell::kGru:
        return "GRU";
    }
    return "";
  }
  std::string_view operator()(const Attention&) const { return "Attention"; }
  std::string_view operator()(const Activate& activate) const {
    return OnnxName(activate.function);
  }
  std::string_view operator()(const Dropout&) const { return "Dropout"; }
  std::string_view operator()(const Softmax&) const { return "Softmax"; }
};

// How many inputs an operator may have.
struct Arity {
  size_t least = 1;
  size_t most = 1;
};

Arity ArityOf(const Op& op) {
  if (std::holds_alternative<TakeLast>(op)) return {2, 2};
  const bool more = std::holds_alternative<Add>(op) || std::holds_alternative<ReduceMean>(op) ||
                    std::holds_alternative<Recurrent>(op) || std::holds_alternative<Attention>(op);
  return {1, more ? size_t{2} : size_t{1}};
}

}  // namespace

std::string_view OpName(const Op& op) { return std::visit(Naming{}, op); }

absl::StatusOr<std::vector<TensorSpec>> InferOutputs(const Op& op, Inputs inputs) {
  const Arity arity = ArityOf(op);
  if (inputs.size() < arity.least || inputs.size() > arity.most) {
    return Misfit(fmt::format("{} takes {}, got {}", OpName(op),
                              arity.most == 1    ? "one input"
                              : arity.least == 2 ? "two inputs"
                                                 : "one or two inputs",
                              inputs.size()));
  }
  if (inputs[0].shape.rank() == 0) return Misfit("an input needs a batch dimension");
  ASSIGN_OR_RETURN(std::vector<TensorSpec> outputs, std::visit(Inference{op, inputs}, op));
  for (const TensorSpec& output : outputs) {
    Shape row = output.shape;
    row[0] = 1;
    RETURN_IF_ERROR(row.ElementCount("its result").status());
  }
  return outputs;
}

double CountFlops(const Op& op, Inputs inputs, std::span<const TensorSpec> outputs) {
  return std::visit(FlopCount{inputs[0], outputs[0]}, op);
}

}  // namespace slipway::nn
