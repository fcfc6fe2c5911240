#include "common/nn/torch_network.h"

#include <sys/resource.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/nn/architecture.h"
#include "common/nn/model_description.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/sanitizers.h"

namespace slipway::nn {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

ModelDescription Describe(const std::string& architecture, TensorSpec input,
                          Task task = Task::kClassification, int64_t outputs = 10) {
  ModelDescription description;
  description.task = task;
  description.input = std::move(input);
  description.output = OutputOf(task, outputs);
  description.architecture = ParseArchitecture(json::parse(architecture), "a").value();
  return description;
}

std::unique_ptr<TorchNetwork> Make(const ModelDescription& description, uint64_t seed = 1) {
  auto network = TorchNetwork::Create(description.BuildNetwork("").value()).value();
  EXPECT_TRUE(network->Initialize(seed).ok());
  return network;
}

const TensorSpec kImage = {"image", DataType::kUint8, {-1, 28, 28}};

std::unique_ptr<TorchNetwork> SmallCnn(uint64_t seed = 1) {
  auto description =
      Describe(R"({"type":"cnn","channels":[4,8],"hidden":[16],"dropout":0.25})", kImage);
  description.preprocessing = {MakeRescale(255), MakeStandardize({0.3}, {0.4})};
  return Make(description, seed);
}

at::Tensor Pictures(int64_t count) {
  return torch::arange(count * 784, at::kLong)
      .mul(7919)
      .remainder(256)
      .to(at::kByte)
      .view({count, 28, 28});
}

// The network's parameters by name.
std::map<std::string, at::Tensor> ParametersOf(const TorchNetwork& network) {
  std::map<std::string, at::Tensor> parameters;
  const auto saved = network.Save().value();
  for (const Tensor& tensor : saved) parameters[tensor.name()] = ToTorch(tensor).clone();
  return parameters;
}

TEST(TorchNetworkTest, AnMlpComputesWhatIsWrittenByHand) {
  auto description = Describe(R"({"type":"mlp","hidden":[5]})", {"x", DataType::kFp32, {-1, 3}},
                              Task::kClassification, 2);
  description.preprocessing = {MakeStandardize({1, 2, 3}, {2, 4, 8})};
  const auto network = Make(description);
  auto p = ParametersOf(*network);
  const at::Tensor x = torch::tensor({{1.f, 2.f, 3.f}, {-4.f, 5.f, 60.f}});
  const at::Tensor scaled = (x - torch::tensor({1.f, 2.f, 3.f})) / torch::tensor({2.f, 4.f, 8.f});
  const at::Tensor hidden =
      torch::relu(scaled.matmul(p["hidden.0.weight"].t()) + p["hidden.0.bias"]);
  const at::Tensor expected =
      torch::softmax(hidden.matmul(p["head.weight"].t()) + p["head.bias"], 1);
  const std::vector<at::Tensor> inputs = {x};
  EXPECT_TRUE(torch::allclose(network->Infer(inputs)[0], expected, 1e-5, 1e-6));
}

TEST(TorchNetworkTest, ACnnComputesWhatIsWrittenByHand) {
  const auto network = SmallCnn();
  auto p = ParametersOf(*network);
  const at::Tensor pictures = Pictures(6);
  at::Tensor x = (pictures.to(at::kFloat) / 255 - 0.3) / 0.4;
  x = x.unsqueeze(1);
  for (const std::string block : {"block.0.conv.0", "block.1.conv.0"}) {
    x = at::conv2d(x, p[block + ".weight"], p[block + ".bias"], 1, 1);
    x = at::batch_norm(x, p[block + ".norm.weight"], p[block + ".norm.bias"],
                       p[block + ".norm.running_mean"], p[block + ".norm.running_var"], false, 0.1,
                       1e-5, false);
    x = at::max_pool2d(torch::relu(x), 2);
  }
  x = torch::relu(at::linear(x.flatten(1), p["hidden.0.weight"], p["hidden.0.bias"]));
  const at::Tensor expected = at::linear(x, p["head.weight"], p["head.bias"]);
  EXPECT_TRUE(torch::allclose(network->Evaluate(pictures), expected, 1e-4, 1e-5));
}

TEST(TorchNetworkTest, GradientsAreThoseOfAutograd) {
  auto description = Describe(R"({"type":"cnn","channels":[3],"hidden":[7],"batch_norm":false})",
                              {"x", DataType::kFp32, {-1, 8, 8}});
  const auto network = Make(description);
  auto p = ParametersOf(*network);
  for (auto& [name, tensor] : p) tensor.set_requires_grad(true);
  const at::Tensor x = torch::linspace(-1, 1, 5 * 64).view({5, 8, 8});
  const at::Tensor target = torch::tensor({0, 1, 2, 3, 4});

  at::Tensor y =
      at::conv2d(x.unsqueeze(1), p["block.0.conv.0.weight"], p["block.0.conv.0.bias"], 1, 1);
  y = at::max_pool2d(torch::relu(y), 2).flatten(1);
  y = torch::relu(at::linear(y, p["hidden.0.weight"], p["hidden.0.bias"]));
  y = at::linear(y, p["head.weight"], p["head.bias"]);
  at::cross_entropy_loss(y, target).backward();

  for (int round = 0; round < 2; ++round) {  // zeroed between steps, filled again
    network->gradients().zero_();
    at::cross_entropy_loss(network->Train(x), target).backward();
    double squares = 0;
    for (const auto& [name, tensor] : p) squares += tensor.grad().square().sum().item<double>();
    EXPECT_NEAR(network->gradients().square().sum().item<double>(), squares, 1e-6 * squares);
    EXPECT_GT(squares, 0);
  }
  // A plain gradient step on the flat tensor is one on each parameter.
  {
    const at::NoGradGuard no_grad;
    network->parameters().sub_(network->gradients(), 0.5);
  }
  auto moved = ParametersOf(*network);
  for (const auto& [name, tensor] : p) {
    EXPECT_TRUE(torch::allclose(moved[name], tensor.detach() - 0.5 * tensor.grad(), 1e-4, 1e-6))
        << name;
  }
}

TEST(TorchNetworkTest, OnlyTrainingMovesTheStatisticsAndDropsOut) {
  const auto network = SmallCnn();
  const at::Tensor pictures = Pictures(8);
  const auto before = ParametersOf(*network);
  EXPECT_TRUE(torch::equal(network->Evaluate(pictures), network->Evaluate(pictures)));
  EXPECT_TRUE(torch::equal(ParametersOf(*network)["block.0.conv.0.norm.running_mean"],
                           before.at("block.0.conv.0.norm.running_mean")));
  const at::Tensor once = network->Train(pictures);
  EXPECT_FALSE(torch::equal(once, network->Train(pictures)));
  EXPECT_FALSE(torch::equal(ParametersOf(*network)["block.0.conv.0.norm.running_mean"],
                            before.at("block.0.conv.0.norm.running_mean")));
}

TEST(TorchNetworkTest, TheSeedDecidesTheStart) {
  const at::Tensor pictures = Pictures(2);
  const at::Tensor one = SmallCnn(1)->Evaluate(pictures);
  torch::rand({17});  // others may draw from the global generator
  EXPECT_TRUE(torch::equal(one, SmallCnn(1)->Evaluate(pictures)));
  EXPECT_FALSE(torch::equal(one, SmallCnn(2)->Evaluate(pictures)));
}

TEST(TorchNetworkTest, LoadsWhatItSaved) {
  const auto network = SmallCnn(1);
  const auto other = SmallCnn(2);
  ASSERT_TRUE(other->Load(network->Save().value()).ok());
  const at::Tensor pictures = Pictures(3);
  EXPECT_TRUE(torch::equal(network->Evaluate(pictures), other->Evaluate(pictures)));
}

TEST(TorchNetworkTest, SavedTensorsDoNotChangeWithTheNextStep) {
  const auto network = SmallCnn(1);
  const auto saved = network->Save().value();
  const std::string before(saved[0].data().view());
  {
    const at::NoGradGuard no_grad;
    network->parameters().add_(1);
  }
  EXPECT_EQ(saved[0].data().view(), before);
}

TEST(TorchNetworkTest, RefusesWeightsOfAnotherArchitecture) {
  const auto network = SmallCnn();
  const auto original = ParametersOf(*network);
  const std::vector<Tensor> saved = network->Save().value();
  const auto error = [&](const std::vector<Tensor>& tensors) {
    return std::string(network->Load(tensors).message());
  };
  std::vector<Tensor> missing(saved.begin() + 1, saved.end());
  EXPECT_EQ(error(missing), "tensor block.0.conv.0.weight is missing");
  std::vector<Tensor> extra = saved;
  extra.push_back(Tensor::Make("spy", DataType::kFp32, {0}, Buffer(), "x").value());
  EXPECT_EQ(error(extra), "tensor spy does not belong to this architecture");
  std::vector<Tensor> reshaped = saved;
  reshaped[0] =
      Tensor::Make(saved[0].name(), DataType::kFp32, {9, 4}, saved[0].data(), "x").value();
  EXPECT_EQ(error(reshaped),
            "tensor block.0.conv.0.weight must be FP32 [4, 1, 3, 3], got FP32 [9, 4]");
  std::vector<Tensor> retyped = saved;
  retyped[0] =
      Tensor::Make(saved[0].name(), DataType::kInt32, {4, 1, 3, 3}, saved[0].data(), "x").value();
  EXPECT_THAT(error(retyped), HasSubstr("must be FP32"));
  // A refused file leaves the network as it was.
  for (const auto& [name, tensor] : ParametersOf(*network)) {
    EXPECT_TRUE(torch::equal(tensor, original.at(name)));
  }
}

TEST(ToTorchTest, TakesElementsThatLieAnywhere) {
  alignas(8) char bytes[13] = {};
  const float values[] = {1, -2, 3};
  std::memcpy(bytes + 1, values, sizeof(values));
  const auto tensor =
      Tensor::Make("x", DataType::kFp32, {3}, Buffer::Borrow({bytes + 1, sizeof(values)}), "x");
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  const at::Tensor out = ToTorch(*tensor);
  EXPECT_TRUE(torch::equal(out, torch::tensor({1.0F, -2.0F, 3.0F})));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(out.data_ptr()) % sizeof(float), 0u);
}

TEST(TorchNetworkTest, RunChecksItsInputs) {
  const auto network = SmallCnn();
  const auto tensor = [](std::string name, DataType type, Shape shape) {
    const auto bytes = static_cast<size_t>(shape.ByteCount(type, "x").value());
    return Tensor::Make(std::move(name), type, std::move(shape), Buffer::Own(std::string(bytes, 1)),
                        "x")
        .value();
  };
  const auto error = [&](const std::vector<Tensor>& inputs) {
    return std::string(network->Run(inputs).status().message());
  };
  const Tensor good = tensor("image", DataType::kUint8, {2, 28, 28});
  const std::vector<Tensor> one = {good};
  const auto outputs = network->Run(one);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].name(), "probabilities");
  EXPECT_EQ((*outputs)[0].shape(), (Shape{2, 10}));
  float sum = 0;
  for (int i = 0; i < 10; ++i) {
    float p = 0;
    std::memcpy(&p, (*outputs)[0].data().data() + i * 4, 4);
    sum += p;
  }
  EXPECT_NEAR(sum, 1, 1e-5);

  EXPECT_EQ(error({}), "inputs: must be 1 tensors, got 0");
  EXPECT_EQ(error({good, good}), "inputs: must be 1 tensors, got 2");
  EXPECT_EQ(error({tensor("image", DataType::kUint8, {2, 28, 27})}),
            "inputs[0].shape: must be [-1, 28, 28], got [2, 28, 27]");
  EXPECT_EQ(error({tensor("image", DataType::kFp32, {2, 28, 28})}),
            "inputs[0].datatype: must be UINT8, got FP32");
}

TEST(TorchNetworkTest, AnEmptyBatchGivesAnEmptyResult) {
  const auto network = SmallCnn();
  const std::vector<Tensor> empty = {
      Tensor::Make("image", DataType::kUint8, {0, 28, 28}, Buffer(), "x").value()};
  const auto outputs = network->Run(empty);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ((*outputs)[0].shape(), (Shape{0, 10}));
}

TEST(TorchNetworkTest, RefusesDevicesThatAreNotThere) {
  const auto description = Describe(R"({"type":"mlp"})", {"x", DataType::kFp32, {-1, 3}});
  EXPECT_EQ(TorchNetwork::Create(description.BuildNetwork("").value(), "tpu").status().code(),
            absl::StatusCode::kInvalidArgument);
  if (!torch::cuda::is_available()) {
    EXPECT_EQ(TorchNetwork::Create(description.BuildNetwork("").value(), "cuda").status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST(TorchNetworkTest, AnImpossibleAllocationIsAnErrorNotACrash) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer ends the process instead";
  // 2^36 weights: 256 GiB of parameters and as much for gradients.
  const auto description = Describe(R"({"type":"mlp","hidden":[65536]})",
                                    {"x", DataType::kFp32, {-1, int64_t{1} << 20}});
  const auto network = description.BuildNetwork("");
  ASSERT_TRUE(network.ok()) << network.status();
  // Machines differ in what they promise: a limit makes sure that this is refused.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  rlimit limited = before;
  limited.rlim_cur = rlim_t{128} << 30;
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limited), 0);
  const absl::Status status = TorchNetwork::Create(*network).status();
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(TorchTensorTest, ConvertsEveryTypeBothWaysWithoutChange) {
  for (const DataType type : kAllDataTypes) {
    if (type == DataType::kBytes) continue;
    std::string bytes(6 * ElementSize(type), '\1');
    const Tensor tensor =
        Tensor::Make("x", type, {2, 3}, Buffer::Own(std::move(bytes)), "x").value();
    const auto back = FromTorch("x", ToTorch(tensor));
    ASSERT_TRUE(back.ok()) << DataTypeName(type);
    EXPECT_EQ(back->dtype(), type);
    EXPECT_EQ(back->shape(), tensor.shape());
    EXPECT_EQ(back->data().data(), tensor.data().data()) << "copied " << DataTypeName(type);
  }
}

}  // namespace
}  // namespace slipway::nn
