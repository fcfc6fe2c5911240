#include "services/training/trainer/torch_learner.h"

#include <torch/torch.h>

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "common/nn/fine_tuning.h"
#include "common/nn/model_description.h"
#include "common/nn/torch_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/divergence_watch.h"

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

std::span<const Batch> One(const Batch& batch) { return {&batch, 1}; }

constexpr char kCnn[] = R"({"type":"cnn","channels":[4,8],"hidden":[16],"dropout":0.3})";

nn::ModelDescription PictureModel(const std::string& architecture = kCnn) {
  auto description =
      Describe(architecture, {"image", DataType::kUint8, {-1, 8, 8}}, nn::Task::kClassification, 4);
  description.preprocessing = {nn::MakeRescale(255)};
  return description;
}

SafetensorsFile ToFile(const std::vector<Tensor>& tensors) {
  std::string bytes;
  const auto pieces = LayOutSafetensors(tensors).value();
  for (const Buffer& piece : pieces) bytes.append(piece.view());
  return SafetensorsFile::Parse(Buffer::Own(std::move(bytes)), "state").value();
}

void ExpectSameWeights(const std::vector<Tensor>& left, const std::vector<Tensor>& right) {
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(torch::equal(nn::ToTorch(left[i]), nn::ToTorch(right[i]))) << left[i].name();
  }
}

void ExpectSameWeights(Learner& a, Learner& b) {
  ExpectSameWeights(a.SaveModel().value(), b.SaveModel().value());
}

struct Resumed {
  std::string name;
  training::Optimizer optimizer;
  TorchLearnerOptions options = {.clip_norm = 1};
  int64_t batches = 1;
  std::string architecture = kCnn;
  nn::Network (*tune)(nn::Network) = nullptr;
};

nn::Network FreezeBlocks(nn::Network network) {
  return nn::Freeze(std::move(network),
                    [](const nn::Layer& layer) { return layer.name.starts_with("block"); });
}

nn::Network AdaptDense(nn::Network network) {
  return nn::AddAdapters(nn::Freeze(std::move(network), [](const nn::Layer&) { return true; }),
                         {.rank = 2, .scale = 2, .dropout = 0.2}, [](const nn::Layer& layer) {
                           return std::holds_alternative<nn::Gemm>(layer.op);
                         });
}

class ResumeTest : public ::testing::TestWithParam<Resumed> {
 protected:
  static std::unique_ptr<Learner> Make() {
    TorchLearnerOptions options = GetParam().options;
    options.seed = 3;
    options.threads = 1;
    nn::Network network = PictureModel(GetParam().architecture).BuildNetwork("").value();
    if (GetParam().tune != nullptr) network = GetParam().tune(std::move(network));
    return MakeTorchLearner(std::move(network), training::CrossEntropy{}, GetParam().optimizer,
                            options)
        .value();
  }
  static void Train(Learner& learner, int64_t step) {
    std::vector<Batch> batches;
    for (int64_t i = 0; i < GetParam().batches; ++i) {
      batches.push_back(Pictures(step * 10 + i));
      batches.back().share = 1.0 / static_cast<double>(GetParam().batches);
    }
    ASSERT_TRUE(learner.Train(batches, step, 0.01 / static_cast<double>(step)).ok());
    if (step == 4) {
      ASSERT_TRUE(learner.KeepBest().ok());
    }
  }
};

TEST_P(ResumeTest, ALearnerThatLoadsAStateGoesOnBitForBit) {
  constexpr int64_t kSteps = 12;
  const auto whole = Make();
  std::vector<std::vector<Tensor>> states;
  for (int64_t step = 1; step <= kSteps; ++step) {
    states.push_back(whole->SaveState().value());
    Train(*whole, step);
  }
  const auto last = whole->SaveModel().value();
  ASSERT_TRUE(whole->TakeBest().ok());
  for (const int64_t done : {0, 1, 5, 11}) {
    const auto resumed = Make();
    Train(*resumed, 7);  // is forgotten
    torch::rand({7});    // what else draws from the generator must not matter
    ASSERT_TRUE(resumed->LoadState(ToFile(states[static_cast<size_t>(done)])).ok());
    for (int64_t step = done + 1; step <= kSteps; ++step) Train(*resumed, step);
    ExpectSameWeights(last, resumed->SaveModel().value());
    ASSERT_TRUE(resumed->TakeBest().ok());
    ExpectSameWeights(*whole, *resumed);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ResumeTest,
    ::testing::Values(
        Resumed{"sgd", training::Sgd{.momentum = 0.9}}, Resumed{"adagrad", training::Adagrad{}},
        Resumed{"rmsprop", training::RmsProp{.momentum = 0.5}}, Resumed{"adam", training::Adam{}},
        Resumed{"adamw", training::AdamW{}}, Resumed{"gd", training::Gd{}, {}, 2},
        Resumed{"lbfgs", training::Lbfgs{.iterations = 4, .history = 3}, {.ema_decay = 0.9}, 2},
        Resumed{
            "everything", training::AdamW{}, {.clip_value = 0.1, .l1 = 1e-3, .ema_decay = 0.9}, 3},
        Resumed{"resnet",
                training::Adam{},
                {.ema_decay = 0.9},
                1,
                R"({"type":"resnet","channels":[4,8],"blocks":1,"dropout":0.3})"},
        Resumed{"frozen", training::Adam{}, {.ema_decay = 0.9}, 1, kCnn, FreezeBlocks},
        Resumed{"lora", training::AdamW{}, {.l1 = 1e-3, .ema_decay = 0.9}, 2, kCnn, AdaptDense},
        Resumed{"lstm",
                training::Adam{},
                {},
                1,
                R"({"type":"lstm","hidden":8,"layers":2,"bidirectional":true,"dropout":0.3})"},
        Resumed{"gru", training::Adam{}, {}, 1, R"({"type":"gru","hidden":8,"dropout":0.3})"},
        Resumed{"transformer",
                training::AdamW{},
                {},
                1,
                R"({"type":"transformer_encoder","width":8,"heads":2,"feed_forward":16})"},
        Resumed{"bfloat16", training::AdamW{}, {.ema_decay = 0.9, .bfloat16 = true}, 2}),
    [](const auto& tested) { return tested.param.name; });

TEST(TorchLearnerTest, LearnsToTellPicturesApart) {
  const auto learner =
      MakeLearner(PictureModel(), training::CrossEntropy{}, training::Adam{}, {.seed = 1});
  double first = 0;
  StepResult last;
  for (int64_t step = 1; step <= 60; ++step) {
    last = learner->Train(One(Pictures(step)), step, 0.01).value();
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

std::map<std::string, at::Tensor> ByName(const std::vector<Tensor>& tensors) {
  std::map<std::string, at::Tensor> out;
  for (const Tensor& tensor : tensors) out[tensor.name()] = nn::ToTorch(tensor).clone();
  return out;
}

std::unique_ptr<Learner> MakeTuned(const nn::ModelDescription& description,
                                   nn::Network (*tune)(nn::Network), TorchLearnerOptions options) {
  options.threads = 1;
  training::AdamW adamw;
  adamw.weight_decay = 0.1;
  return MakeTorchLearner(tune(description.BuildNetwork("").value()), training::CrossEntropy{},
                          adamw, options)
      .value();
}

TEST(TorchLearnerTest, StartsFromTheWeightsThatItIsGivenAndDrawsTheOthers) {
  const auto base =
      MakeLearner(PictureModel(), training::CrossEntropy{}, training::Adam{}, {.seed = 1});
  const auto given = base->SaveModel().value();
  std::vector<Tensor> body;
  for (const Tensor& tensor : given) {
    if (!tensor.name().starts_with("head")) body.push_back(tensor);
  }
  for (const double ema : {0.0, 0.9}) {
    const auto own = MakeLearner(PictureModel(), training::CrossEntropy{}, training::Adam{},
                                 {.seed = 2, .ema_decay = ema});
    auto drawn = ByName(own->SaveModel().value());
    ASSERT_TRUE(own->StartFrom(body).ok());
    auto start = ByName(own->SaveModel().value());
    auto expected = ByName(given);
    for (const auto& [name, tensor] : start) {
      EXPECT_TRUE(torch::equal(tensor, name.starts_with("head") ? drawn[name] : expected[name]))
          << name;
    }
  }
  const Tensor stranger =
      Tensor::Make("stranger", DataType::kFp32, {1}, Buffer::Own("1234"), "").value();
  EXPECT_EQ(base->StartFrom(std::span(&stranger, 1)).message(), "there is no tensor stranger");
}

TEST(TorchLearnerTest, StepsLeaveFrozenLayersAsTheyWere) {
  const auto learner =
      MakeTuned(PictureModel(), FreezeBlocks, {.seed = 3, .l1 = 0.01, .ema_decay = 0.5});
  auto before = ByName(learner->SaveModel().value());
  for (int64_t step = 1; step <= 5; ++step) {
    ASSERT_TRUE(learner->Train(One(Pictures(step)), step, 0.01).ok());
  }
  auto after = ByName(learner->SaveModel().value());
  for (const auto& [name, tensor] : before) {
    EXPECT_EQ(torch::equal(tensor, after[name]), name.starts_with("block")) << name;
  }
}

TEST(TorchLearnerTest, LoraLearnsAndItsMergedWeightsSayTheSame) {
  const auto description = PictureModel();
  const auto learner = MakeTuned(description, AdaptDense, {.seed = 3});
  auto before = ByName(learner->SaveModel().value());
  const double start = learner->Judge(Pictures(99, 64))->loss;
  for (int64_t step = 1; step <= 60; ++step) {
    ASSERT_TRUE(learner->Train(One(Pictures(step)), step, 0.01).ok());
  }
  const Judgement judged = learner->Judge(Pictures(99, 64)).value();
  EXPECT_LT(judged.loss, start * 0.8);
  const auto merged = learner->SaveModel().value();
  auto after = ByName(merged);
  for (const auto& [name, tensor] : before) {
    const bool adapted = name == "hidden.0.weight" || name == "head.weight";
    EXPECT_EQ(torch::equal(tensor, after[name]), !adapted) << name;
  }
  const auto served = nn::TorchNetwork::Create(description.BuildNetwork("").value()).value();
  ASSERT_TRUE(served->Load(merged).ok());
  const Batch batch = Pictures(99, 64);
  const at::Tensor scores = served->Evaluate(
      at::from_blob(const_cast<char*>(batch.inputs.data()), {batch.size, 8, 8}, at::kByte));
  EXPECT_TRUE(torch::allclose(torch::tensor(judged.scores).view_as(scores), scores, 1e-4, 1e-4));
}

nn::ModelDescription LineModel() {
  return Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 2}},
                  nn::Task::kRegression, 1);
}

// Rows on 3 x - 2 y + 0.5.
Batch LineRows(int64_t first, int64_t size) {
  Batch batch;
  batch.size = size;
  for (int64_t i = first; i < first + size; ++i) {
    const float x[2] = {std::sin(static_cast<float>(i)), std::cos(static_cast<float>(i) * 0.6F)};
    batch.inputs.insert(batch.inputs.end(), reinterpret_cast<const char*>(x),
                        reinterpret_cast<const char*>(x) + sizeof(x));
    batch.values.push_back(3 * x[0] - 2 * x[1] + 0.5f);
  }
  return batch;
}

TEST(TorchLearnerTest, LearnsWhatComesNext) {
  nn::ModelDescription description;
  description.task = nn::Task::kLanguageModel;
  description.table = nn::Table::Parse(json::parse(R"([{"type":"text","name":"t","max_length":6,
      "tokenizer":{"type":"word","vocabulary":["a","b","c"]}}])"),
                                       "t")
                          .value();
  description.input = description.table->encoded();
  description.output = nn::OutputOf(description.task, 5);
  description.architecture =
      nn::ParseArchitecture(json::parse(R"({"type":"transformer_decoder","width":16,"heads":2,
                                            "layers":1,"feed_forward":32,"dropout":0})"),
                            "a")
          .value()
          ->ForTokens(5);
  // a b c a b c ...
  Batch batch;
  batch.size = 3;
  for (int64_t row = 0; row < batch.size; ++row) {
    for (int64_t t = 0; t < 6; ++t) {
      const auto id = static_cast<float>(2 + (row + t) % 3);
      batch.inputs.insert(batch.inputs.end(), reinterpret_cast<const char*>(&id),
                          reinterpret_cast<const char*>(&id + 1));
      batch.classes.push_back(2 + (row + t + 1) % 3);
    }
  }
  const auto learner =
      MakeLearner(description, training::CrossEntropy{.label_smoothing = 0.1}, training::Adam{});
  const Judgement before = learner->Judge(batch).value();
  EXPECT_NEAR(before.log_loss, std::log(5), 0.2);
  EXPECT_TRUE(before.scores.empty());
  StepResult last;
  for (int64_t step = 1; step <= 300; ++step) last = learner->Train(One(batch), step, 0.01).value();
  EXPECT_EQ(last.right, 18);
  const Judgement after = learner->Judge(batch).value();
  EXPECT_EQ(after.right, 18);
  EXPECT_LT(after.log_loss, 0.2);
  EXPECT_GT(after.loss, after.log_loss) << "the loss is the spec's, the log loss plain";
}

TEST(TorchLearnerTest, LearnsWhichTokensAreHidden) {
  nn::ModelDescription description;
  description.task = nn::Task::kMaskedLanguageModel;
  description.table = nn::Table::Parse(json::parse(R"([{"type":"text","name":"t","max_length":6,
      "tokenizer":{"type":"word","vocabulary":["a","b","c"],"has_mask":true}}])"),
                                       "t")
                          .value();
  description.input = description.table->encoded();
  description.output = nn::OutputOf(description.task, 16);
  description.architecture =
      nn::ParseArchitecture(json::parse(R"({"type":"transformer_encoder","width":16,"heads":2,
                                            "layers":1,"feed_forward":32,"dropout":0})"),
                            "a")
          .value()
          ->ForTokens(6);
  // a b c a b c ..., of which two in a row are hidden.
  const auto rows = [](int64_t step) {
    Batch batch;
    batch.size = 3;
    for (int64_t row = 0; row < batch.size; ++row) {
      for (int64_t t = 0; t < 6; ++t) {
        const bool hidden = (t + step + row) % 6 < 2;
        const int64_t token = 2 + (row + t) % 3;
        const auto id = static_cast<float>(hidden ? 5 : token);
        batch.inputs.insert(batch.inputs.end(), reinterpret_cast<const char*>(&id),
                            reinterpret_cast<const char*>(&id + 1));
        if (!hidden) continue;
        batch.steps.push_back(row * 6 + t);
        batch.classes.push_back(token);
      }
    }
    return batch;
  };
  const auto learner =
      MakeLearner(description, training::CrossEntropy{.label_smoothing = 0.1}, training::Adam{});
  const Batch asked = rows(0);
  const Judgement before = learner->Judge(asked).value();
  EXPECT_NEAR(before.log_loss, std::log(6), 0.3);
  EXPECT_TRUE(before.scores.empty());
  for (int64_t step = 1; step <= 800; ++step) {
    ASSERT_TRUE(learner->Train(One(rows(step)), step, 0.01).ok());
  }
  const Judgement after = learner->Judge(asked).value();
  EXPECT_EQ(after.right, std::ssize(asked.classes));
  EXPECT_LT(after.log_loss, 0.2);
}

// ---- bfloat16.

// Pictures, and what reads them; sequences of four rows of a picture.
struct Precise {
  std::string name;
  std::string architecture;
};
class Bfloat16Test : public ::testing::TestWithParam<Precise> {
 protected:
  static std::unique_ptr<Learner> Make(bool bfloat16) {
    nn::ModelDescription description = PictureModel(GetParam().architecture);
    return MakeLearner(description, training::CrossEntropy{}, training::Adam{},
                       {.seed = 1, .bfloat16 = bfloat16});
  }
};

INSTANTIATE_TEST_SUITE_P(
    All, Bfloat16Test,
    ::testing::Values(
        Precise{"mlp", R"({"type":"mlp","hidden":[32],"batch_norm":true})"},
        Precise{"cnn", R"({"type":"cnn","channels":[4,8],"hidden":[16]})"},
        Precise{"resnet", R"({"type":"resnet","channels":[4,8],"blocks":1})"},
        Precise{"lstm", R"({"type":"lstm","hidden":16,"bidirectional":true})"},
        Precise{"gru", R"({"type":"gru","hidden":16})"},
        Precise{"rnn", R"({"type":"rnn","hidden":16})"},
        Precise{"encoder", R"({"type":"transformer_encoder","width":16,"heads":2,"dropout":0})"},
        Precise{"decoder", R"({"type":"transformer_decoder","width":16,"heads":2,"dropout":0})"}),
    [](const auto& tested) { return tested.param.name; });

TEST_P(Bfloat16Test, StepsInBfloat16AreNearlyThoseInFloat32) {
  const auto exact = Make(false);
  const auto learner = Make(true);
  ExpectSameWeights(*exact, *learner);
  // What is judged is not rounded.
  const Batch unseen = Pictures(1000, 64);
  EXPECT_EQ(learner->Judge(unseen)->scores, exact->Judge(unseen)->scores);
  const double loss = learner->Train(One(Pictures(1)), 1, 0.01).value().loss;
  const double expected = exact->Train(One(Pictures(1)), 1, 0.01).value().loss;
  EXPECT_NE(loss, expected) << "nothing was rounded";
  EXPECT_NEAR(loss, expected, 0.02 * expected);
  const auto weights = learner->SaveModel().value();
  for (const Tensor& weight : weights) {
    EXPECT_EQ(weight.dtype(), DataType::kFp32);
    const at::Tensor values = nn::ToTorch(weight);
    if (weight.name() == "head.weight") {
      EXPECT_FALSE(torch::equal(values, values.to(at::kBFloat16).to(at::kFloat)))
          << "the weights were rounded";
    }
  }
  // Weights of before a step are not used again.
  double last = 0;
  for (int64_t step = 2; step <= 80; ++step) {
    last = learner->Train(One(Pictures(step)), step, 0.01).value().loss;
  }
  EXPECT_LT(last, 0.6 * loss);
  EXPECT_LT(learner->Judge(unseen)->loss, 0.6 * loss);
}

TEST(TorchLearnerTest, LearnsALine) {
  const auto learner = MakeLearner(LineModel(), training::Mse{}, training::Sgd{});
  double loss = 0;
  for (int64_t step = 1; step <= 300; ++step) {
    loss = learner->Train(One(LineRows(step * 8, 8)), step, 0.1).value().loss;
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
    ASSERT_TRUE(learner->Train(One(batch), step, options.lr()).ok());

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
  training::AdamW without_decay;
  without_decay.weight_decay = 0;
  ExpectStepsOf<torch::optim::AdamW>(without_decay,
                                     torch::optim::AdamWOptions(0.01).weight_decay(0));
}

TEST(OptimizerTest, LbfgsStepsAsPyTorchs) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[5],"activation":"tanh"})",
               {"features", DataType::kFp32, {-1, 3}}, nn::Task::kClassification, 4);
  for (const auto search :
       {training::Lbfgs::LineSearch::kNone, training::Lbfgs::LineSearch::kStrongWolfe}) {
    const bool wolfe = search == training::Lbfgs::LineSearch::kStrongWolfe;
    SCOPED_TRACE(wolfe);
    const double rate = wolfe ? 1 : 0.1;
    const auto learner = MakeLearner(
        description, training::CrossEntropy{},
        training::Lbfgs{.iterations = 2, .history = 4, .line_search = search}, {.seed = 4});
    std::map<std::string, at::Tensor> p;
    std::vector<at::Tensor> leaves;
    const auto start = learner->SaveModel().value();
    for (const Tensor& tensor : start) {
      p[tensor.name()] = nn::ToTorch(tensor).clone().set_requires_grad(true);
      leaves.push_back(p[tensor.name()]);
    }
    auto options = torch::optim::LBFGSOptions(rate).max_iter(2).history_size(4);
    if (wolfe) options.line_search_fn("strong_wolfe");
    torch::optim::LBFGS theirs(leaves, options);
    // The same rows each time, and two directions a step: each that is searched makes rounding
    // grow.
    const at::Tensor x = torch::sin(torch::arange(36, at::kFloat) * 0.7).view({12, 3});
    const at::Tensor y = torch::arange(0, 12, at::kLong).remainder(4);
    Batch batch;
    batch.size = 12;
    const char* bytes = static_cast<const char*>(x.data_ptr());
    batch.inputs.assign(bytes, bytes + x.nbytes());
    batch.classes.assign(y.data_ptr<int64_t>(), y.data_ptr<int64_t>() + 12);
    for (int64_t step = 1; step <= 3; ++step) {
      ASSERT_TRUE(learner->Train(One(batch), step, rate).ok());
      theirs.step([&] {
        theirs.zero_grad();
        const at::Tensor h = torch::tanh(at::linear(x, p["hidden.0.weight"], p["hidden.0.bias"]));
        const at::Tensor loss =
            at::cross_entropy_loss(at::linear(h, p["head.weight"], p["head.bias"]), y);
        loss.backward();
        return loss;
      });
      const auto now = learner->SaveModel().value();
      for (const Tensor& tensor : now) {
        EXPECT_TRUE(torch::allclose(nn::ToTorch(tensor), p[tensor.name()].detach(), 1e-6, 1e-6))
            << tensor.name() << " at step " << step;
      }
    }
  }
}

TEST(OptimizerTest, LbfgsFindsALineInOneStepOfAllRows) {
  const auto learner = MakeLearner(LineModel(), training::Mse{}, training::Lbfgs{});
  EXPECT_GT(learner->Train(One(LineRows(0, 64)), 1, 1)->loss, 0.1);
  EXPECT_LT(learner->Train(One(LineRows(0, 64)), 2, 1)->loss, 1e-9);
}

TEST(TorchLearnerTest, ARateThatIsTooHighIsSeenBeforeTheLossIsNoNumber) {
  const auto learner = MakeLearner(LineModel(), training::Mse{}, training::Sgd{});
  training::v1::DivergenceSpec limits;
  limits.set_factor(10);
  limits.set_steps(50);
  DivergenceWatch watch;
  absl::Status verdict;
  for (int64_t step = 1; verdict.ok() && step <= 400; ++step) {
    const double loss = learner->Train(One(LineRows(step * 8, 8)), step, 1.05)->loss;
    ASSERT_TRUE(std::isfinite(loss)) << step;
    verdict = watch.Add(loss, limits);
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(verdict));
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
  const auto run = [&](auto optimizer, double decay) {
    optimizer.weight_decay = decay;
    const auto learner = MakeLearner(description, training::Mse{}, optimizer, {.seed = 1});
    EXPECT_TRUE(learner->Train(One(zeros), 1, 0.1).ok());
    std::map<std::string, at::Tensor> weights;
    const auto saved = learner->SaveModel().value();
    for (const Tensor& tensor : saved) weights[tensor.name()] = nn::ToTorch(tensor).clone();
    return weights;
  };
  const auto expect = [&](const auto& optimizer) {
    auto without = run(optimizer, 0);
    auto with = run(optimizer, 0.5);
    EXPECT_TRUE(torch::allclose(with["head.weight"], without["head.weight"] * (1 - 0.1 * 0.5)));
    EXPECT_TRUE(torch::equal(with["head.bias"], without["head.bias"]));
  };
  expect(training::Sgd{});
  expect(training::AdamW{});
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
  ASSERT_TRUE(learner->Train(One(batch), 1, 1).ok());
  const auto after = learner->SaveModel().value();
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    squares += (nn::ToTorch(after[i]) - nn::ToTorch(before[i])).square().sum().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squares), 0.5, 1e-4);
}

TEST(TorchLearnerTest, ClipsTheGradientsElements) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 1}},
               nn::Task::kRegression, 1);
  const auto learner =
      MakeLearner(description, training::Mse{}, training::Sgd{}, {.seed = 1, .clip_value = 0.5});
  Batch batch;
  batch.size = 1;
  const float x = 1000;
  batch.inputs.assign(reinterpret_cast<const char*>(&x), reinterpret_cast<const char*>(&x) + 4);
  batch.values = {5000};
  const auto before = learner->SaveModel().value();
  ASSERT_TRUE(learner->Train(One(batch), 1, 1).ok());
  const auto after = learner->SaveModel().value();
  for (size_t i = 0; i < before.size(); ++i) {
    const at::Tensor moved = nn::ToTorch(after[i]) - nn::ToTorch(before[i]);
    EXPECT_TRUE(torch::allclose(moved.abs(), torch::full_like(moved, 0.5), 1e-5, 1e-5));
  }
}

TEST(TorchLearnerTest, BatchesThatAreAddedUpAreOneLargeBatch) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[8]})", {"image", DataType::kUint8, {-1, 8, 8}},
               nn::Task::kClassification, 4);
  const auto once = MakeLearner(description, training::CrossEntropy{}, training::Sgd{});
  const auto added = MakeLearner(description, training::CrossEntropy{}, training::Sgd{});
  const Batch all = Pictures(1, 21);
  std::vector<Batch> parts(3);
  size_t first = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t size = std::vector<size_t>{8, 8, 5}[i];
    parts[i].size = static_cast<int64_t>(size);
    parts[i].share = static_cast<double>(size) / static_cast<double>(all.size);
    const auto part = [&](const auto& whole, size_t width) {
      const auto begin = whole.begin() + static_cast<ptrdiff_t>(first * width);
      return std::decay_t<decltype(whole)>(begin, begin + static_cast<ptrdiff_t>(size * width));
    };
    parts[i].inputs = part(all.inputs, 64);
    parts[i].classes = part(all.classes, 1);
    first += size;
  }
  const StepResult expected = once->Train(One(all), 1, 0.001).value();
  const StepResult actual = added->Train(parts, 1, 0.001).value();
  EXPECT_NEAR(actual.loss, expected.loss, 1e-4 * expected.loss);
  EXPECT_EQ(actual.right, expected.right);
  const auto left = once->SaveModel().value();
  const auto right = added->SaveModel().value();
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_TRUE(torch::allclose(nn::ToTorch(left[i]), nn::ToTorch(right[i]), 1e-4, 1e-5))
        << left[i].name();
  }
}

TEST(TorchLearnerTest, L1PullsWeightsToZeroAndSparesBiases) {
  const auto description =
      Describe(R"({"type":"mlp","hidden":[]})", {"features", DataType::kFp32, {-1, 3}},
               nn::Task::kRegression, 1);
  Batch zeros;  // no gradient for the weight
  zeros.size = 2;
  zeros.inputs.assign(2 * 3 * sizeof(float), 0);
  zeros.values = {0, 0};
  const auto run = [&](double l1) {
    const auto learner =
        MakeLearner(description, training::Mse{}, training::Sgd{}, {.seed = 1, .l1 = l1});
    EXPECT_TRUE(learner->Train(One(zeros), 1, 0.1).ok());
    return learner->SaveModel().value();
  };
  const auto without = run(0);
  const auto with = run(0.5);
  const at::Tensor weight = nn::ToTorch(without[0]);
  EXPECT_TRUE(torch::allclose(nn::ToTorch(with[0]), weight - 0.1 * 0.5 * weight.sign()));
  EXPECT_TRUE(torch::equal(nn::ToTorch(with[1]), nn::ToTorch(without[1])));
}

TEST(TorchLearnerTest, JudgesAndSavesTheMovingAverage) {
  constexpr double kDecay = 0.5;
  const auto description =
      Describe(R"({"type":"mlp","hidden":[5],"batch_norm":true})",
               {"image", DataType::kUint8, {-1, 8, 8}}, nn::Task::kClassification, 4);
  const auto plain = MakeLearner(description, training::CrossEntropy{}, training::Adam{});
  const auto averaged =
      MakeLearner(description, training::CrossEntropy{}, training::Adam{}, {.ema_decay = kDecay});
  std::vector<at::Tensor> average;
  const auto start = plain->SaveModel().value();
  for (const Tensor& tensor : start) average.push_back(nn::ToTorch(tensor).clone());
  for (int64_t step = 1; step <= 10; ++step) {
    ASSERT_TRUE(plain->Train(One(Pictures(step)), step, 0.01).ok());
    ASSERT_TRUE(averaged->Train(One(Pictures(step)), step, 0.01).ok());
    const auto now = plain->SaveModel().value();
    const auto n = static_cast<double>(step);
    const double decay = std::min(kDecay, (1 + n) / (10 + n));
    for (size_t i = 0; i < now.size(); ++i) {
      average[i] = decay * average[i] + (1 - decay) * nn::ToTorch(now[i]);
    }
    // To look at the average changes nothing of the training.
    ASSERT_TRUE(averaged->Judge(Pictures(step)).ok());
  }
  const auto saved = averaged->SaveModel().value();
  for (size_t i = 0; i < saved.size(); ++i) {
    EXPECT_TRUE(torch::allclose(nn::ToTorch(saved[i]), average[i], 1e-5, 1e-6)) << saved[i].name();
  }
  const auto served = nn::TorchNetwork::Create(description.BuildNetwork("").value()).value();
  ASSERT_TRUE(served->Load(saved).ok());
  const Batch batch = Pictures(99);
  const at::Tensor expected = served->Evaluate(
      at::from_blob(const_cast<char*>(batch.inputs.data()), {batch.size, 8, 8}, at::kByte));
  const auto scores = averaged->Judge(batch).value().scores;
  EXPECT_TRUE(torch::equal(torch::tensor(scores).view_as(expected), expected));
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
  const auto result = learner->Train(One(batch), 1, 0.1);
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
    if (tensor.name() != "optimizer.square") without.push_back(tensor);
  }
  EXPECT_THAT(error(without), HasSubstr("tensor optimizer.square is missing"));
  EXPECT_THAT(error({}), HasSubstr("is missing"));
}

}  // namespace
}  // namespace slipway::trainer
