#ifndef SLIPWAY_COMMON_NN_ACTIVATION_H_
#define SLIPWAY_COMMON_NN_ACTIVATION_H_

#include <array>
#include <string_view>

#include "common/fields/field_reader.h"

namespace slipway::nn {

/// A function of one number that a layer applies to each element.
enum class Activation { kRelu, kGelu, kTanh, kSigmoid, kIdentity };

/// As specs write them.
inline constexpr std::array<Name<Activation>, 5> kActivations = {{
    {"relu", Activation::kRelu},
    {"gelu", Activation::kGelu},
    {"tanh", Activation::kTanh},
    {"sigmoid", Activation::kSigmoid},
    {"identity", Activation::kIdentity},
}};

/// Never falls as its argument grows: then it may trade places with a maximum.
bool IsMonotone(Activation activation);

/// "Relu", "Gelu" (the exact one, by erf), "Tanh", "Sigmoid", "Identity".
std::string_view OnnxName(Activation activation);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_ACTIVATION_H_
