#include "common/onnx/graph.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::onnx {

using ::onnx::AttributeProto;
using ::onnx::TensorProto;

absl::StatusOr<TensorProto::DataType> OnnxType(DataType type) {
  static constexpr std::pair<DataType, TensorProto::DataType> kTypes[] = {
      {DataType::kBool, TensorProto::BOOL},     {DataType::kUint8, TensorProto::UINT8},
      {DataType::kUint16, TensorProto::UINT16}, {DataType::kUint32, TensorProto::UINT32},
      {DataType::kUint64, TensorProto::UINT64}, {DataType::kInt8, TensorProto::INT8},
      {DataType::kInt16, TensorProto::INT16},   {DataType::kInt32, TensorProto::INT32},
      {DataType::kInt64, TensorProto::INT64},   {DataType::kFp16, TensorProto::FLOAT16},
      {DataType::kBf16, TensorProto::BFLOAT16}, {DataType::kFp32, TensorProto::FLOAT},
      {DataType::kFp64, TensorProto::DOUBLE},
  };
  for (const auto& [ours, theirs] : kTypes) {
    if (ours == type) return theirs;
  }
  return absl::UnimplementedError(
      fmt::format("tensors of {} are not written as ONNX", DataTypeName(type)));
}

AttributeProto& Node::Add(const std::string& name, AttributeProto::AttributeType type) {
  AttributeProto& attribute = *proto_.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

Node& Node::Set(const std::string& name, int64_t value) {
  Add(name, AttributeProto::INT).set_i(value);
  return *this;
}

Node& Node::Set(const std::string& name, float value) {
  Add(name, AttributeProto::FLOAT).set_f(value);
  return *this;
}

Node& Node::Set(const std::string& name, const std::vector<int64_t>& values) {
  Add(name, AttributeProto::INTS).mutable_ints()->Add(values.begin(), values.end());
  return *this;
}

Node& Node::Set(const std::string& name, std::string_view text) {
  Add(name, AttributeProto::STRING).set_s(std::string(text));
  return *this;
}

void Graph::Claim(const std::string& name) {
  if (names_.insert(name).second || !status_.ok()) return;
  status_ = absl::UnimplementedError(
      fmt::format("ONNX has one name for one value, and \"{}\" is there twice", name));
}

TensorProto::DataType Graph::TypeOf(DataType type) {
  const auto known = OnnxType(type);
  if (!known.ok() && status_.ok()) status_ = known.status();
  return known.ok() ? *known : TensorProto::UNDEFINED;
}

void Graph::Describe(const TensorSpec& spec, ::onnx::ValueInfoProto& info) {
  info.set_name(spec.name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(TypeOf(spec.dtype));
  for (size_t i = 0; i < spec.shape.rank(); ++i) {
    auto& dimension = *tensor.mutable_shape()->add_dim();
    if (spec.shape[i] != Shape::kAny) {
      dimension.set_dim_value(spec.shape[i]);
    } else {
      dimension.set_dim_param(i == 0 ? "batch" : fmt::format("{}.{}", spec.name, i));
    }
  }
}

void Graph::AddInput(const TensorSpec& spec) {
  Claim(spec.name);
  Describe(spec, *proto_.add_input());
}

void Graph::AddOutput(const TensorSpec& spec) { Describe(spec, *proto_.add_output()); }

void Graph::AddConstant(const std::string& name, DataType type, const Shape& shape,
                        std::string_view bytes) {
  Claim(name);
  TensorProto& tensor = *proto_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(TypeOf(type));
  tensor.mutable_dims()->Add(shape.dims().begin(), shape.dims().end());
  tensor.set_raw_data(bytes.data(), bytes.size());
}

void Graph::AddConstant(const std::string& name, const Shape& shape,
                        const std::vector<float>& values) {
  AddConstant(name, DataType::kFp32, shape,
              {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

void Graph::AddConstant(const std::string& name, const std::vector<int64_t>& values) {
  AddConstant(name, DataType::kInt64, {static_cast<int64_t>(values.size())},
              {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t)});
}

void Graph::AddScalar(const std::string& name, int64_t value) {
  AddConstant(name, DataType::kInt64, {}, {reinterpret_cast<const char*>(&value), sizeof(value)});
}

void Graph::AddScalar(const std::string& name, float value) {
  AddConstant(name, DataType::kFp32, {}, {reinterpret_cast<const char*>(&value), sizeof(value)});
}

Node Graph::AddNode(const std::string& op, const std::vector<std::string>& inputs,
                    const std::string& output) {
  return AddNode(op, inputs, std::vector<std::string>{output});
}

Node Graph::AddNode(const std::string& op, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs) {
  ::onnx::NodeProto& node = *proto_.add_node();
  node.set_op_type(op);
  for (const std::string& input : inputs) node.add_input(input);
  for (const std::string& output : outputs) {
    node.add_output(output);
    if (output.empty()) continue;
    Claim(output);
    if (node.name().empty()) node.set_name(output);
  }
  return Node(node);
}

}  // namespace slipway::onnx
