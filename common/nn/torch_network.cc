#include "common/nn/torch_network.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "common/nn/fine_tuning.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

// Parameters start at multiples of a cache line in the flat tensor.
constexpr int64_t kAlignElements = 64 / sizeof(float);

constexpr std::pair<DataType, at::ScalarType> kTypes[] = {
    {DataType::kBool, at::kBool},     {DataType::kUint8, at::kByte},
    {DataType::kUint16, at::kUInt16}, {DataType::kUint32, at::kUInt32},
    {DataType::kUint64, at::kUInt64}, {DataType::kInt8, at::kChar},
    {DataType::kInt16, at::kShort},   {DataType::kInt32, at::kInt},
    {DataType::kInt64, at::kLong},    {DataType::kFp16, at::kHalf},
    {DataType::kBf16, at::kBFloat16}, {DataType::kFp32, at::kFloat},
    {DataType::kFp64, at::kDouble},
};

std::optional<at::ScalarType> ToTorchType(DataType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == type) return theirs;
  }
  return std::nullopt;
}

std::optional<DataType> FromTorchType(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  return std::nullopt;
}

// Runs `body`, and turns what LibTorch throws into a status.
template <class Body>
auto Guard(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception& error) {
    return TorchError(error);
  }
}

bool IsPicture(const Shape& shape) { return shape.rank() == 4; }

// A view of `size` elements of `flat` with the parameter's shape.
at::Tensor View(const at::Tensor& flat, int64_t offset, const Shape& shape) {
  const at::Tensor part = flat.narrow(0, offset, shape.Product());
  if (!IsPicture(shape)) return part.view(shape.dims());
  const int64_t channels = shape[1];
  const int64_t width = shape[3];
  return part.as_strided(shape.dims(),
                         {channels * shape[2] * width, 1, width * channels, channels});
}

// What Init::Orthogonal says, of random numbers.
at::Tensor Orthogonal(const at::Tensor& normal) {
  const bool matrices = normal.dim() == 3;
  at::Tensor random = matrices ? normal : normal.flatten(1);
  const bool wide = random.size(-2) < random.size(-1);
  if (wide) random = random.transpose(-2, -1);
  const auto [q, r] = at::linalg_qr(random);
  // With the signs of r's diagonal the result is uniform among orthogonal matrices.
  at::Tensor result = q * r.diagonal(0, -2, -1).sign().unsqueeze(-2);
  if (wide) result = result.transpose(-2, -1);
  return result.reshape(normal.sizes());
}

// What the compiler of a plan knows about one layer.
struct LayerContext {
  const Layer& layer;
  const std::vector<at::Tensor>& tensors;
  bool training;
  bool may_overwrite;  // the input is a temporary that nobody else reads, backward included

  size_t in() const { return static_cast<size_t>(layer.inputs[0]); }
  size_t out() const { return static_cast<size_t>(layer.outputs[0]); }
  const at::Tensor& parameter(size_t i) const {
    return tensors[static_cast<size_t>(layer.parameters[i])];
  }
};

// The constants of an Affine, as they are multiplied and added.
at::Tensor Constant(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kFloat).to(like.device());
}

// A cell's gates in PyTorch's order: LSTM i, f, g, o (ONNX: i, o, f, c), GRU r, z, n (z, r, h).
at::Tensor Gates(Recurrent::Cell cell, const at::Tensor& onnx) {
  if (cell == Recurrent::Cell::kRnn) return onnx;
  if (cell == Recurrent::Cell::kLstm) {
    const auto gates = onnx.chunk(4);
    return at::cat({gates[0], gates[2], gates[3], gates[1]});
  }
  const auto gates = onnx.chunk(3);
  return at::cat({gates[1], gates[0], gates[2]});
}

// Which steps are the rows' own: [N, T], bool.
at::Tensor OwnSteps(const at::Tensor& lengths, int64_t steps) {
  return at::arange(steps, lengths.options()).unsqueeze(0).lt(lengths.unsqueeze(1));
}

// Of each row the last of its own steps.
at::Tensor LastSteps(const at::Tensor& x, const at::Tensor& lengths) {
  return x.index({at::arange(x.size(0), lengths.options()), lengths - 1});
}

// Each row's own steps from the last to the first; those behind them stay.
at::Tensor Reversed(const at::Tensor& x, const at::Tensor& lengths) {
  const at::Tensor places = at::arange(x.size(1), lengths.options()).unsqueeze(0);
  const at::Tensor ends = lengths.unsqueeze(1);
  const at::Tensor from = at::where(places.lt(ends), ends - 1 - places, places);
  return x.index({at::arange(x.size(0), lengths.options()).unsqueeze(1), from});
}

// A Recurrent with its parameters.
struct Cells {
  Recurrent recurrent;
  bool training;
  at::Tensor input;  // W, R and B
  at::Tensor state;
  at::Tensor bias;

  struct States {
    at::Tensor each;  // [N, T, D hidden]
    at::Tensor last;  // [D, N, hidden]
  };

  at::Tensor operator()(const at::Tensor& x) const {
    const States states = Run(x, 0, recurrent.directions());
    return recurrent.last ? states.last.transpose(0, 1).flatten(1) : states.each;
  }

  // Padding changes nothing for a direction that has not come to it yet: the other one reads the
  // row's own steps the other way round.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& lengths) const {
    std::vector<at::Tensor> ways;
    for (int64_t way = 0; way < recurrent.directions(); ++way) {
      const at::Tensor each = Run(way == 0 ? x : Reversed(x, lengths), way, way + 1).each;
      ways.push_back(recurrent.last ? LastSteps(each, lengths)
                     : way == 0     ? each
                                    : Reversed(each, lengths));
    }
    return at::cat(ways, -1);
  }

  // By the parameters of directions [first, end).
  States Run(const at::Tensor& x, int64_t first, int64_t end) const {
    std::vector<at::Tensor> weights;
    for (int64_t d = first; d < end; ++d) {
      const auto biases = bias.select(0, d).chunk(2);
      for (const at::Tensor& onnx :
           {input.select(0, d), state.select(0, d), biases[0], biases[1]}) {
        weights.push_back(Gates(recurrent.cell, onnx));
      }
    }
    const bool both = end - first == 2;
    const at::Tensor start = at::zeros({end - first, x.size(0), recurrent.hidden}, x.options());
    States states;
    switch (recurrent.cell) {
      case Recurrent::Cell::kRnn:
        std::tie(states.each, states.last) =
            at::rnn_tanh(x, start, weights, true, 1, 0, training, both, true);
        break;
      case Recurrent::Cell::kLstm:
        std::tie(states.each, states.last, std::ignore) =
            at::lstm(x, {start, start}, weights, true, 1, 0, training, both, true);
        break;
      case Recurrent::Cell::kGru:
        std::tie(states.each, states.last) =
            at::gru(x, start, weights, true, 1, 0, training, both, true);
        break;
    }
    return states;
  }
};

// [N, T, 3 width] -> [N, T, width]; `mask` [N, T] of the steps that may be seen, or undefined.
at::Tensor Attend(const Attention& attention, const at::Tensor& x, const at::Tensor& mask) {
  const int64_t width = x.size(2) / 3;
  const at::Tensor parts =
      x.view({x.size(0), x.size(1), 3, attention.heads, width / attention.heads})
          .permute({2, 0, 3, 1, 4});
  std::optional<at::Tensor> seen;
  if (mask.defined()) seen = mask.view({mask.size(0), 1, 1, mask.size(1)});
  return at::scaled_dot_product_attention(parts[0], parts[1], parts[2], seen, /*dropout_p=*/0,
                                          attention.causal)
      .transpose(1, 2)
      .flatten(2);
}

Cells CellsOf(const LayerContext& context, const Recurrent& recurrent) {
  return {recurrent, context.training, context.parameter(0), context.parameter(1),
          context.parameter(2)};
}

// Makes the function of one input that an operator is.
struct StepCompiler {
  using Function = std::function<at::Tensor(const at::Tensor&)>;
  const LayerContext& context;
  const at::Tensor& flat;  // for the device

  Function operator()(const Cast& cast) const {
    const at::ScalarType type = *ToTorchType(cast.to);
    return [type](const at::Tensor& x) { return x.to(type); };
  }
  Function operator()(const Affine& affine) const {
    if (affine.scale.size() == 1) {
      // In two steps, as ONNX has it; the second one works in place.
      const double scale = affine.scale[0];
      const double shift = affine.shift[0];
      if (shift == 0) return [scale](const at::Tensor& x) { return x.mul(scale); };
      return [scale, shift](const at::Tensor& x) { return x.mul(scale).add_(shift); };
    }
    const at::Tensor scale = Constant(affine.scale, flat);
    const at::Tensor shift = Constant(affine.shift, flat);
    return [scale, shift](const at::Tensor& x) { return at::addcmul(shift, x, scale); };
  }
  Function operator()(const Reshape& reshape) const {
    std::vector<int64_t> dims = {-1};
    dims.insert(dims.end(), reshape.dims.begin(), reshape.dims.end());
    return [dims](const at::Tensor& x) {
      std::vector<int64_t> shape = dims;
      shape[0] = x.size(0);  // -1 is ambiguous for an empty batch
      return x.reshape(shape);
    };
  }
  Function operator()(const Flatten&) const {
    return [](const at::Tensor& x) { return x.flatten(1); };
  }
  Function operator()(const Gemm&) const {
    if (context.layer.adapter.has_value()) return AdaptedGemm(*context.layer.adapter);
    if (context.layer.parameters.size() == 1) {
      return [weight = context.parameter(0)](const at::Tensor& x) { return at::linear(x, weight); };
    }
    if (!context.training) {
      // What at::linear does, with the views made once. They share the parameters' memory.
      return [weight = context.parameter(0).detach().t(),
              bias = context.parameter(1).detach()](const at::Tensor& x) {
        return x.dim() == 2 ? at::addmm(bias, x, weight) : at::linear(x, weight.t(), bias);
      };
    }
    return [weight = context.parameter(0), bias = context.parameter(1)](const at::Tensor& x) {
      return at::linear(x, weight, bias);
    };
  }
  Function AdaptedGemm(const LowRankAdapter& adapter) const {
    return [weight = context.parameter(0), bias = context.parameter(1), a = context.parameter(2),
            b = context.parameter(3), scale = adapter.scale,
            rate = context.training ? adapter.dropout : 0](const at::Tensor& x) {
      const at::Tensor seen = rate > 0 ? at::dropout(x, rate, true) : x;
      return at::linear(x, weight, bias).add(at::linear(at::linear(seen, a), b), scale);
    };
  }
  Function operator()(const Conv& conv) const {
    return [weight = context.parameter(0), bias = context.parameter(1), stride = conv.stride,
            padding = conv.padding](const at::Tensor& x) {
      return at::conv2d(x, weight, bias, stride, padding);
    };
  }
  Function operator()(const MaxPool& pool) const {
    return [kernel = pool.kernel, stride = pool.stride](const at::Tensor& x) {
      return at::max_pool2d(x, kernel, stride);
    };
  }
  Function operator()(const AveragePool& pool) const {
    return [kernel = pool.kernel, stride = pool.stride](const at::Tensor& x) {
      return at::avg_pool2d(x, kernel, stride);
    };
  }
  Function operator()(const GlobalAveragePool&) const {
    return [](const at::Tensor& x) { return at::adaptive_avg_pool2d(x, {1, 1}); };
  }
  Function operator()(const BatchNormalization& norm) const {
    return [weight = context.parameter(0), bias = context.parameter(1), mean = context.parameter(2),
            variance = context.parameter(3), training = context.training && !context.layer.frozen,
            momentum = norm.momentum, epsilon = norm.epsilon](const at::Tensor& x) {
      return at::batch_norm(x, weight, bias, mean, variance, training, momentum, epsilon,
                            /*cudnn_enabled=*/true);
    };
  }
  Function operator()(const LayerNormalization& norm) const {
    return [weight = context.parameter(0), bias = context.parameter(1),
            epsilon = norm.epsilon](const at::Tensor& x) {
      return at::layer_norm(x, weight.sizes(), weight, bias, epsilon);
    };
  }
  Function operator()(const Add&) const {
    return [weight = context.parameter(0)](const at::Tensor& x) { return x.add(weight); };
  }
  Function operator()(const Embedding& embedding) const {
    return [weight = context.parameter(0), last = embedding.rows - 1](const at::Tensor& x) {
      return at::embedding(weight, x.to(at::kLong).clamp(0, last));
    };
  }
  Function operator()(const Length& length) const {
    return [pad = length.pad](const at::Tensor& ids) {
      const at::Tensor places = at::arange(1, ids.size(1) + 1, ids.options().dtype(at::kLong));
      return places.mul(ids.to(at::kLong).ne(pad)).amax(1).clamp_min(1);
    };
  }
  Function operator()(const TakeLast&) const { return nullptr; }  // has two inputs
  Function operator()(const Take& take) const {
    return [index = take.index](const at::Tensor& x) { return x.select(1, index); };
  }
  Function operator()(const ReduceMean&) const {
    return [](const at::Tensor& x) { return x.mean(1); };
  }
  Function operator()(const Recurrent& recurrent) const { return CellsOf(context, recurrent); }
  Function operator()(const Attention& attention) const {
    return [attention](const at::Tensor& x) { return Attend(attention, x, {}); };
  }
  Function operator()(const Activate& activate) const {
    const bool in_place = context.may_overwrite;
    switch (activate.function) {
      case Activation::kRelu:
        if (in_place) return [](const at::Tensor& x) { return at::Tensor(x).relu_(); };
        return [](const at::Tensor& x) { return x.relu(); };
      case Activation::kGelu:
        return [](const at::Tensor& x) { return at::gelu(x); };
      case Activation::kTanh:
        if (in_place) return [](const at::Tensor& x) { return at::Tensor(x).tanh_(); };
        return [](const at::Tensor& x) { return x.tanh(); };
      case Activation::kSigmoid:
        if (in_place) return [](const at::Tensor& x) { return at::Tensor(x).sigmoid_(); };
        return [](const at::Tensor& x) { return x.sigmoid(); };
      case Activation::kIdentity:
        return [](const at::Tensor& x) { return x; };
    }
    return nullptr;
  }
  Function operator()(const Dropout& dropout) const {
    if (!context.training) return [](const at::Tensor& x) { return x; };
    return [rate = dropout.rate](const at::Tensor& x) { return at::dropout(x, rate, true); };
  }
  Function operator()(const Softmax&) const {
    return [](const at::Tensor& x) { return x.softmax(-1); };
  }
};

// The same for those that have two: null for any other.
struct PairCompiler {
  using Function = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;
  const LayerContext& context;

  template <class Other>
  Function operator()(const Other&) const {
    return nullptr;
  }
  Function operator()(const Add&) const {
    return [](const at::Tensor& x, const at::Tensor& y) { return x.add(y); };
  }
  Function operator()(const TakeLast&) const { return LastSteps; }
  Function operator()(const ReduceMean&) const {
    return [](const at::Tensor& x, const at::Tensor& lengths) {
      const at::Tensor own = OwnSteps(lengths, x.size(1)).to(x.scalar_type());
      return x.mul(own.unsqueeze(2)).sum(1).div(lengths.unsqueeze(1));
    };
  }
  Function operator()(const Recurrent& recurrent) const { return CellsOf(context, recurrent); }
  Function operator()(const Attention& attention) const {
    return [attention](const at::Tensor& x, const at::Tensor& lengths) {
      return Attend(attention, x, OwnSteps(lengths, x.size(1)));
    };
  }
};

// Operators whose result is a fresh tensor that their own backward does not read.
bool MakesTemporary(const Op& op) {
  return std::holds_alternative<Conv>(op) || std::holds_alternative<Gemm>(op) ||
         std::holds_alternative<BatchNormalization>(op) || std::holds_alternative<MaxPool>(op) ||
         std::holds_alternative<AveragePool>(op) || std::holds_alternative<Add>(op);
}

}  // namespace

absl::Status TorchError(const std::exception& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                      text.find("allocate memory") != text.npos;
  return memory ? absl::ResourceExhaustedError("out of memory: " + text)
                : absl::InternalError(text);
}

at::Tensor ToTorch(const Tensor& tensor) {
  const auto options = at::TensorOptions().dtype(*ToTorchType(tensor.dtype()));
  const std::string_view bytes = tensor.data().view();
  // Kernels read elements where they lie, so they must lie as their type demands.
  if (reinterpret_cast<uintptr_t>(bytes.data()) % ElementSize(tensor.dtype()) != 0) {
    at::Tensor copy = at::empty(tensor.shape().dims(), options);
    std::memcpy(copy.data_ptr(), bytes.data(), bytes.size());
    return copy;
  }
  return at::from_blob(
      const_cast<char*>(bytes.data()), tensor.shape().dims(),
      [owner = tensor.data().owner()](void*) {}, options);
}

absl::StatusOr<Tensor> FromTorch(std::string name, const at::Tensor& tensor) {
  return Guard([&]() -> absl::StatusOr<Tensor> {
    const auto dtype = FromTorchType(tensor.scalar_type());
    if (!dtype) return absl::InternalError(fmt::format("{} has a foreign type", name));
    const bool plain = tensor.is_cpu() && !tensor.requires_grad() && tensor.is_contiguous();
    auto owner = std::make_shared<const at::Tensor>(
        plain ? tensor : tensor.detach().to(at::kCPU).contiguous());
    const std::string_view bytes(static_cast<const char*>(owner->const_data_ptr()),
                                 owner->nbytes());
    std::string field = name;
    return Tensor::Make(std::move(name), *dtype, Shape(owner->sizes().vec()),
                        Buffer::Share(bytes, owner), field);
  });
}

TorchNetwork::~TorchNetwork() = default;

absl::StatusOr<std::unique_ptr<TorchNetwork>> TorchNetwork::Create(Network network,
                                                                   const std::string& device,
                                                                   Use use) {
  if (device != "cpu" && !device.starts_with("cuda")) {
    return absl::InvalidArgumentError(fmt::format("device {} is neither cpu nor cuda", device));
  }
  if (device != "cpu" && !torch::cuda::is_available()) {
    return absl::FailedPreconditionError(
        fmt::format("device {} is not there: this machine or this build has no CUDA", device));
  }
  return Guard([&]() -> absl::StatusOr<std::unique_ptr<TorchNetwork>> {
    std::unique_ptr<TorchNetwork> result(new TorchNetwork(std::move(network), use));
    result->Allocate(device);
    const Network& graph = result->network_;
    if (use == Use::kTraining) {
      result->train_ = result->Compile(Mode::kTrain, {graph.head()});
    }
    result->evaluate_ = result->Compile(Mode::kInfer, {graph.head()});
    result->infer_ = result->Compile(Mode::kInfer, graph.outputs());
    return result;
  });
}

void TorchNetwork::Allocate(const std::string& device) {
  const c10::InferenceMode inference(use_ == Use::kInference);
  const at::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(at::kFloat).device(at::Device(device));
  int64_t size = 0;
  std::vector<int64_t> offsets(network_.parameters().size());
  for (const bool decays : {true, false}) {
    for (size_t i = 0; i < offsets.size(); ++i) {
      const Parameter& parameter = network_.parameters()[i];
      if (!parameter.trainable || parameter.decays != decays) continue;
      offsets[i] = size;
      const int64_t lines = (parameter.shape.Product() + kAlignElements - 1) / kAlignElements;
      size += lines * kAlignElements;
    }
    if (decays) decaying_size_ = size;
  }
  flat_ = at::zeros({size}, options);
  if (use_ == Use::kTraining) flat_gradients_ = at::zeros({size}, options);
  for (size_t i = 0; i < offsets.size(); ++i) {
    const Parameter& parameter = network_.parameters()[i];
    if (!parameter.trainable) {
      tensors_.push_back(at::zeros(parameter.shape.dims(), options));
      continue;
    }
    at::Tensor view = View(flat_, offsets[i], parameter.shape).detach();
    if (use_ == Use::kTraining) {
      view.set_requires_grad(true);
      // Where a gradient is there already, backward adds to it in place.
      view.mutable_grad() = View(flat_gradients_, offsets[i], parameter.shape);
    }
    leaves_.push_back({view, offsets[i]});
    tensors_.push_back(std::move(view));
  }
  std::sort(leaves_.begin(), leaves_.end(),
            [](const Leaf& a, const Leaf& b) { return a.first < b.first; });
}

TorchNetwork::Plan TorchNetwork::Compile(Mode mode, const std::vector<ValueId>& targets) const {
  const std::vector<Layer>& layers = network_.layers();
  const std::vector<bool> runs = LayersFor(network_, targets);
  // Which layer reads a value last (none reads a target last).
  std::vector<int> readers(network_.values().size());
  std::vector<size_t> last_reader(network_.values().size(), layers.size());
  for (const ValueId id : targets) ++readers[static_cast<size_t>(id)];
  for (size_t i = layers.size(); i-- > 0;) {
    if (!runs[i]) continue;
    for (const ValueId id : layers[i].inputs) {
      if (readers[static_cast<size_t>(id)]++ == 0) last_reader[static_cast<size_t>(id)] = i;
    }
  }
  Plan plan;
  std::vector<bool> temporary(network_.values().size());
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!runs[i]) continue;
    const Layer& layer = layers[i];
    LayerContext context{layer, tensors_, mode == Mode::kTrain, false};
    const size_t in = context.in();
    const size_t out = context.out();
    context.may_overwrite = readers[in] == 1 && temporary[in];
    temporary[out] = MakesTemporary(layer.op);
    const bool last_use = last_reader[in] == i;
    if (layer.inputs.size() == 2) {
      const auto other = static_cast<size_t>(layer.inputs[1]);
      plan.push_back([function = std::visit(PairCompiler{context}, layer.op), in, other, out,
                      last_use,
                      other_last_use = last_reader[other] == i](std::span<at::Tensor> values) {
        values[out] = function(values[in], values[other]);
        if (last_use) values[in].reset();
        if (other_last_use) values[other].reset();
      });
      continue;
    }
    plan.push_back([function = std::visit(StepCompiler{context, flat_}, layer.op), in, out,
                    last_use](std::span<at::Tensor> values) {
      values[out] = function(values[in]);
      if (last_use) values[in].reset();
    });
  }
  return plan;
}

absl::Status TorchNetwork::Initialize(uint64_t seed) {
  return Guard([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    // A generator of its own, on the CPU and in the file's layout: neither the device nor other
    // users of random numbers change the result.
    at::Generator generator = at::detail::createCPUGenerator(seed);
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const Parameter& parameter = network_.parameters()[i];
      at::Tensor start = at::empty(parameter.shape.dims(), at::kFloat);
      const double value = parameter.init.value;
      switch (parameter.init.kind) {
        case Init::Kind::kConstant:
          start.fill_(value);
          break;
        case Init::Kind::kUniform:
          start.uniform_(-value, value, generator);
          break;
        case Init::Kind::kNormal:
          start.normal_(0, value, generator);
          break;
        case Init::Kind::kOrthogonal:
          start = Orthogonal(start.normal_(0, 1, generator));
          break;
      }
      tensors_[i].copy_(start);
    }
    return absl::OkStatus();
  });
}

absl::Status TorchNetwork::Load(std::span<const Tensor> tensors) {
  ASSIGN_OR_RETURN(const std::vector<const Tensor*> found, MatchParameters(network_, tensors));
  return Guard([&]() -> absl::Status {
    const c10::InferenceMode inference(use_ == Use::kInference);
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < found.size(); ++i) tensors_[i].copy_(ToTorch(*found[i]));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<Tensor>> TorchNetwork::Save() const {
  std::vector<Tensor> saved;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    auto tensor = Guard([&]() -> absl::StatusOr<Tensor> {
      const at::NoGradGuard no_grad;
      // clone() in the file's layout: the copy must not change with the next step.
      return FromTorch(network_.parameters()[i].name,
                       tensors_[i].detach().clone(at::MemoryFormat::Contiguous));
    });
    if (!tensor.ok()) return tensor.status();
    saved.push_back(*std::move(tensor));
  }
  return saved;
}

std::vector<at::Tensor> TorchNetwork::statistics() const {
  std::vector<at::Tensor> statistics;
  for (const Layer& layer : network_.layers()) {
    if (layer.frozen) continue;
    for (const ParameterId id : layer.parameters) {
      if (!network_.parameter(id).trainable)
        statistics.push_back(tensors_[static_cast<size_t>(id)]);
    }
  }
  return statistics;
}

absl::StatusOr<std::vector<Tensor>> TorchNetwork::Run(std::span<const Tensor> inputs) const {
  if (inputs.size() != network_.inputs().size()) {
    return InvalidField("inputs", fmt::format("must be {} tensors, got {}",
                                              network_.inputs().size(), inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = network_.value(network_.inputs()[i]);
    if (inputs[i].CheckAgainst(spec, "inputs").ok()) continue;
    return inputs[i].CheckAgainst(spec, fmt::format("inputs[{}]", i));
  }
  return Guard([&]() -> absl::StatusOr<std::vector<Tensor>> {
    std::vector<at::Tensor> given;
    for (const Tensor& input : inputs) given.push_back(ToTorch(input).to(flat_.device()));
    const std::vector<at::Tensor> results = Infer(given);
    std::vector<Tensor> outputs;
    for (size_t i = 0; i < results.size(); ++i) {
      auto output = FromTorch(network_.value(network_.outputs()[i]).name, results[i]);
      if (!output.ok()) return output.status();
      outputs.push_back(*std::move(output));
    }
    return outputs;
  });
}

std::vector<at::Tensor> TorchNetwork::Infer(std::span<const at::Tensor> inputs) const {
  const c10::InferenceMode inference;
  c10::SmallVector<at::Tensor, 64> values(network_.values().size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(network_.inputs()[i])] = inputs[i];
  }
  for (const Step& step : infer_) step({values.data(), values.size()});
  std::vector<at::Tensor> outputs;
  outputs.reserve(network_.outputs().size());
  for (const ValueId id : network_.outputs()) {
    outputs.push_back(values[static_cast<size_t>(id)]);
  }
  return outputs;
}

at::Tensor TorchNetwork::RunToHead(const Plan& plan, const at::Tensor& input,
                                   const at::Tensor& steps) const {
  c10::SmallVector<at::Tensor, 64> values(network_.values().size());
  values[static_cast<size_t>(network_.inputs()[0])] = input;
  // The last one makes the head.
  for (const Step& step : std::span(plan).first(plan.size() - 1)) {
    step({values.data(), values.size()});
  }
  if (steps.defined()) {
    at::Tensor& x = values[static_cast<size_t>(HeadOf(network_).inputs[0])];
    x = x.flatten(0, 1).index_select(0, steps);
  }
  plan.back()({values.data(), values.size()});
  return values[static_cast<size_t>(network_.head())];
}

at::Tensor TorchNetwork::Evaluate(const at::Tensor& input, const at::Tensor& steps) const {
  const c10::InferenceMode inference;
  return RunToHead(evaluate_, input, steps);
}

at::Tensor TorchNetwork::Train(const at::Tensor& input, const at::Tensor& steps) {
  return RunToHead(train_, input, steps);
}

}  // namespace slipway::nn
