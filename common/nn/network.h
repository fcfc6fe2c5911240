#ifndef SLIPWAY_COMMON_NN_NETWORK_H_
#define SLIPWAY_COMMON_NN_NETWORK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/nn/initialization.h"
#include "common/nn/ops.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::nn {

/// A tensor that training changes and a model file holds.
struct Parameter {
  std::string name;  // "conv.0.weight", unique in its network
  Shape shape;
  Init init;
  /// False for statistics that a forward pass keeps (running_mean), and for all of a frozen layer:
  /// saved, but not optimised.
  bool trainable = true;
  /// Whether weight decay shrinks it: weights, but not biases and normalisation.
  bool decays = true;
};

/// Places in Network::values and Network::parameters.
using ValueId = int;
using ParameterId = int;

/// What training may add to the result of a Gemm (LoRA, https://arxiv.org/abs/2106.09685): scale *
/// dropout(x) A^T B^T. A [rank, in] and B [out, rank] are the last two parameters of the layer. It
/// is merged into the weight before a network is served: see MergeAdapters.
struct LowRankAdapter {
  int64_t rank = 0;
  double scale = 1;
  double dropout = 0;
};

/// One operator applied to values.
struct Layer {
  std::string name;  // "conv.0", unique in its network
  Op op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<ParameterId> parameters;  // in the order that the operator documents
  /// Its own parameters stay as they are in training, statistics too, by which batch normalisation
  /// then goes.
  bool frozen = false;
  std::optional<LowRankAdapter> adapter = {};  // of a Gemm
};

/// A network as a graph: values that layers compute from other values and from parameters.
/// Torch-free and immutable; made by NetworkBuilder (and Freeze, AddAdapters), interpreted by
/// TorchNetwork, and written as ONNX by common/onnx. Layers stand in an order in which they can
/// run. Any thread.
class Network {
 public:
  const std::vector<TensorSpec>& values() const { return values_; }
  const std::vector<Layer>& layers() const { return layers_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }

  const TensorSpec& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const Parameter& parameter(ParameterId id) const { return parameters_[static_cast<size_t>(id)]; }

  /// What a caller gives (raw rows) and gets, in the order of the model's signature.
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }

  /// What a loss judges: for a classifier the logits, of which the output is the softmax. The
  /// outputs need not be made of it.
  ValueId head() const { return head_; }

  /// Numbers in trainable parameters.
  int64_t trainable_count() const;

  /// Bytes of all parameters.
  int64_t parameter_bytes() const;

  /// Floating-point operations of one row's forward pass, through all layers or that one.
  double flops() const;
  double flops(const Layer& layer) const;

 private:
  friend class NetworkBuilder;
  friend Network Freeze(Network network, absl::FunctionRef<bool(const Layer&)> frozen);
  friend Network AddAdapters(Network network, const LowRankAdapter& adapter,
                             absl::FunctionRef<bool(const Layer&)> adapted);
  std::vector<TensorSpec> values_;
  std::vector<Layer> layers_;
  std::vector<Parameter> parameters_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  ValueId head_ = 0;
};

/// For each layer whether one of these values is made of its results.
std::vector<bool> LayersFor(const Network& network, std::span<const ValueId> values);

/// The tensor of each parameter, by ParameterId; they point into `tensors`, which are all used.
/// Errors: kInvalidArgument that names the tensor: missing, there twice, of another network, of
/// another type than FP32 or of another shape.
absl::StatusOr<std::vector<const Tensor*>> MatchParameters(const Network& network,
                                                           std::span<const Tensor> tensors);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_NETWORK_H_
