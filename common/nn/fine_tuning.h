#ifndef SLIPWAY_COMMON_NN_FINE_TUNING_H_
#define SLIPWAY_COMMON_NN_FINE_TUNING_H_

#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

// Which weights of a network a training changes. Torch-free; any thread.
namespace slipway::nn {

/// The layer that makes Network::head().
const Layer& HeadOf(const Network& network);

/// The network with those layers frozen: see Layer::frozen.
Network Freeze(Network network, absl::FunctionRef<bool(const Layer&)> frozen);

/// The network with an adapter beside each of those layers, which are Gemm without one and frozen.
/// The adapters' parameters are called LAYER.lora.a and LAYER.lora.b and come after all others;
/// they start so that they change nothing.
Network AddAdapters(Network network, const LowRankAdapter& adapter,
                    absl::FunctionRef<bool(const Layer&)> adapted);

/// The parameters of the network before AddAdapters that does what `network` does with `tensors`:
/// to each adapted weight its adapter's product is added. FP32 on this machine's memory. Errors:
/// those of MatchParameters.
absl::StatusOr<std::vector<Tensor>> MergeAdapters(const Network& network,
                                                  std::span<const Tensor> tensors);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_FINE_TUNING_H_
