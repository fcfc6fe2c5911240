#include "common/nn/initialization.h"

#include <algorithm>
#include <cmath>

namespace slipway::nn {
namespace {

constexpr double kNormalDeviation = 0.02;

// The bound of a uniform distribution of variance gain^2 / (3 fan).
double Bound(double gain, int64_t fan) {
  return gain / std::sqrt(static_cast<double>(std::max<int64_t>(fan, 1)));
}

}  // namespace

Init WeightInit(Initialization initialization, int64_t fan_in, int64_t fan_out) {
  switch (initialization) {
    case Initialization::kUniform:
      return Init::Uniform(Bound(1, fan_in));
    case Initialization::kNormal:
      return Init::Normal(kNormalDeviation);
    case Initialization::kXavier:
      return Init::Uniform(Bound(std::sqrt(6), fan_in + fan_out));
    case Initialization::kKaiming:
      return Init::Uniform(Bound(std::sqrt(6), fan_in));
    case Initialization::kOrthogonal:
      return Init::Orthogonal();
  }
  return {};
}

Init BiasInit(Initialization initialization, int64_t fan_in) {
  return initialization == Initialization::kUniform ? Init::Uniform(Bound(1, fan_in))
                                                    : Init::Constant(0);
}

}  // namespace slipway::nn
