#ifndef SLIPWAY_COMMON_NN_INITIALIZATION_H_
#define SLIPWAY_COMMON_NN_INITIALIZATION_H_

#include <array>
#include <cstdint>

#include "common/fields/field_reader.h"

namespace slipway::nn {

/// How a parameter starts.
struct Init {
  enum class Kind { kConstant, kUniform, kNormal, kOrthogonal };
  Kind kind = Kind::kConstant;
  /// The constant; the bound of [-value, value); the standard deviation; not used.
  double value = 0;

  static Init Constant(double value) { return {Kind::kConstant, value}; }
  static Init Uniform(double bound) { return {Kind::kUniform, bound}; }
  static Init Normal(double deviation) { return {Kind::kNormal, deviation}; }
  /// Of a matrix [rows, the rest], or of each matrix of a parameter of three dimensions: rows or
  /// columns, whichever are fewer, are orthonormal.
  static Init Orthogonal() { return {Kind::kOrthogonal, 0}; }
};

/// How a network's weights start; `initialization` of an architecture.
enum class Initialization {
  kUniform,  // +-1 / sqrt(fan in), biases too: PyTorch's default
  kNormal,   // deviation 0.02: BERT's and GPT-2's
  kXavier,   // uniform, +-sqrt(6 / (fan in + fan out)) (https://proceedings.mlr.press/v9/glorot10a)
  kKaiming,  // uniform, +-sqrt(6 / fan in), for ReLU (https://arxiv.org/abs/1502.01852)
  kOrthogonal,  // https://arxiv.org/abs/1312.6120
};

/// As specs write them.
inline constexpr std::array<Name<Initialization>, 5> kInitializations = {{
    {"uniform", Initialization::kUniform},
    {"normal", Initialization::kNormal},
    {"xavier", Initialization::kXavier},
    {"kaiming", Initialization::kKaiming},
    {"orthogonal", Initialization::kOrthogonal},
}};

/// The start of a weight that joins so many values to so many, and of its bias.
Init WeightInit(Initialization initialization, int64_t fan_in, int64_t fan_out);
Init BiasInit(Initialization initialization, int64_t fan_in);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_INITIALIZATION_H_
