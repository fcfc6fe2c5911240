#include "services/training/trainer/torch_learner.h"

#include <torch/torch.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway::trainer {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

nn::ModelDescription Describe(const std::string& architecture, TensorSpec input, nn::Task task,
                              int64_t outputs) {
  nn::ModelDescription description;
  description.task = task;
  description.input = std::move(input);
  description.output = nn::OutputOf(task, outputs);
  description.architecture = nn::ParseArchitecture(json::parse(architecture), "a").value();
  return description;
}

std::unique_ptr<Learner> MakeLearner(const nn::ModelDescription& description,
                                     const training::Loss& loss,
                                     const training::Optimizer& optimizer,
                                     TorchLearnerOptions options = {}) {
  if (options.threads == 0) options.threads = 1;
  return MakeTorchLearner(description.BuildNetwork("").value(), loss, optimizer, options).value();
}

// Pictures of 8x8 bytes: class c has a bright row c. A little noise, so that rows differ.
Batch Pictures(int64_t step, int64_t size = 16) {
  Batch batch;
  batch.size = size;
  for (int64_t row = 0; row < size; ++row) {
    const int64_t label = (step * 7 + row) % 4;
    batch.classes.push_back(label);
    for (int64_t p = 0; p < 64; ++p) {
      const int64_t noise = (step * 31 + row * 17 + p * 13) % 50;
      batch.inputs.push_back(static_cast<char>(p / 8 == label * 2 ? 200 + noise : noise));
    }
  }
  return batch;
}

nn::ModelDescription PictureModel() {
  auto description =
      Describe(R"({"type":"cnn","channels":[4,8],"hidden":[16],"dropout":0.3})",
               {"image", DataType::kUint8, {-1, 8, 8}}, nn::Task::kClassification, 4);
  description.preprocessing = {nn::MakeRescale(255)};
  return description;
}

SafetensorsFile ToFile(const std::vector<Tensor>& tensors) {
  std::string bytes;
  const auto pieces = LayOutSafetensors(tensors).value();
  for (const Buffer& piece : pieces) bytes.append(piece.view());
  return SafetensorsFile::Parse(Buffer::Own(std::move(bytes)), "state").value();
}

void ExpectSameWeights(Learner& a, Learner& b) {
  const auto left = a.SaveModel().value();
  const auto right = b.SaveModel().value();
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(torch::equal(nn::ToTorch(left[i]), nn::ToTorch(right[i]))) << left[i].name();
  }
}

class ResumeTest : public ::testing::TestWithParam<training::Optimizer> {};

TEST_P(ResumeTest, ALearnerThatLoadsAStateGoesOnBitForBit) {
  constexpr int64_t kSteps = 12;
  const TorchLearnerOptions options{.seed = 3, .clip_norm = 1};
  const auto rate = [](int64_t step) { return 0.01 / static_cast<double>(step); };
  const auto whole = MakeLearner(PictureModel(), training::CrossEntropy{}, GetParam(), options);
  std::vector<std::vector<Tensor>> states;
  for (int64_t step = 1; step <= kSteps; ++step) {
    states.push_back(whole->SaveState().value());
    ASSERT_TRUE(whole->Train(Pictures(step), step, rate(step)).ok());
  }
  for (const int64_t done : {0, 1, 5, 11}) {
    const auto resumed = MakeLearner(PictureModel(), training::CrossEntropy{}, GetParam(),
                                     {.seed = 99, .clip_norm = 1});
    torch::rand({7});  // what else draws from the generator must not matter
    ASSERT_TRUE(resumed->LoadState(ToFile(states[static_cast<size_t>(done)])).ok());
    for (int64_t step = done + 1; step <= kSteps; ++step) {
      ASSERT_TRUE(resumed->Train(Pictures(step), step, rate(step)).ok());
    }
    ExpectSameWeights(*whole, *resumed);
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, ResumeTest,
                         ::testing::Values(training::Sgd{.momentum = 0.9}, training::Adagrad{},
                                           training::RmsProp{.momentum = 0.5}, training::Adam{},
                                           training::AdamW{}),
                         [](const auto& tested) {
                           return std::visit(
                               [](const auto& kind) { return std::string(kind.kType); },
                               tested.param);
                         });

TEST(TorchLearnerTest, LearnsToTellPicturesApart) {
  const auto learner =
      MakeLearner(PictureModel(), training::CrossEntropy{}, training::Adam{}, {.seed = 1});
  double first = 0;
  StepResult last;
  for (int64_t step = 1; step <= 60; ++step) {
    last = learner->Train(Pictures(step), step, 0.01).value();
    if (step == 1) first = last.loss;
  }
  EXPECT_LT(last.loss, first / 4);
  const Batch unseen = Pictures(1000, 64);
  const Judgement judgement = learner->Judge(unseen).value();
  int right = 0;
  for (size_t row = 0; row < 64; ++row) {
    const auto scores = judgement.scores.begin() + static_cast<ptrdiff_t>(4 * row);
    right += std::max_element(scores, scores + 4) - scores == unseen.classes[row];
  }
  EXPECT_GE(right, 62);
}

TEST(TorchLearnerTest, LearnsALine) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 2}},
               nn::Task::kRegression, 1);
  const auto learner = MakeLearner(description, training::Mse{}, training::Sgd{});
  double loss = 0;
  for (int64_t step = 1; step <= 300; ++step) {
    Batch batch;
    batch.size = 8;
    for (int i = 0; i < 8; ++i) {
      const float x[2] = {std::sin(static_cast<float>(step * 8 + i)),
                          std::cos(static_cast<float>(step * 5 + i))};
      batch.inputs.insert(batch.inputs.end(), reinterpret_cast<const char*>(x),
                          reinterpret_cast<const char*>(x) + sizeof(x));
      batch.values.push_back(3 * x[0] - 2 * x[1] + 0.5f);
    }
    loss = learner->Train(batch, step, 0.1).value().loss;
  }
  EXPECT_LT(loss, 1e-6);
}

// The same steps by LibTorch's own optimiser on a copy of the weights.
template <class TorchOptimizer, class Options>
void ExpectStepsOf(const training::Optimizer& ours, const Options& options) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[5],"activation":"tanh"})",
               {"features", DataType::kFp32, {-1, 3}}, nn::Task::kClassification, 4);
  const auto learner = MakeLearner(description, training::CrossEntropy{}, ours, {.seed = 4});
  std::map<std::string, at::Tensor> p;
  std::vector<at::Tensor> leaves;
  const auto start = learner->SaveModel().value();
  for (const Tensor& tensor : start) {
    p[tensor.name()] = nn::ToTorch(tensor).clone().set_requires_grad(true);
    leaves.push_back(p[tensor.name()]);
  }
  TorchOptimizer theirs(leaves, options);
  for (int64_t step = 1; step <= 20; ++step) {
    const at::Tensor x =
        torch::sin(torch::arange(18, at::kFloat) * static_cast<double>(step)).view({6, 3});
    const at::Tensor y = torch::arange(step, step + 6, at::kLong).remainder(4);
    Batch batch;
    batch.size = 6;
    const char* bytes = static_cast<const char*>(x.data_ptr());
    batch.inputs.assign(bytes, bytes + x.nbytes());
    batch.classes.assign(y.data_ptr<int64_t>(), y.data_ptr<int64_t>() + 6);
    ASSERT_TRUE(learner->Train(batch, step, options.lr()).ok());

    theirs.zero_grad();
    at::Tensor h = torch::tanh(at::linear(x, p["hidden.0.weight"], p["hidden.0.bias"]));
    at::cross_entropy_loss(at::linear(h, p["head.weight"], p["head.bias"]), y).backward();
    theirs.step();
    const auto now = learner->SaveModel().value();
    for (const Tensor& tensor : now) {
      EXPECT_TRUE(torch::allclose(nn::ToTorch(tensor), p[tensor.name()].detach(), 1e-5, 1e-6))
          << tensor.name() << " at step " << step;
    }
  }
}

TEST(OptimizerTest, StepsOnTheFlatParametersEqualPyTorchsOnEach) {
  ExpectStepsOf<torch::optim::SGD>(training::Sgd{.momentum = 0.9},
                                   torch::optim::SGDOptions(0.1).momentum(0.9));
  ExpectStepsOf<torch::optim::Adam>(training::Adam{}, torch::optim::AdamOptions(0.01));
}

TEST(OptimizerTest, WeightDecayShrinksWeightsAndSparesBiases) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 3}},
               nn::Task::kRegression, 1);
  // Zero inputs: the loss has no gradient for the weight, so that decay alone moves it.
  Batch zeros;
  zeros.size = 2;
  zeros.inputs.assign(2 * 3 * sizeof(float), 0);
  zeros.values = {0, 0};
  const auto run = [&](double decay) {
    training::Sgd sgd;
    sgd.weight_decay = decay;
    const auto learner = MakeLearner(description, training::Mse{}, sgd, {.seed = 1});
    EXPECT_TRUE(learner->Train(zeros, 1, 0.1).ok());
    std::map<std::string, at::Tensor> weights;
    const auto saved = learner->SaveModel().value();
    for (const Tensor& tensor : saved) weights[tensor.name()] = nn::ToTorch(tensor).clone();
    return weights;
  };
  auto without = run(0);
  auto with = run(0.5);
  EXPECT_TRUE(torch::allclose(with["head.weight"], without["head.weight"] * (1 - 0.1 * 0.5)));
  EXPECT_TRUE(torch::equal(with["head.bias"], without["head.bias"]));
}

TEST(TorchLearnerTest, ClipsTheGradientsNorm) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 1}},
               nn::Task::kRegression, 1);
  const auto learner =
      MakeLearner(description, training::Mse{}, training::Sgd{}, {.seed = 1, .clip_norm = 0.5});
  Batch batch;
  batch.size = 1;
  const float x = 1000;
  batch.inputs.assign(reinterpret_cast<const char*>(&x), reinterpret_cast<const char*>(&x) + 4);
  batch.values = {5000};
  const auto before = learner->SaveModel().value();
  ASSERT_TRUE(learner->Train(batch, 1, 1).ok());
  const auto after = learner->SaveModel().value();
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    squares += (nn::ToTorch(after[i]) - nn::ToTorch(before[i])).square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squares), 0.5, 1e-4);
}

TEST(TorchLearnerTest, ALossThatIsNoNumberChangesNothing) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[4]})", {"features", DataType::kFp32, {-1, 1}},
               nn::Task::kRegression, 1);
  const auto learner = MakeLearner(description, training::Mse{}, training::Adam{});
  const auto untouched = MakeLearner(description, training::Mse{}, training::Adam{});
  Batch batch;
  batch.size = 1;
  const float x = std::numeric_limits<float>::max();
  batch.inputs.assign(reinterpret_cast<const char*>(&x), reinterpret_cast<const char*>(&x) + 4);
  batch.values = {-x};
  const auto result = learner->Train(batch, 1, 0.1);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(std::isfinite(result->loss));
  ExpectSameWeights(*learner, *untouched);
}

TEST(TorchLearnerTest, RefusesTheStateOfAnotherLearner) {
  const auto learner = MakeLearner(PictureModel(), training::CrossEntropy{}, training::Adam{});
  const auto state = learner->SaveState().value();
  const auto error = [&](const std::vector<Tensor>& tensors) {
    return std::string(learner->LoadState(ToFile(tensors)).message());
  };
  EXPECT_EQ(error(state), "");
  const auto other = MakeLearner(PictureModel(), training::CrossEntropy{}, training::Sgd{});
  EXPECT_THAT(error(other->SaveState().value()), HasSubstr("tensor optimizer.mean is missing"));
  std::vector<Tensor> without;
  for (const Tensor& tensor : state) {
    if (tensor.name() != "random.cpu") without.push_back(tensor);
  }
  EXPECT_THAT(error(without), HasSubstr("tensor random.cpu is missing"));
  EXPECT_THAT(error({}), HasSubstr("is missing"));
}

}  // namespace
}  // namespace slipway::trainer
