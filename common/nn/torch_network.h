#ifndef SLIPWAY_COMMON_NN_TORCH_NETWORK_H_
#define SLIPWAY_COMMON_NN_TORCH_NETWORK_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::nn {

/// A Network with its parameters, run by LibTorch. The graph is compiled once into a list of
/// steps, so that a call costs what the operators cost.
///
/// Trainable parameters (FP32) lie in one flat tensor, and their gradients in another: an
/// optimiser, a norm or an all-reduce is one operation for all of them. Weights of convolutions
/// are kept channels-last.
///
/// Infer, Evaluate and Save may run on any number of threads at once, but not beside Initialize,
/// Load, Train or a change of parameters().
class TorchNetwork {
 public:
  /// kInference: no gradients are kept, and operators need not watch for them (a tenth of a small
  /// model's time, measured); Initialize, Train, parameters and gradients are not to be used.
  enum class Use { kTraining, kInference };

  /// Allocates; the parameters are zero. `device` is "cpu", "cuda" or "cuda:1".
  /// Errors: kInvalidArgument (device), kFailedPrecondition (no such device here),
  /// kResourceExhausted (memory).
  static absl::StatusOr<std::unique_ptr<TorchNetwork>> Create(Network network,
                                                              const std::string& device = "cpu",
                                                              Use use = Use::kTraining);
  ~TorchNetwork();

  const Network& network() const { return network_; }

  /// Starts all parameters as the network says. The same seed gives the same numbers on every
  /// machine and device.
  absl::Status Initialize(uint64_t seed);

  /// Takes the parameters from tensors of these names (those of a SafetensorsFile). Errors:
  /// kInvalidArgument that names the tensor that is missing, unknown, no FP32 or of another shape;
  /// nothing is changed then.
  absl::Status Load(std::span<const Tensor> tensors);

  /// The parameters by name, as Load takes them; copies.
  absl::StatusOr<std::vector<Tensor>> Save() const;

  /// From raw inputs to outputs, in the order of network().inputs() and outputs(). Errors:
  /// kInvalidArgument (count, type or shape of an input, named "inputs[0].shape"),
  /// kResourceExhausted (memory), kInternal.
  absl::StatusOr<std::vector<Tensor>> Run(std::span<const Tensor> inputs) const;

  /// The same for tensors on the device, whose shapes the caller has checked. Throws c10::Error.
  std::vector<at::Tensor> Infer(std::span<const at::Tensor> inputs) const;

  /// From raw inputs to the head, as inference does it. With `steps` (of a head [N, T, outputs]:
  /// places in [N T], INT64) only what it says at those is computed, [steps, outputs]. Throws
  /// c10::Error.
  at::Tensor Evaluate(const at::Tensor& input, const at::Tensor& steps = {}) const;

  /// The same as training does it: with dropout and batch statistics, and recorded for backward(),
  /// which adds to gradients(). One thread. Throws c10::Error.
  at::Tensor Train(const at::Tensor& input, const at::Tensor& steps = {});

  /// All trainable parameters, flat: change it without grad mode. First come those that decay
  /// (Parameter::decays), `decaying_size()` elements. Some elements are padding, whose gradient is
  /// always 0.
  at::Tensor& parameters() { return flat_; }
  int64_t decaying_size() const { return decaying_size_; }
  /// Their gradients, to be zeroed between steps.
  at::Tensor& gradients() { return flat_gradients_; }
  /// The parameters that Train() itself changes: statistics of layers that are not frozen.
  std::vector<at::Tensor> statistics() const;

  /// A trainable parameter as backward() sees it; `first` is its place in parameters().
  struct Leaf {
    at::Tensor tensor;
    int64_t first;
  };
  /// In the order of their places; of those that decay, and of the others, that of their layers.
  const std::vector<Leaf>& leaves() const { return leaves_; }

 private:
  enum class Mode { kTrain, kInfer };
  // Computes one value from those before it.
  using Step = std::function<void(std::span<at::Tensor> values)>;
  using Plan = std::vector<Step>;

  TorchNetwork(Network network, Use use) : network_(std::move(network)), use_(use) {}
  void Allocate(const std::string& device);
  Plan Compile(Mode mode, const std::vector<ValueId>& targets) const;
  at::Tensor RunToHead(const Plan& plan, const at::Tensor& input, const at::Tensor& steps) const;

  const Network network_;
  const Use use_;
  at::Tensor flat_;
  at::Tensor flat_gradients_;
  int64_t decaying_size_ = 0;
  std::vector<at::Tensor> tensors_;  // by ParameterId; views of flat_ where trainable
  std::vector<Leaf> leaves_;
  Plan train_;
  Plan evaluate_;
  Plan infer_;
};

/// A view of the tensor's data that keeps it alive; on the CPU. BYTES is not taken.
at::Tensor ToTorch(const Tensor& tensor);

/// The inverse: copies only from another device or to make the elements contiguous.
absl::StatusOr<Tensor> FromTorch(std::string name, const at::Tensor& tensor);

/// What an exception out of LibTorch means: kResourceExhausted where memory ran out, else
/// kInternal with the first line of its text.
absl::Status TorchError(const std::exception& error);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_TORCH_NETWORK_H_
