// Losses and optimisers against PyTorch's own, on the same numbers.

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "services/training/spec/loss.h"
#include "services/training/spec/optimizer.h"
#include "services/training/spec/schedule/plateau.h"

namespace slipway::training {
namespace {

namespace F = torch::nn::functional;

constexpr double kTolerance = 1e-6;

double Difference(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

// ---- Losses: their value and the gradient of the output.

using LossFunction = std::function<at::Tensor(const at::Tensor& output, const at::Tensor& target)>;

void ExpectSameLoss(const Loss& ours, const LossFunction& theirs, const at::Tensor& output,
                    const at::Tensor& target) {
  const at::Tensor a = output.clone().set_requires_grad(true);
  const at::Tensor b = output.clone().set_requires_grad(true);
  const at::Tensor value = std::visit([&](const auto& loss) { return loss(a, target); }, ours);
  const at::Tensor expected = theirs(b, target);
  value.backward();
  expected.backward();
  EXPECT_LE(Difference(value, expected), kTolerance);
  EXPECT_LE(Difference(a.grad(), b.grad()), kTolerance);
  EXPECT_GT(b.grad().abs().max().item<double>(), 0);
}

// Logits of 12 rows, some of them sure.
at::Tensor Logits(int64_t classes) {
  return torch::sin(torch::arange(12 * classes, at::kFloat) * 1.7).view({12, classes}) * 4;
}

TEST(LossFormulaTest, LossesOfClassesEqualPyTorchs) {
  const at::Tensor logits = Logits(4);
  const at::Tensor classes = torch::arange(12, at::kLong).remainder(4);
  const at::Tensor weights = torch::tensor({0.5F, 1.0F, 3.0F, 0.25F});
  ExpectSameLoss(
      CrossEntropy{},
      [](const auto& output, const auto& target) { return F::cross_entropy(output, target); },
      logits, classes);
  ExpectSameLoss(
      CrossEntropy{.label_smoothing = 0.1, .class_weights = {{0.5, 1, 3, 0.25}}},
      [&](const auto& output, const auto& target) {
        return F::cross_entropy(output, target,
                                F::CrossEntropyFuncOptions().weight(weights).label_smoothing(0.1));
      },
      logits, classes);
  ExpectSameLoss(
      Focal{.gamma = 0, .class_weights = {{0.5, 1, 3, 0.25}}},
      [&](const auto& output, const auto& target) {
        return F::cross_entropy(output, target, F::CrossEntropyFuncOptions().weight(weights));
      },
      logits, classes);
  for (const double gamma : {0.5, 1.0, 2.0}) {
    ExpectSameLoss(
        Focal{.gamma = gamma},
        [&](const auto& output, const auto& target) {
          const at::Tensor entropy = F::cross_entropy(
              output, target, F::CrossEntropyFuncOptions().reduction(torch::kNone));
          return ((1 - torch::exp(-entropy)).pow(gamma) * entropy).mean();
        },
        logits, classes);
  }
}

TEST(LossFormulaTest, FocalHasAGradientWhereARowIsCertain) {
  const at::Tensor output = torch::tensor({{200.0F, 0.0F}, {0.0F, 1.0F}}).set_requires_grad(true);
  for (const double gamma : {0.0, 0.5, 2.0}) {
    const at::Tensor loss = Focal{.gamma = gamma}(output, torch::tensor({0, 1}, at::kLong));
    loss.backward();
    EXPECT_TRUE(output.grad().isfinite().all().item<bool>()) << gamma;
  }
}

TEST(LossFormulaTest, BinaryCrossEntropyEqualsPyTorchs) {
  const at::Tensor logits = Logits(2);
  const at::Tensor classes = torch::arange(12, at::kLong).remainder(3).eq(0).to(at::kLong);
  for (const double weight : {1.0, 3.5}) {
    ExpectSameLoss(
        Bce{.positive_weight = weight},
        [&](const auto& output, const auto& target) {
          return F::binary_cross_entropy_with_logits(
              output.select(1, 1) - output.select(1, 0), target.to(at::kFloat),
              F::BinaryCrossEntropyWithLogitsFuncOptions().pos_weight(torch::tensor(weight)));
        },
        logits, classes);
  }
  // What is served is the softmax: the loss is that of its probabilities.
  ExpectSameLoss(
      Bce{},
      [](const auto& output, const auto& target) {
        return F::binary_cross_entropy(output.softmax(1).select(1, 1), target.to(at::kFloat));
      },
      logits / 4, classes);
}

TEST(LossFormulaTest, LossesOfNumbersEqualPyTorchs) {
  const at::Tensor output = Logits(1);
  const at::Tensor target = torch::cos(torch::arange(12, at::kFloat)).view({12, 1});
  ExpectSameLoss(
      Mse{}, [](const auto& a, const auto& b) { return F::mse_loss(a, b); }, output, target);
  ExpectSameLoss(
      Mae{}, [](const auto& a, const auto& b) { return F::l1_loss(a, b); }, output, target);
  for (const double delta : {0.5, 1.0, 10.0}) {
    ExpectSameLoss(
        Huber{.delta = delta},
        [&](const auto& a, const auto& b) {
          return F::huber_loss(a, b, F::HuberLossFuncOptions().delta(delta));
        },
        output, target);
  }
}

// ---- Optimisers: thirty steps by the same gradients.

template <class TorchOptimizer, class Options>
void ExpectSameSteps(const Optimizer& ours, const Options& options) {
  const at::Tensor start = torch::cos(torch::arange(40, at::kFloat));
  at::Tensor mine = start.clone();
  const at::Tensor theirs = start.clone().set_requires_grad(true);
  std::vector<at::Tensor> state;
  for (size_t i = 0; i < StateOf(ours).size(); ++i) state.push_back(at::zeros_like(mine));
  TorchOptimizer torchs({theirs}, options);
  for (int64_t step = 1; step <= 30; ++step) {
    const at::Tensor gradient =
        torch::sin(torch::arange(40, at::kFloat) * 0.7 + static_cast<double>(step) * 0.3);
    const Update update = {.step = step, .rate = LearningRateOf(ours), .decays = true};
    std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.Step(mine, gradient, std::span(state), update); }) {
            kind.Step(mine, gradient, std::span(state), update);
          }
        },
        ours);
    theirs.mutable_grad() = gradient.clone();
    torchs.step();
    ASSERT_LE(Difference(mine, theirs.detach()), kTolerance) << "step " << step;
  }
  EXPECT_GT(Difference(mine, start), 1e-3);
}

TEST(OptimizerFormulaTest, SgdStepsAsPyTorchs) {
  using Options = torch::optim::SGDOptions;
  ExpectSameSteps<torch::optim::SGD>(Gd{.learning_rate = 0.05, .weight_decay = 0.1},
                                     Options(0.05).weight_decay(0.1));
  ExpectSameSteps<torch::optim::SGD>(Sgd{.learning_rate = 0.05}, Options(0.05));
  ExpectSameSteps<torch::optim::SGD>(
      Sgd{.learning_rate = 0.01, .momentum = 0.9, .weight_decay = 0.1},
      Options(0.01).momentum(0.9).weight_decay(0.1));
  ExpectSameSteps<torch::optim::SGD>(Sgd{.learning_rate = 0.01, .momentum = 0.8, .nesterov = true},
                                     Options(0.01).momentum(0.8).nesterov(true));
}

TEST(OptimizerFormulaTest, AdagradStepsAsPyTorchs) {
  using Options = torch::optim::AdagradOptions;
  ExpectSameSteps<torch::optim::Adagrad>(Adagrad{.learning_rate = 0.1}, Options(0.1));
  ExpectSameSteps<torch::optim::Adagrad>(
      Adagrad{.learning_rate = 0.02, .epsilon = 1e-3, .weight_decay = 0.1},
      Options(0.02).eps(1e-3).weight_decay(0.1));
}

TEST(OptimizerFormulaTest, RmsPropStepsAsPyTorchs) {
  using Options = torch::optim::RMSpropOptions;
  ExpectSameSteps<torch::optim::RMSprop>(RmsProp{.learning_rate = 0.01}, Options(0.01));
  ExpectSameSteps<torch::optim::RMSprop>(
      RmsProp{.learning_rate = 0.002,
              .alpha = 0.9,
              .epsilon = 1e-4,
              .momentum = 0.8,
              .weight_decay = 0.1},
      Options(0.002).alpha(0.9).eps(1e-4).momentum(0.8).weight_decay(0.1));
}

TEST(OptimizerFormulaTest, AdamStepsAsPyTorchs) {
  using Options = torch::optim::AdamOptions;
  ExpectSameSteps<torch::optim::Adam>(Adam{.learning_rate = 0.01}, Options(0.01));
  ExpectSameSteps<torch::optim::Adam>(
      Adam{
          .learning_rate = 0.02, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1},
      Options(0.02).betas({0.8, 0.95}).eps(1e-3).weight_decay(0.1));
}

TEST(OptimizerFormulaTest, AdamWStepsAsPyTorchs) {
  using Options = torch::optim::AdamWOptions;
  AdamW adamw;
  adamw.learning_rate = 0.01;
  ExpectSameSteps<torch::optim::AdamW>(adamw, Options(0.01).weight_decay(0.01));
  adamw.beta1 = 0.8;
  adamw.weight_decay = 0.5;
  ExpectSameSteps<torch::optim::AdamW>(adamw, Options(0.01).betas({0.8, 0.999}).weight_decay(0.5));
}

// ---- The schedule that has a state.

TEST(ScheduleFormulaTest, PlateauFallsAsPyTorchs) {
  using torch::optim::ReduceLROnPlateauScheduler;
  const at::Tensor parameter = torch::zeros({1}).set_requires_grad(true);
  for (const int patience : {0, 2}) {
    for (const int cooldown : {0, 3}) {
      torch::optim::SGD sgd({parameter}, torch::optim::SGDOptions(1));
      ReduceLROnPlateauScheduler theirs(sgd, ReduceLROnPlateauScheduler::min, 0.5F, patience, 0.01,
                                        ReduceLROnPlateauScheduler::rel, cooldown, {0.05F});
      const PlateauSchedule ours = {.factor = 0.5,
                                    .patience = patience,
                                    .threshold = 0.01,
                                    .cooldown = cooldown,
                                    .min_factor = 0.05};
      PlateauState state;
      for (int epoch = 0; epoch < 60; ++epoch) {
        // Falls, stays, ripples.
        const double loss = 1.0 / (1 + epoch / 7) + 0.02 * std::sin(epoch);
        theirs.step(static_cast<float>(loss));
        state = ours.After(state, loss);
        ASSERT_NEAR(state.factor, sgd.param_groups()[0].options().get_lr(), kTolerance)
            << "patience " << patience << ", cooldown " << cooldown << ", epoch " << epoch;
      }
      EXPECT_LT(state.factor, 0.5);
    }
  }
}

}  // namespace
}  // namespace slipway::training
