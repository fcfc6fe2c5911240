#include "common/onnx/export.h"

#include <algorithm>
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

// The nodes of one layer. An operator mostly is ONNX's of the same name; see ops.h.
struct LayerWriter {
  Graph& graph;
  std::vector<std::string> inputs;  // the names of the layer's inputs, then of its parameters
  std::string output;               // the name of its result

  std::string Part(std::string_view what) const { return fmt::format("{}.{}", output, what); }

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
    graph.AddConstant(Part("shape"), dims);
    graph.AddNode("Reshape", {inputs[0], Part("shape")}, output);
  }

  void operator()(const nn::Flatten&) const {
    graph.AddNode("Flatten", inputs, output).Set("axis", int64_t{1});
  }

  void operator()(const nn::Gemm&) const {
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
  for (const nn::Layer& layer : network.layers()) {
    LayerWriter writer{graph, {}, {}};
    for (const nn::ValueId id : layer.inputs) {
      writer.inputs.push_back(names[static_cast<size_t>(id)]);
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
