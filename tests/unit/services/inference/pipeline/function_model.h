#ifndef SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_PIPELINE_FUNCTION_MODEL_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_PIPELINE_FUNCTION_MODEL_H_

#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "services/inference/model_runtime.h"

namespace slipway::worker {

inline Tensor Column(const std::string& name, const std::vector<float>& values) {
  return Tensor::Make(name, DataType::kFp32, {std::ssize(values)},
                      Buffer::Own({reinterpret_cast<const char*>(values.data()),
                                   values.size() * sizeof(float)}),
                      name)
      .value();
}

inline std::vector<float> Values(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  if (!values.empty()) {
    std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  }
  return values;
}

/// Takes x FP32 [-1], gives y FP32 [-1]: a function of each row. Remembers what it was given.
class FunctionModel final : public LoadedModel {
 public:
  explicit FunctionModel(std::function<float(float)> function) : function_(std::move(function)) {}

  std::string_view platform() const override { return "function"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 100; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    ++runs;
    taken = inputs[0];
    if (!fault.ok()) return fault;
    std::vector<float> values = Values(inputs[0]);
    for (float& value : values) value = function_(value);
    if (loses_a_row) values.pop_back();
    given = Column("y", values);
    return TensorBatch{given};
  }

  absl::Status fault;
  bool loses_a_row = false;
  mutable int runs = 0;
  mutable Tensor taken;
  mutable Tensor given;

 private:
  const Signature signature_ = {{{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}};
  const std::function<float(float)> function_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_PIPELINE_FUNCTION_MODEL_H_
