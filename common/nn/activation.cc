#include "common/nn/activation.h"

namespace slipway::nn {

bool IsMonotone(Activation activation) { return activation != Activation::kGelu; }

std::string_view OnnxName(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return "Relu";
    case Activation::kGelu:
      return "Gelu";
    case Activation::kTanh:
      return "Tanh";
    case Activation::kSigmoid:
      return "Sigmoid";
    case Activation::kIdentity:
      return "Identity";
  }
  return "";
}

}  // namespace slipway::nn
