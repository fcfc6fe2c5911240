#ifndef SLIPWAY_COMMON_ONNX_GRAPH_H_
#define SLIPWAY_COMMON_ONNX_GRAPH_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "onnx/onnx.pb.h"

namespace slipway::onnx {

/// ONNX's number of the type. Errors: kUnimplemented for BYTES.
absl::StatusOr<::onnx::TensorProto::DataType> OnnxType(DataType type);

/// One node that is being added: its attributes.
class Node {
 public:
  explicit Node(::onnx::NodeProto& proto) : proto_(proto) {}
  Node& Set(const std::string& name, int64_t value);
  Node& Set(const std::string& name, float value);
  Node& Set(const std::string& name, const std::vector<int64_t>& values);
  Node& Set(const std::string& name, std::string_view text);

 private:
  ::onnx::AttributeProto& Add(const std::string& name, ::onnx::AttributeProto::AttributeType type);
  ::onnx::NodeProto& proto_;
};

/// Writes an ONNX graph (https://onnx.ai/onnx/repo-docs/IR.html) piece by piece. In a graph a name
/// belongs to one value: the first error, which a second value of that name is, is kept for
/// status(). One thread.
class Graph {
 public:
  /// All outlive the writer.
  explicit Graph(::onnx::GraphProto& proto) : proto_(proto) {}

  void AddInput(const TensorSpec& spec);
  /// A value that some node gives.
  void AddOutput(const TensorSpec& spec);
  /// A constant; what is added refers to it by its name.
  void AddConstant(const std::string& name, DataType type, const Shape& shape,
                   std::string_view bytes);
  void AddConstant(const std::string& name, const Shape& shape, const std::vector<float>& values);
  void AddConstant(const std::string& name, const std::vector<int64_t>& values);
  /// Without dimensions.
  void AddScalar(const std::string& name, int64_t value);
  void AddScalar(const std::string& name, float value);
  Node AddNode(const std::string& op, const std::vector<std::string>& inputs,
               const std::string& output);
  /// With several results; the first one that is wanted names the node, an empty name is one that
  /// is not wanted.
  Node AddNode(const std::string& op, const std::vector<std::string>& inputs,
               const std::vector<std::string>& outputs);

  /// kUnimplemented: ONNX cannot say it.
  const absl::Status& status() const { return status_; }

 private:
  void Claim(const std::string& name);
  ::onnx::TensorProto::DataType TypeOf(DataType type);
  void Describe(const TensorSpec& spec, ::onnx::ValueInfoProto& info);

  ::onnx::GraphProto& proto_;
  std::set<std::string> names_;
  absl::Status status_;
};

}  // namespace slipway::onnx

#endif  // SLIPWAY_COMMON_ONNX_GRAPH_H_
