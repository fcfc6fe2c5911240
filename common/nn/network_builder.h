#ifndef SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_
#define SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/nn/network.h"
#include "common/status/status.h"

namespace slipway::nn {

/// Makes a Network layer by layer; each step infers the shapes of its results at once, so that an
/// error comes from the layer that does not fit (kInvalidArgument in the operator's words, see
/// InferOutputs). One thread.
class NetworkBuilder {
 public:
  /// More numbers than this in one network are refused.
  static constexpr int64_t kMaxParameters = int64_t{1} << 37;

  /// A value that callers give.
  ValueId Input(TensorSpec spec);

  /// Adds any operator; the general form of what follows. Results are called `name`. Parameter
  /// names get `name` and a dot in front.
  absl::StatusOr<std::vector<ValueId>> Add(const std::string& name, Op op,
                                           std::vector<ValueId> inputs,
                                           std::vector<Parameter> parameters = {});
  /// Adds an operator with one input and one result and without parameters.
  absl::StatusOr<ValueId> Apply(const std::string& name, Op op, ValueId input);

  /// Gemm and Conv with weights that start uniform in +-`gain` / sqrt(fan in) (1 is PyTorch's
  /// default; sqrt(6) is Kaiming's for ReLU) and biases that start likewise with gain 1.
  absl::StatusOr<ValueId> Linear(const std::string& name, ValueId input, int64_t out_features,
                                 double gain = 1);
  absl::StatusOr<ValueId> Convolution(const std::string& name, ValueId input, Conv conv,
                                      double gain = 1);
  absl::StatusOr<ValueId> Normalize(const std::string& name, ValueId input,
                                    BatchNormalization op = {});

  /// The value's type and shape. The reference holds until the next layer is added.
  const TensorSpec& value(ValueId id) const { return network_.value(id); }

  /// Ends it. `outputs` are renamed to the names given beside them.
  Network Finish(ValueId head, std::vector<std::pair<std::string, ValueId>> outputs) &&;

 private:
  Network network_;
  int64_t parameter_count_ = 0;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_
