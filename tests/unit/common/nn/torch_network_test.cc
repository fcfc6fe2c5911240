#include "common/nn/torch_network.h"

#include <sys/resource.h>
#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/nn/architecture.h"
#include "common/nn/fine_tuning.h"
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

// ---- Fine-tuning. ----

TEST(TorchNetworkTest, AFrozenLayerKeepsWeightsAndStatisticsAndGoesByThem) {
  const auto whole = SmallCnn();
  const Network graph =
      Freeze(whole->network(), [](const Layer& layer) { return layer.name.starts_with("block"); });
  const auto network = TorchNetwork::Create(graph).value();
  ASSERT_TRUE(network->Load(whole->Save().value()).ok());
  EXPECT_TRUE(network->statistics().empty());
  EXPECT_LT(network->parameters().numel(), whole->parameters().numel());
  auto before = ParametersOf(*network);
  network->Train(Pictures(6)).sum().backward();
  EXPECT_GT(network->gradients().abs().max().item<double>(), 0);
  {
    const at::NoGradGuard no_grad;
    network->parameters().add_(network->gradients(), -0.1);
  }
  auto after = ParametersOf(*network);
  for (const auto& [name, tensor] : before) {
    EXPECT_EQ(torch::equal(tensor, after[name]), name.starts_with("block")) << name;
  }
  // Without dropout training computes what inference does.
  const Network all =
      Freeze(Describe(R"({"type":"cnn","channels":[4]})", kImage).BuildNetwork("").value(),
             [](const Layer& layer) { return layer.name.starts_with("block"); });
  const auto plain = TorchNetwork::Create(all).value();
  ASSERT_TRUE(plain->Initialize(1).ok());
  EXPECT_TRUE(torch::allclose(plain->Train(Pictures(6)), plain->Evaluate(Pictures(6))));
}

struct AdaptedCase {
  const char* architecture;
  TensorSpec input;
};

// With an adapter beside each dense layer.
TEST(TorchNetworkTest, AnAdapterStartsAsNothingAndMergedIsWhatItWasBeside) {
  const AdaptedCase table[] = {
      {R"({"type":"cnn","channels":[4],"hidden":[16]})", kImage},
      {R"({"type":"transformer_encoder","width":8,"heads":2,"feed_forward":16})", kImage},
  };
  for (const AdaptedCase& adapted : table) {
    SCOPED_TRACE(adapted.architecture);
    const auto description = Describe(adapted.architecture, adapted.input);
    const auto plain = Make(description);
    const Network graph = AddAdapters(
        Freeze(plain->network(), [](const Layer&) { return true; }), {.rank = 3, .scale = 2},
        [](const Layer& layer) { return std::holds_alternative<Gemm>(layer.op); });
    const auto network = TorchNetwork::Create(graph).value();
    ASSERT_TRUE(network->Initialize(7).ok());
    std::vector<Tensor> weights = network->Save().value();
    const std::vector<Tensor> base = plain->Save().value();
    std::copy(base.begin(), base.end(), weights.begin());
    ASSERT_TRUE(network->Load(weights).ok());
    const at::Tensor pictures = Pictures(6);
    // Not to the bit: the two may multiply by different kernels.
    EXPECT_LT((network->Evaluate(pictures) - plain->Evaluate(pictures)).abs().max().item<double>(),
              1e-5);

    {
      const at::NoGradGuard no_grad;
      network->parameters().copy_(torch::sin(torch::arange(network->parameters().numel())) * 0.3);
    }
    const at::Tensor beside = network->Evaluate(pictures);
    EXPECT_FALSE(torch::allclose(beside, plain->Evaluate(pictures)));
    ASSERT_TRUE(plain->Load(MergeAdapters(graph, network->Save().value()).value()).ok());
    EXPECT_TRUE(torch::allclose(plain->Evaluate(pictures), beside, 1e-4, 1e-4));
  }
}

// A cell as ONNX's documentation has it, by the parameters' own layout.
at::Tensor RunCell(const std::string& type, const at::Tensor& sequence, const at::Tensor& W,
                   const at::Tensor& R, const at::Tensor& B, bool backward) {
  const int64_t hidden = R.size(1);
  const at::Tensor input_bias = B.slice(0, 0, W.size(0));
  const at::Tensor state_bias = B.slice(0, W.size(0));
  at::Tensor h = torch::zeros({sequence.size(0), hidden});
  at::Tensor c = torch::zeros_like(h);
  std::vector<at::Tensor> states(static_cast<size_t>(sequence.size(1)));
  for (size_t i = 0; i < states.size(); ++i) {
    const size_t t = backward ? states.size() - 1 - i : i;
    const at::Tensor x = sequence.select(1, static_cast<int64_t>(t)).matmul(W.t()) + input_bias;
    const at::Tensor s = h.matmul(R.t()) + state_bias;
    const auto gate = [&](const at::Tensor& all, int64_t place) {
      return all.slice(1, place * hidden, (place + 1) * hidden);
    };
    if (type == "rnn") {
      h = torch::tanh(x + s);
    } else if (type == "lstm") {  // i, o, f, c
      const at::Tensor in = torch::sigmoid(gate(x + s, 0));
      const at::Tensor out = torch::sigmoid(gate(x + s, 1));
      const at::Tensor forget = torch::sigmoid(gate(x + s, 2));
      c = forget * c + in * torch::tanh(gate(x + s, 3));
      h = out * torch::tanh(c);
    } else {  // z, r, h
      const at::Tensor update = torch::sigmoid(gate(x + s, 0));
      const at::Tensor reset = torch::sigmoid(gate(x + s, 1));
      h = (1 - update) * torch::tanh(gate(x, 2) + reset * gate(s, 2)) + update * h;
    }
    states[t] = h;
  }
  return torch::stack(states, 1);
}

TEST(TorchNetworkTest, RecurrentCellsComputeWhatOnnxSays) {
  for (const std::string type : {"rnn", "lstm", "gru"}) {
    for (const bool both : {false, true}) {
      SCOPED_TRACE(type + (both ? " both ways" : ""));
      const auto network =
          Make(Describe(R"({"type":")" + type + R"(","hidden":6,"layers":2,"bidirectional":)" +
                            (both ? "true" : "false") + "}",
                        {"x", DataType::kFp32, {-1, 5, 3}}));
      auto p = ParametersOf(*network);
      at::Tensor x = torch::sin(torch::arange(4 * 5 * 3, at::kFloat)).view({4, 5, 3});
      const at::Tensor input = x.clone();
      for (const std::string layer : {"recurrent.0", "recurrent.1"}) {
        std::vector<at::Tensor> ways;
        for (int64_t d = 0; d < (both ? 2 : 1); ++d) {
          ways.push_back(
              RunCell(type, x, p[layer + ".W"][d], p[layer + ".R"][d], p[layer + ".B"][d], d == 1));
        }
        x = torch::cat(ways, 2);
      }
      at::Tensor last = x.select(1, 4);
      if (both) last = torch::cat({x.select(1, 4).slice(1, 0, 6), x.select(1, 0).slice(1, 6)}, 1);
      const at::Tensor expected = at::linear(last, p["head.weight"], p["head.bias"]);
      EXPECT_TRUE(torch::allclose(network->Evaluate(input), expected, 1e-4, 1e-6));
      EXPECT_TRUE(torch::allclose(network->Train(input), expected, 1e-4, 1e-6));
    }
  }
}

TEST(TorchNetworkTest, ATransformerComputesWhatIsWrittenByHand) {
  const auto network =
      Make(Describe(R"({"type":"transformer_encoder","vocabulary":20,"width":8,"heads":2,"layers":2,
                   "feed_forward":12,"initialization":"uniform"})",
                    {"ids", DataType::kInt64, {-1, 5}}));
  auto p = ParametersOf(*network);
  // Two of them are past the table's ends.
  at::Tensor ids = torch::arange(15, at::kLong).view({3, 5}).clone();
  ids[0][0] = -7;
  ids[2][4] = 999;
  const at::Tensor before = ids.clone();
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    return at::linear(x, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    const at::Tensor centred = x - x.mean(-1, true);
    return centred / torch::sqrt(centred.square().mean(-1, true) + 1e-5) * p[name + ".weight"] +
           p[name + ".bias"];
  };
  at::Tensor x = p["embedding.weight"].index_select(0, ids.clamp(0, 19).flatten()).view({3, 5, 8}) +
                 p["positions.weight"];
  for (const std::string layer : {"layer.0", "layer.1"}) {
    const at::Tensor qkv = linear(norm(x, layer + ".attention.norm"), layer + ".attention.qkv");
    std::vector<at::Tensor> heads;
    for (int64_t head = 0; head < 2; ++head) {
      const auto part = [&](int64_t which) {
        return qkv.slice(2, which * 8 + head * 4, which * 8 + head * 4 + 4);
      };
      const at::Tensor weights = (part(0).matmul(part(1).transpose(1, 2)) / 2).softmax(-1);
      heads.push_back(weights.matmul(part(2)));
    }
    x = x + linear(torch::cat(heads, 2), layer + ".attention.out");
    const at::Tensor wide =
        linear(norm(x, layer + ".feed_forward.norm"), layer + ".feed_forward.in");
    x = x + linear(at::gelu(wide), layer + ".feed_forward.out");
  }
  const at::Tensor expected = linear(norm(x, "norm").mean(1), "head");
  EXPECT_TRUE(torch::allclose(network->Evaluate(ids), expected, 1e-4, 1e-5));
  EXPECT_TRUE(torch::equal(ids, before));
}

// For texts of up to eight bytes.
ModelDescription DescribeLanguageModel(const std::string& architecture,
                                       Task task = Task::kLanguageModel) {
  const bool masked = task == Task::kMaskedLanguageModel;
  json column = {{"type", "text"}, {"name", "text"}, {"max_length", 8}};
  column["tokenizer"] = {{"type", "byte"}, {"has_mask", masked}};
  ModelDescription description;
  description.task = task;
  description.table = Table::Parse(json::array({column}), "table").value();
  description.input = description.table->encoded();
  const int64_t tokens = description.table->tokenizer()->size();
  description.architecture =
      ParseArchitecture(json::parse(architecture), "a").value()->ForTokens(tokens);
  description.output =
      OutputOf(task, masked ? description.architecture->embedding_width() : tokens);
  return description;
}

TEST(TorchNetworkTest, AMaskedLanguageModelSaysWhichTokensStandThereAndMeansThem) {
  const auto network = Make(DescribeLanguageModel(
      R"({"type":"transformer_encoder","width":8,"heads":2,"layers":2,"dropout":0,
          "initialization":"uniform"})",
      Task::kMaskedLanguageModel));
  // What the layers make of each step: a classifier's, whose last layer passes the mean on.
  const auto encoder = Make(Describe(
      R"({"type":"transformer_encoder","width":8,"heads":2,"layers":2,"dropout":0,
          "vocabulary":259,"pad_token_id":0})",
      {"encoded", DataType::kFp32, {-1, 8}}, Task::kRegression, 8));
  std::vector<Tensor> weights = network->Save().value();
  weights.push_back(FromTorch("head.weight", torch::eye(8)).value());
  weights.push_back(FromTorch("head.bias", torch::zeros({8})).value());
  ASSERT_TRUE(encoder->Load(weights).ok());

  at::Tensor ids = torch::arange(24, at::kFloat).add(50).view({3, 8}).clone();
  ids[1].slice(0, 3).zero_();
  ids[2].slice(0, 7).zero_();
  ids[0][2] = 258;  // hidden
  const std::vector<at::Tensor> inputs = {ids};
  const at::Tensor embedding = network->Infer(inputs)[0];
  EXPECT_TRUE(torch::allclose(embedding, encoder->Evaluate(ids), 1e-4, 1e-5));

  // Each step's vector is weighed by the table of tokens, and a row's mean by it is the mean.
  const at::Tensor logits = network->Evaluate(ids);
  EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{3, 8, 259}));
  const at::Tensor table = ParametersOf(*network)["embedding.weight"];
  const int64_t lengths[] = {8, 3, 7};
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(torch::allclose(logits[row].slice(0, 0, lengths[row]).mean(0),
                                table.matmul(embedding[row]), 1e-4, 1e-5))
        << row;
  }
  // Only some steps, in any order.
  const at::Tensor steps = torch::tensor({17, 2, 9}, at::kLong);
  const at::Tensor expected = logits.flatten(0, 1).index_select(0, steps);
  EXPECT_TRUE(torch::allclose(network->Evaluate(ids, steps), expected, 1e-4, 1e-5));
  const at::Tensor trained = network->Train(ids, steps);
  EXPECT_TRUE(torch::allclose(trained.detach(), expected, 1e-4, 1e-5));
  trained.sum().backward();
  EXPECT_GT(network->gradients().abs().sum().item<double>(), 0);
}

TEST(TorchNetworkTest, ADecoderComputesWhatIsWrittenByHand) {
  const auto network = Make(DescribeLanguageModel(
      R"({"type":"transformer_decoder","width":8,"heads":2,"layers":1,"feed_forward":12,
          "initialization":"uniform"})"));
  auto p = ParametersOf(*network);
  const at::Tensor ids = torch::arange(24, at::kLong).mul(11).remainder(256).add(2).view({3, 8});
  const auto linear = [&](const at::Tensor& x, const std::string& name) {
    return at::linear(x, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto norm = [&](const at::Tensor& x, const std::string& name) {
    return at::layer_norm(x, {8}, p[name + ".weight"], p[name + ".bias"], 1e-5);
  };
  at::Tensor x = at::embedding(p["embedding.weight"], ids) + p["positions.weight"];
  const at::Tensor qkv = linear(norm(x, "layer.0.attention.norm"), "layer.0.attention.qkv");
  std::vector<at::Tensor> heads;
  for (int64_t head = 0; head < 2; ++head) {
    const auto part = [&](int64_t which) {
      return qkv.slice(2, which * 8 + head * 4, which * 8 + head * 4 + 4);
    };
    // Each step by itself, over itself and those before it.
    std::vector<at::Tensor> steps;
    for (int64_t t = 0; t < 8; ++t) {
      const at::Tensor query = part(0).slice(1, t, t + 1);
      const at::Tensor keys = part(1).slice(1, 0, t + 1);
      const at::Tensor weights = (query.matmul(keys.transpose(1, 2)) / 2).softmax(-1);
      steps.push_back(weights.matmul(part(2).slice(1, 0, t + 1)));
    }
    heads.push_back(torch::cat(steps, 1));
  }
  x = x + linear(torch::cat(heads, 2), "layer.0.attention.out");
  const at::Tensor wide = linear(norm(x, "layer.0.feed_forward.norm"), "layer.0.feed_forward.in");
  x = x + linear(at::gelu(wide), "layer.0.feed_forward.out");
  // What comes out is weighed by the table that went in.
  const at::Tensor expected = norm(x, "norm").matmul(p["embedding.weight"].t());
  EXPECT_TRUE(torch::allclose(network->Evaluate(ids.to(at::kFloat)), expected, 1e-4, 1e-5));
}

TEST(TorchNetworkTest, ALanguageModelSaysWhatComesBehindTheLastToken) {
  for (const char* architecture :
       {R"({"type":"gru","hidden":8})", R"({"type":"lstm","hidden":8,"layers":2})",
        R"({"type":"transformer_decoder","width":8,"heads":2})"}) {
    SCOPED_TRACE(architecture);
    const auto network = Make(DescribeLanguageModel(architecture));
    const at::Tensor ids = torch::arange(8, at::kFloat).add(50).view({1, 8});
    const at::Tensor logits = network->Evaluate(ids);
    EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{1, 8, 258}));
    for (const int64_t length : {1, 5, 8}) {
      // What is behind a step changes nothing of it.
      at::Tensor other = ids.clone();
      other.slice(1, length).fill_(200);
      EXPECT_TRUE(torch::allclose(network->Evaluate(other).slice(1, 0, length),
                                  logits.slice(1, 0, length), 1e-4, 1e-5));
      other.slice(1, length).zero_();
      const std::vector<at::Tensor> inputs = {other};
      EXPECT_TRUE(torch::allclose(network->Infer(inputs)[0],
                                  logits.select(1, length - 1).softmax(-1), 1e-4, 1e-6));
    }
  }
}

TEST(TorchNetworkTest, AResnetComputesWhatIsWrittenByHand) {
  const auto network = Make(Describe(R"({"type":"resnet","channels":[4,6],"blocks":2})",
                                     {"x", DataType::kFp32, {-1, 9, 9}}));
  auto p = ParametersOf(*network);
  const at::Tensor input = torch::sin(torch::arange(3 * 81, at::kFloat)).view({3, 9, 9});
  const auto normalized = [&](const at::Tensor& x, const std::string& name, int64_t stride) {
    const at::Tensor& weight = p[name + ".conv.weight"];
    const at::Tensor y = at::conv2d(x, weight, p[name + ".conv.bias"], stride, weight.size(2) / 2);
    return at::batch_norm(y, p[name + ".norm.weight"], p[name + ".norm.bias"],
                          p[name + ".norm.running_mean"], p[name + ".norm.running_var"], false, 0.1,
                          1e-5, false);
  };
  at::Tensor x = torch::relu(normalized(input.unsqueeze(1), "stem", 1));
  for (const std::string block : {"stage.0.0", "stage.0.1", "stage.1.0", "stage.1.1"}) {
    const int64_t stride = block == "stage.1.0" ? 2 : 1;
    const at::Tensor shortcut = stride == 2 ? normalized(x, block + ".shortcut", 2) : x;
    const at::Tensor inner = torch::relu(normalized(x, block + ".0", stride));
    x = torch::relu(normalized(inner, block + ".1", 1) + shortcut);
  }
  const at::Tensor expected = at::linear(x.mean(3).mean(2), p["head.weight"], p["head.bias"]);
  EXPECT_TRUE(torch::allclose(network->Evaluate(input), expected, 1e-4, 1e-5));
}

// What the last row's own steps say is what they say alone: in front of padding, and beside rows of
// other lengths.
TEST(TorchNetworkTest, PaddingChangesNothing) {
  for (const std::string architecture : {
           R"({"type":"rnn","layers":2})",
           R"({"type":"lstm","layers":2,"bidirectional":true})",
           R"({"type":"gru","bidirectional":true,"pooling":"mean"})",
           R"({"type":"transformer_encoder","width":16,"heads":2,"initialization":"uniform"})",
           R"({"type":"transformer_encoder","width":16,"heads":2,"pooling":"first",
               "initialization":"uniform"})",
           R"({"type":"transformer_decoder","width":16,"heads":2,"initialization":"uniform"})",
       }) {
    SCOPED_TRACE(architecture);
    json fields = json::parse(architecture);
    fields["vocabulary"] = 20;
    fields["pad_token_id"] = 3;
    const auto padded = Make(Describe(fields.dump(), {"ids", DataType::kInt64, {-1, 9}}));
    at::Tensor ids = torch::full({4, 9}, 3, at::kLong);
    const int64_t lengths[] = {9, 1, 0, 5};  // a row of nothing but padding does no harm
    for (int64_t row = 0; row < 4; ++row) {
      for (int64_t t = 0; t < lengths[row]; ++t) ids[row][t] = 4 + (row * 7 + t * 5) % 16;
    }
    ids[3][2] = 3;  // inside a row it is a token as any other
    const at::Tensor together = padded->Evaluate(ids);
    const at::Tensor trained = padded->Train(ids).detach();
    EXPECT_TRUE(together.isfinite().all().item<bool>());

    for (const int64_t row : {0, 1, 3}) {
      const int64_t length = lengths[row];
      json alone = fields;
      alone["pad_token_id"] = -1;
      alone["dropout"] = 0;
      const auto network = Make(Describe(alone.dump(), {"ids", DataType::kInt64, {-1, length}}));
      std::vector<Tensor> weights = padded->Save().value();
      for (Tensor& weight : weights) {
        if (weight.name() != "positions.weight") continue;
        weight = FromTorch(weight.name(), ToTorch(weight).slice(0, 0, length).contiguous()).value();
      }
      ASSERT_TRUE(network->Load(weights).ok());
      const at::Tensor expected = network->Evaluate(ids.slice(0, row, row + 1).slice(1, 0, length));
      EXPECT_TRUE(torch::allclose(together.slice(0, row, row + 1), expected, 1e-4, 1e-5)) << row;
      if (fields["type"].get<std::string>().starts_with("transformer")) continue;  // has dropout
      EXPECT_TRUE(torch::allclose(trained.slice(0, row, row + 1), expected, 1e-4, 1e-5)) << row;
    }
  }
}

// What is done in place must not reach what another layer still reads, backward included.
TEST(TorchNetworkTest, GradientsOfEveryArchitectureAreNumericallyRight) {
  const TensorSpec picture = {"x", DataType::kFp32, {-1, 6, 6}};
  const TensorSpec ids = {"ids", DataType::kInt32, {-1, 4}};
  const std::pair<const char*, TensorSpec> table[] = {
      {R"({"type":"resnet","channels":[2,3],"blocks":1,"activation":"tanh"})", picture},
      {R"({"type":"rnn","hidden":3,"layers":2})", picture},
      {R"({"type":"lstm","hidden":3,"bidirectional":true,"pooling":"mean"})", picture},
      {R"({"type":"gru","vocabulary":5,"embedding":3,"hidden":3})", ids},
      {R"({"type":"transformer_encoder","vocabulary":5,"width":4,"heads":2,"layers":1,
           "feed_forward":5,"dropout":0,"initialization":"uniform"})",
       ids},
      {R"({"type":"transformer_encoder","vocabulary":5,"pad_token_id":1,"width":4,"heads":2,
           "layers":1,"feed_forward":5,"dropout":0,"initialization":"uniform"})",
       ids},
      {R"({"type":"lstm","vocabulary":5,"pad_token_id":1,"embedding":3,"hidden":3,
           "bidirectional":true,"pooling":"mean"})",
       ids},
      {R"({"type":"gru","vocabulary":5,"pad_token_id":1,"embedding":3,"hidden":3,"layers":2})",
       ids},
      {R"({"type":"transformer_decoder","vocabulary":5,"pad_token_id":1,"width":4,"heads":2,
           "layers":1,"feed_forward":5,"dropout":0,"initialization":"uniform"})",
       ids},
  };
  for (const auto& [architecture, spec] : table) {
    SCOPED_TRACE(architecture);
    const auto network = Make(Describe(architecture, spec));
    const at::Tensor input = spec.shape.rank() == 3
                                 ? torch::sin(torch::arange(3 * 36, at::kFloat)).view({3, 6, 6})
                                 : torch::arange(12, at::kInt).remainder(5).view({3, 4});
    const auto loss = [&] {
      return at::cross_entropy_loss(network->Train(input), torch::tensor({0, 1, 2}));
    };
    network->gradients().zero_();
    loss().backward();
    const at::Tensor gradients = network->gradients().clone();
    const at::NoGradGuard no_grad;
    const at::Tensor direction =
        torch::sin(torch::arange(gradients.numel(), at::kFloat) * 1.3) * gradients.ne(0);
    constexpr double kStep = 1e-3;
    network->parameters().add_(direction, kStep);
    const double above = loss().item<double>();
    network->parameters().sub_(direction, 2 * kStep);
    const double below = loss().item<double>();
    const double slope = (gradients * direction).sum().item<double>();
    EXPECT_NEAR((above - below) / (2 * kStep), slope, 0.02 * std::abs(slope) + 1e-4);
    EXPECT_GT(std::abs(slope), 1e-3);
  }
}

TEST(TorchNetworkTest, AWeightThatTwoLayersShareGetsTheGradientsOfBoth) {
  const auto network = Make(DescribeLanguageModel(
      R"({"type":"transformer_decoder","width":4,"heads":1,"layers":1,"dropout":0,
          "initialization":"uniform"})"));
  const at::Tensor ids = torch::arange(16, at::kFloat).add(50).view({2, 8});
  const at::Tensor targets = torch::arange(16, at::kLong).add(51);
  const auto loss = [&] {
    return at::cross_entropy_loss(network->Train(ids).flatten(0, 1), targets);
  };
  network->gradients().zero_();
  loss().backward();
  const at::Tensor gradients = network->gradients().clone();
  const at::NoGradGuard no_grad;
  const at::Tensor direction =
      torch::sin(torch::arange(gradients.numel(), at::kFloat) * 1.3) * gradients.ne(0);
  constexpr double kStep = 1e-3;
  network->parameters().add_(direction, kStep);
  const double above = loss().item<double>();
  network->parameters().sub_(direction, 2 * kStep);
  const double slope = (gradients * direction).sum().item<double>();
  EXPECT_NEAR((above - loss().item<double>()) / (2 * kStep), slope, 0.02 * std::abs(slope) + 1e-4);
}

TEST(TorchNetworkTest, OrthogonalWeightsAreOrthonormal) {
  const auto expect = [](const at::Tensor& matrix) {
    const bool wide = matrix.size(0) < matrix.size(1);
    const at::Tensor product = wide ? matrix.matmul(matrix.t()) : matrix.t().matmul(matrix);
    EXPECT_TRUE(torch::allclose(product, torch::eye(product.size(0)), 1e-4, 1e-5));
  };
  auto p = ParametersOf(
      *Make(Describe(R"({"type":"cnn","channels":[8],"hidden":[16],"initialization":"orthogonal"})",
                     {"x", DataType::kFp32, {-1, 8, 8}})));
  expect(p["block.0.conv.0.weight"].flatten(1));
  expect(p["hidden.0.weight"]);
  expect(p["head.weight"]);
  auto r = ParametersOf(*Make(
      Describe(R"({"type":"gru","hidden":4,"bidirectional":true,"initialization":"orthogonal"})",
               {"x", DataType::kFp32, {-1, 5, 3}})));
  for (const int64_t d : {0, 1}) expect(r["recurrent.0.R"][d]);
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

TEST(TorchNetworkTest, SequencesOfAnEmptyBatchGiveAnEmptyResult) {
  for (const std::string type : {"rnn", "lstm", "gru", "transformer_encoder"}) {
    const auto network =
        Make(Describe(R"({"type":")" + type + "\"}", {"x", DataType::kFp32, {-1, 5, 3}}));
    const std::vector<Tensor> empty = {
        Tensor::Make("x", DataType::kFp32, {0, 5, 3}, Buffer(), "x").value()};
    const auto outputs = network->Run(empty);
    ASSERT_TRUE(outputs.ok()) << type << ": " << outputs.status();
    EXPECT_EQ((*outputs)[0].shape(), (Shape{0, 10})) << type;
  }
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
