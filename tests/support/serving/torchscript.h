#ifndef SLIPWAY_TESTS_SUPPORT_SERVING_TORCHSCRIPT_H_
#define SLIPWAY_TESTS_SUPPORT_SERVING_TORCHSCRIPT_H_

#include <span>
#include <string>

#include "common/tensor/tensor.h"

namespace slipway {

/// The bytes of a model.pt: a module with these methods, in TorchScript's language ("def
/// forward(self, x):\n  return x * self.w"), and these parameters, by name.
std::string MakeTorchScript(const std::string& methods, std::span<const Tensor> parameters = {});

/// Answers x * 2, but goes on for ever where the sum of x is more than 0.
inline constexpr char kEndlessForMoreThanZero[] = R"(
def forward(self, x):
  y = x * 2
  while bool(y.sum() > 0):
    y = y + 1
  return y
)";

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SERVING_TORCHSCRIPT_H_
