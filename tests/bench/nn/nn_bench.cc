// What the interpreter of networks costs beside the operators that it calls: a forward pass by
// nn::TorchNetwork, and the same operators written by hand. One thread; CPU time decides.
//
//   bench/nn_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
//       --benchmark_report_aggregates_only=true

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>

#include "benchmark/benchmark.h"
#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

// 30 numbers of a table, standardised, through two hidden layers to two classes.
constexpr int64_t kColumns = 30;

ModelDescription Mlp() {
  ModelDescription description;
  description.input = {"features", DataType::kFp32, {-1, kColumns}};
  description.output = OutputOf(Task::kClassification, 2);
  description.architecture =
      ParseArchitecture(nlohmann::json::parse(R"({"type":"mlp","hidden":[64,32]})"), "a").value();
  description.preprocessing = {
      MakeStandardize(std::vector<double>(kColumns, 0.5), std::vector<double>(kColumns, 2.0))};
  return description;
}

std::unique_ptr<TorchNetwork> Make(const ModelDescription& description) {
  at::set_num_threads(1);
  auto network = TorchNetwork::Create(description.BuildNetwork("").value()).value();
  if (!network->Initialize(1).ok()) std::abort();
  return network;
}

void BM_MlpByHand(benchmark::State& state) {
  const auto network = Make(Mlp());
  std::map<std::string, at::Tensor> p;
  const auto saved = network->Save().value();
  for (const Tensor& tensor : saved) p[tensor.name()] = ToTorch(tensor).clone();
  const at::Tensor w0 = p["hidden.0.weight"], b0 = p["hidden.0.bias"];
  const at::Tensor w1 = p["hidden.1.weight"], b1 = p["hidden.1.bias"];
  const at::Tensor w2 = p["head.weight"], b2 = p["head.bias"];
  const at::Tensor scale = torch::full({kColumns}, 0.5f), shift = torch::full({kColumns}, -0.25f);
  const at::Tensor x = torch::rand({state.range(0), kColumns});
  for (auto _ : state) {
    const c10::InferenceMode inference;
    at::Tensor y = at::addcmul(shift, x, scale);
    y = at::linear(y, w0, b0).relu_();
    y = at::linear(y, w1, b1).relu_();
    benchmark::DoNotOptimize(at::linear(y, w2, b2).softmax(-1));
  }
}
BENCHMARK(BM_MlpByHand)->Arg(1)->Arg(32);

void BM_MlpByNetwork(benchmark::State& state) {
  const auto network = Make(Mlp());
  const std::vector<at::Tensor> x = {torch::rand({state.range(0), kColumns})};
  for (auto _ : state) benchmark::DoNotOptimize(network->Infer(x));
}
BENCHMARK(BM_MlpByNetwork)->Arg(1)->Arg(32);

// As the worker calls it: with checks, from and to tensors of ours.
void BM_MlpByRun(benchmark::State& state) {
  const auto network = Make(Mlp());
  std::string bytes(static_cast<size_t>(state.range(0) * kColumns) * sizeof(float), '\0');
  const std::vector<Tensor> x = {Tensor::Make("features", DataType::kFp32,
                                              {state.range(0), kColumns},
                                              Buffer::Own(std::move(bytes)), "x")
                                     .value()};
  for (auto _ : state) benchmark::DoNotOptimize(network->Run(x));
}
BENCHMARK(BM_MlpByRun)->Arg(1)->Arg(32);

void BM_FashionCnn(benchmark::State& state) {
  ModelDescription description;
  description.input = {"image", DataType::kUint8, {-1, 28, 28}};
  description.output = OutputOf(Task::kClassification, 10);
  description.architecture =
      ParseArchitecture(
          nlohmann::json::parse(R"({"type":"cnn","channels":[16,32],"hidden":[128]})"), "a")
          .value();
  description.preprocessing = {MakeRescale(255), MakeStandardize({0.286}, {0.353})};
  const auto network = Make(description);
  const std::vector<at::Tensor> x = {torch::randint(0, 256, {state.range(0), 28, 28}, at::kByte)};
  for (auto _ : state) benchmark::DoNotOptimize(network->Infer(x));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_FashionCnn)->Arg(1)->Arg(8)->Arg(32);

}  // namespace
}  // namespace slipway::nn

BENCHMARK_MAIN();
