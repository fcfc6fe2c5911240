#include "common/nn/fine_tuning.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::nn {
namespace {

// Places in the parameters of an adapted layer.
constexpr size_t kWeight = 0;
constexpr size_t kDown = 2;
constexpr size_t kUp = 3;

std::vector<float> ToFloats(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape().Product()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}

// weight [out, in] + scale * up [out, rank] down [rank, in].
absl::StatusOr<Tensor> Merge(const Tensor& weight, const Tensor& down, const Tensor& up,
                             double scale) {
  std::vector<float> sum = ToFloats(weight);
  const std::vector<float> a = ToFloats(down);
  const std::vector<float> b = ToFloats(up);
  const auto width = static_cast<size_t>(weight.shape()[1]);
  const auto rank = static_cast<size_t>(down.shape()[0]);
  const size_t rows = width == 0 ? 0 : sum.size() / width;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t k = 0; k < rank; ++k) {
      const auto factor = static_cast<float>(scale * b[row * rank + k]);
      for (size_t i = 0; i < width; ++i) sum[row * width + i] += factor * a[k * width + i];
    }
  }
  std::string bytes(reinterpret_cast<const char*>(sum.data()), sum.size() * sizeof(float));
  return Tensor::Make(weight.name(), DataType::kFp32, weight.shape(), Buffer::Own(std::move(bytes)),
                      weight.name());
}

}  // namespace

const Layer& HeadOf(const Network& network) {
  return *std::find_if(network.layers().begin(), network.layers().end(), [&](const Layer& layer) {
    return std::find(layer.outputs.begin(), layer.outputs.end(), network.head()) !=
           layer.outputs.end();
  });
}

Network Freeze(Network network, absl::FunctionRef<bool(const Layer&)> frozen) {
  for (Layer& layer : network.layers_) {
    if (!frozen(layer)) continue;
    layer.frozen = true;
    for (const ParameterId id : layer.parameters) {
      network.parameters_[static_cast<size_t>(id)].trainable = false;
    }
  }
  return network;
}

Network AddAdapters(Network network, const LowRankAdapter& adapter,
                    absl::FunctionRef<bool(const Layer&)> adapted) {
  for (Layer& layer : network.layers_) {
    if (!adapted(layer)) continue;
    const Shape weight = network.parameter(layer.parameters[kWeight]).shape;
    const auto add = [&](std::string_view name, Shape shape, Init init) {
      layer.parameters.push_back(static_cast<ParameterId>(network.parameters_.size()));
      network.parameters_.push_back(
          {fmt::format("{}.lora.{}", layer.name, name), std::move(shape), init, true, true});
    };
    const double bound = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(weight[1], 1)));
    add("a", {adapter.rank, weight[1]}, Init::Uniform(bound));
    add("b", {weight[0], adapter.rank}, Init::Constant(0));
    layer.adapter = adapter;
  }
  return network;
}

absl::StatusOr<std::vector<Tensor>> MergeAdapters(const Network& network,
                                                  std::span<const Tensor> tensors) {
  ASSIGN_OR_RETURN(const std::vector<const Tensor*> found, MatchParameters(network, tensors));
  std::vector<Tensor> merged;
  for (const Tensor* tensor : found) merged.push_back(*tensor);
  size_t count = merged.size();
  for (const Layer& layer : network.layers()) {
    if (!layer.adapter.has_value()) continue;
    const auto place = [&](size_t i) { return static_cast<size_t>(layer.parameters[i]); };
    ASSIGN_OR_RETURN(merged[place(kWeight)], Merge(*found[place(kWeight)], *found[place(kDown)],
                                                   *found[place(kUp)], layer.adapter->scale));
    count -= 2;
  }
  // The adapters' own come last.
  merged.erase(merged.begin() + static_cast<ptrdiff_t>(count), merged.end());
  return merged;
}

}  // namespace slipway::nn
