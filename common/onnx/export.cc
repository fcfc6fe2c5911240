#include "common/onnx/export.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <variant>
#include <vector>

#include "common/onnx/graph.h"
#include "fmt/format.h"

namespace slipway::onnx {
namespace {

using nn::Network;

// Protobuf's limit, less room for everything that is no weight.
constexpr int64_t kMaxWeightBytes = (int64_t{1} << 31) - (int64_t{64} << 20);

std::vector<float> ToFloats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

constexpr const char* kAttentionParts[] = {"query", "key", "value"};
constexpr const char* kCellParameters[] = {"W", "R", "B"};
// Its exponential is 0, and no sum with it is infinite.
constexpr float kNoScore = -1e9F;

// The nodes of one layer. An operator mostly is ONNX's of the same name; see ops.h.
struct LayerWriter {
  Graph& graph;
  const Shape& shape;               // of the layer's first input
  std::vector<std::string> inputs;  // the names of the layer's inputs, then of its parameters
  std::string lengths;              // of the lengths of rows, which are not among them; or empty
  std::string output;               // the name of its result

  std::string Part(std::string_view what) const { return fmt::format("{}.{}", output, what); }

  // A node on the way to the result; gives its name.
  std::string Step(const std::string& op, const std::vector<std::string>& from,
                   std::string_view what) const {
    graph.AddNode(op, from, Part(what));
    return Part(what);
  }
  std::string Transposed(const std::string& from, const std::vector<int64_t>& order,
                         std::string_view what) const {
    graph.AddNode("Transpose", {from}, Part(what)).Set("perm", order);
    return Part(what);
  }
  void Reshaped(const std::string& from, const std::vector<int64_t>& dims,
                const std::string& to) const {
    graph.AddConstant(to + ".shape", dims);
    graph.AddNode("Reshape", {from, to + ".shape"}, to);
  }

  std::string Unsqueezed(const std::string& from, const std::vector<int64_t>& axes,
                         std::string_view what) const {
    const std::string axes_name = fmt::format("{}.{}.axes", output, what);
    graph.AddConstant(axes_name, axes);
    return Step("Unsqueeze", {from, axes_name}, what);
  }
  // `first`, first + 1, ...: one for each step.
  std::string Places(int64_t first, std::string_view what) const {
    std::vector<int64_t> places(static_cast<size_t>(shape[1]));
    std::iota(places.begin(), places.end(), first);
    graph.AddConstant(Part(what), places);
    return Part(what);
  }
  std::string Scalar(auto value, std::string_view what) const {
    graph.AddScalar(Part(what), value);
    return Part(what);
  }
  // Of [N, T, width] the last of each row's own steps.
  void TakeLastSteps(const std::string& from, const std::string& to) const {
    const std::string last = fmt::format("{}.last", to);
    graph.AddScalar(last + ".one", int64_t{1});
    graph.AddNode("Sub", {lengths, last + ".one"}, last);
    graph.AddConstant(last + ".axes", {1});
    graph.AddNode("Unsqueeze", {last, last + ".axes"}, last + ".place");
    graph.AddNode("GatherND", {from, last + ".place"}, to).Set("batch_dims", int64_t{1});
  }

  void operator()(const nn::Cast& cast) const {
    // The network has no other types than ours.
    graph.AddNode("Cast", inputs, output)
        .Set("to", static_cast<int64_t>(OnnxType(cast.to).value()));
  }

  void operator()(const nn::Affine& affine) const {
    const bool shifts = std::any_of(affine.shift.begin(), affine.shift.end(),
                                    [](double shift) { return shift != 0; });
    const Shape shape = {static_cast<int64_t>(affine.scale.size())};
    const std::string scale = Part("scale");
    const std::string scaled = shifts ? Part("scaled") : output;
    graph.AddConstant(scale, shape, ToFloats(affine.scale));
    graph.AddNode("Mul", {inputs[0], scale}, scaled);
    if (!shifts) return;
    graph.AddConstant(Part("shift"), shape, ToFloats(affine.shift));
    graph.AddNode("Add", {scaled, Part("shift")}, output);
  }

  void operator()(const nn::Reshape& reshape) const {
    // 0: the dimension of the input, here the batch.
    std::vector<int64_t> dims = {0};
    dims.insert(dims.end(), reshape.dims.begin(), reshape.dims.end());
    Reshaped(inputs[0], dims, output);
  }

  void operator()(const nn::Flatten&) const {
    graph.AddNode("Flatten", inputs, output).Set("axis", int64_t{1});
  }

  void operator()(const nn::Gemm&) const {
    if (shape.rank() > 2) {
      const std::string weight = Transposed(inputs[1], {1, 0}, "weight");
      if (inputs.size() == 2) {
        graph.AddNode("MatMul", {inputs[0], weight}, output);
        return;
      }
      const std::string product = Step("MatMul", {inputs[0], weight}, "product");
      graph.AddNode("Add", {product, inputs[2]}, output);
      return;
    }
    graph.AddNode("Gemm", inputs, output).Set("transB", int64_t{1});
  }

  void operator()(const nn::Conv& conv) const {
    graph.AddNode("Conv", inputs, output)
        .Set("kernel_shape", {conv.kernel, conv.kernel})
        .Set("strides", {conv.stride, conv.stride})
        .Set("pads", std::vector<int64_t>(4, conv.padding));
  }

  void operator()(const nn::MaxPool& pool) const { Pool("MaxPool", pool.kernel, pool.stride); }
  void operator()(const nn::AveragePool& pool) const {
    Pool("AveragePool", pool.kernel, pool.stride);
  }
  void Pool(const std::string& op, int64_t kernel, int64_t stride) const {
    graph.AddNode(op, inputs, output)
        .Set("kernel_shape", {kernel, kernel})
        .Set("strides", {stride, stride});
  }

  void operator()(const nn::GlobalAveragePool&) const {
    graph.AddNode("GlobalAveragePool", inputs, output);
  }

  void operator()(const nn::BatchNormalization& norm) const {
    graph.AddNode("BatchNormalization", inputs, output)
        .Set("epsilon", static_cast<float>(norm.epsilon));
  }

  void operator()(const nn::LayerNormalization& norm) const {
    graph.AddNode("LayerNormalization", inputs, output)
        .Set("axis", int64_t{-1})
        .Set("epsilon", static_cast<float>(norm.epsilon));
  }

  void operator()(const nn::Add&) const { graph.AddNode("Add", inputs, output); }

  void operator()(const nn::Embedding& embedding) const {
    graph.AddNode("Cast", {inputs[0]}, Part("ids"))
        .Set("to", static_cast<int64_t>(::onnx::TensorProto::INT64));
    graph.AddScalar(Part("first"), int64_t{0});
    graph.AddScalar(Part("last"), embedding.rows - 1);
    const std::string ids = Step("Clip", {Part("ids"), Part("first"), Part("last")}, "known_ids");
    graph.AddNode("Gather", {inputs[1], ids}, output).Set("axis", int64_t{0});
  }

  void operator()(const nn::Length& length) const {
    graph.AddNode("Cast", {inputs[0]}, Part("ids"))
        .Set("to", static_cast<int64_t>(::onnx::TensorProto::INT64));
    const std::string padding = Step("Equal", {Part("ids"), Scalar(length.pad, "pad")}, "padding");
    const std::string own =
        Step("Where", {padding, Scalar(int64_t{0}, "none"), Places(1, "places")}, "own");
    graph.AddConstant(Part("axes"), {1});
    graph.AddNode("ReduceMax", {own, Part("axes")}, Part("last")).Set("keepdims", int64_t{0});
    graph.AddNode("Max", {Part("last"), Scalar(int64_t{1}, "least")}, output);
  }

  void operator()(const nn::TakeLast&) const { TakeLastSteps(inputs[0], output); }

  void operator()(const nn::Take& take) const {
    graph.AddScalar(Part("index"), take.index);
    graph.AddNode("Gather", {inputs[0], Part("index")}, output).Set("axis", int64_t{1});
  }

  void operator()(const nn::ReduceMean&) const {
    graph.AddConstant(Part("axes"), {1});
    if (lengths.empty()) {
      graph.AddNode("ReduceMean", {inputs[0], Part("axes")}, output).Set("keepdims", int64_t{0});
      return;
    }
    const std::string column = Unsqueezed(lengths, {1}, "lengths");
    const std::string own = Step("Less", {Places(0, "places"), column}, "own");
    const std::string weights = Unsqueezed(ToFloat(own, "weights"), {2}, "weight_column");
    const std::string weighted = Step("Mul", {inputs[0], weights}, "weighted");
    graph.AddNode("ReduceSum", {weighted, Part("axes")}, Part("sum")).Set("keepdims", int64_t{0});
    graph.AddNode("Div", {Part("sum"), ToFloat(column, "counts")}, output);
  }
  std::string ToFloat(const std::string& from, std::string_view what) const {
    graph.AddNode("Cast", {from}, Part(what))
        .Set("to", static_cast<int64_t>(::onnx::TensorProto::FLOAT));
    return Part(what);
  }

  void operator()(const nn::Recurrent& recurrent) const {
    // ONNX's own order is steps, then rows.
    const std::string steps = Transposed(inputs[0], {1, 0, 2}, "steps");
    if (!lengths.empty()) return RecurByLengths(recurrent, steps);
    const std::string state = Part("state");
    const auto results =
        recurrent.last ? std::vector<std::string>{"", state} : std::vector<std::string>{state};
    AddCells(recurrent, {steps, inputs[1], inputs[2], inputs[3]}, results)
        .Set("direction", recurrent.bidirectional ? "bidirectional" : "forward");
    if (recurrent.last) {  // [D, N, hidden]
      Reshaped(Transposed(state, {1, 0, 2}, "rows"), {0, -1}, output);
    } else {  // [T, D, N, hidden]
      Reshaped(Transposed(state, {2, 0, 1, 3}, "rows"), {0, 0, -1}, output);
    }
  }
  onnx::Node AddCells(const nn::Recurrent& recurrent, const std::vector<std::string>& from,
                      const std::vector<std::string>& results) const {
    onnx::Node node = graph.AddNode(std::string(OpName(recurrent)), from, results);
    node.Set("hidden_size", recurrent.hidden);
    if (recurrent.cell == nn::Recurrent::Cell::kGru) node.Set("linear_before_reset", int64_t{1});
    return node;
  }
  // Each direction by itself, and forwards: the second one over rows that are reversed up to their
  // ends. (Runtimes differ in what they make of the cells' own input of lengths.)
  void RecurByLengths(const nn::Recurrent& recurrent, const std::string& steps) const {
    std::vector<std::string> ways;
    for (int64_t way = 0; way < recurrent.directions(); ++way) {
      const std::string name = Part(way == 0 ? "forward" : "backward");
      const auto reversed = [&](const std::string& from, const std::string& to) {
        graph.AddNode("ReverseSequence", {from, lengths}, to)
            .Set("batch_axis", int64_t{1})
            .Set("time_axis", int64_t{0});
        return to;
      };
      std::vector<std::string> from = {way == 0 ? steps : reversed(steps, name + ".steps")};
      graph.AddConstant(name + ".way", {way});
      for (size_t i = 1; i <= 3; ++i) {
        from.push_back(fmt::format("{}.{}", name, kCellParameters[i - 1]));
        graph.AddNode("Gather", {inputs[i], name + ".way"}, from.back()).Set("axis", int64_t{0});
      }
      AddCells(recurrent, from, {name + ".states"});  // [T, 1, N, hidden]
      graph.AddConstant(name + ".axes", {1});
      graph.AddNode("Squeeze", {name + ".states", name + ".axes"}, name + ".each");
      const bool back = way == 1 && !recurrent.last;
      graph
          .AddNode("Transpose", {back ? reversed(name + ".each", name + ".again") : name + ".each"},
                   name + ".rows")
          .Set("perm", {1, 0, 2});
      ways.push_back(name + ".rows");
      if (!recurrent.last) continue;
      ways.back() = name + ".result";
      TakeLastSteps(name + ".rows", ways.back());
    }
    graph.AddNode("Concat", ways, output).Set("axis", int64_t{-1});
  }

  void operator()(const nn::Attention& attention) const {
    const int64_t size = shape[2] / 3 / attention.heads;  // of a head
    Reshaped(inputs[0], {0, 0, 3, attention.heads, size}, Part("split"));
    const std::string parts = Transposed(Part("split"), {2, 0, 3, 1, 4}, "parts");
    for (int64_t i = 0; i < 3; ++i) {
      const std::string part = Part(kAttentionParts[i]);
      graph.AddScalar(part + ".index", i);
      graph.AddNode("Gather", {parts, part + ".index"}, part).Set("axis", int64_t{0});
    }
    const std::string keys = Transposed(Part("key"), {0, 1, 3, 2}, "keys");
    const std::string products = Step("MatMul", {Part("query"), keys}, "products");
    graph.AddScalar(Part("scale"), 1 / std::sqrt(static_cast<float>(size)));
    std::string scores = Step("Mul", {products, Part("scale")}, "scores");
    if (attention.causal) {
      const std::string keys_at = Places(0, "places");
      scores = Masked(scores,
                      Step("LessOrEqual", {keys_at, Unsqueezed(keys_at, {1}, "queries")}, "seen"));
    } else if (!lengths.empty()) {
      scores = Masked(
          scores,
          Step("Less", {Places(0, "places"), Unsqueezed(lengths, {1, 2, 3}, "ends")}, "seen"));
    }
    graph.AddNode("Softmax", {scores}, Part("weights")).Set("axis", int64_t{-1});
    const std::string values = Step("MatMul", {Part("weights"), Part("value")}, "values");
    Reshaped(Transposed(values, {0, 2, 1, 3}, "joined"), {0, 0, -1}, output);
  }

  // What is not seen weighs nothing in a softmax.
  std::string Masked(const std::string& scores, const std::string& seen) const {
    return Step("Where", {seen, scores, Scalar(kNoScore, "no_score")}, "masked");
  }

  void operator()(const nn::Activate& activate) const {
    graph.AddNode(std::string(OnnxName(activate.function)), inputs, output);
  }

  void operator()(const nn::Dropout&) const { graph.AddNode("Identity", inputs, output); }

  void operator()(const nn::Softmax&) const {
    graph.AddNode("Softmax", inputs, output).Set("axis", int64_t{-1});
  }
};

// What values are called in the file: inputs and outputs as in the signature, the others after
// their layer, with a number that keeps them apart.
std::vector<std::string> NamesOf(const Network& network) {
  std::vector<std::string> names;
  for (size_t i = 0; i < network.values().size(); ++i) {
    names.push_back(fmt::format("{}:{}", network.values()[i].name, i));
  }
  for (const auto* kept : {&network.inputs(), &network.outputs()}) {
    for (const nn::ValueId id : *kept) names[static_cast<size_t>(id)] = network.value(id).name;
  }
  return names;
}

}  // namespace

absl::StatusOr<std::string> ExportOnnx(const Network& network, std::span<const Tensor> weights) {
  ASSIGN_OR_RETURN(const std::vector<const Tensor*> parameters, MatchParameters(network, weights));
  for (const nn::Layer& layer : network.layers()) {
    if (!layer.adapter.has_value()) continue;
    return absl::InvalidArgumentError(fmt::format("{} has an adapter: merge it", layer.name));
  }
  if (network.parameter_bytes() > kMaxWeightBytes) {
    return absl::UnimplementedError(
        fmt::format("{} bytes of weights do not fit an ONNX file", network.parameter_bytes()));
  }
  ::onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("slipway");
  model.add_opset_import()->set_version(kOpset);
  model.mutable_graph()->set_name("network");
  Graph graph(*model.mutable_graph());

  const std::vector<std::string> names = NamesOf(network);
  for (const nn::ValueId id : network.inputs()) graph.AddInput(network.value(id));
  for (const Tensor* parameter : parameters) {
    graph.AddConstant(parameter->name(), parameter->dtype(), parameter->shape(),
                      parameter->data().view());
  }
  const std::vector<bool> needed = LayersFor(network, network.outputs());
  for (size_t i = 0; i < needed.size(); ++i) {
    if (!needed[i]) continue;
    const nn::Layer& layer = network.layers()[i];
    LayerWriter writer{graph, network.value(layer.inputs[0]).shape, {}, {}, {}};
    for (const nn::ValueId id : layer.inputs) {
      const std::string& name = names[static_cast<size_t>(id)];
      // Nothing but lengths has one number a row, and no layer is made of those alone.
      if (network.value(id).shape.rank() == 1) {
        writer.lengths = name;
      } else {
        writer.inputs.push_back(name);
      }
    }
    for (const nn::ParameterId id : layer.parameters) {
      writer.inputs.push_back(network.parameter(id).name);
    }
    writer.output = names[static_cast<size_t>(layer.outputs[0])];
    std::visit(writer, layer.op);
  }
  for (const nn::ValueId id : network.outputs()) graph.AddOutput(network.value(id));
  RETURN_IF_ERROR(graph.status());
  return model.SerializeAsString();
}

}  // namespace slipway::onnx
