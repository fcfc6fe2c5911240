#include "services/inference/openvino/openvino_model.h"

#include <cstring>
#include <string>
#include <utility>

#include "openvino/op/constant.hpp"
#include "openvino/runtime/properties.hpp"
#include "services/inference/openvino/openvino_types.h"

namespace slipway::worker {
namespace {

// Bytes of the model's constants, as they are computed with.
int64_t ConstantBytes(const ov::Model& model) {
  int64_t bytes = 0;
  for (const auto& node : model.get_ops()) {
    const auto* constant = dynamic_cast<const ov::op::v0::Constant*>(node.get());
    if (constant != nullptr) bytes += static_cast<int64_t>(constant->get_byte_size());
  }
  return bytes;
}

ov::AnyMap PropertiesOf(const OpenVinoModel::Options& options) {
  const bool full = options.precision == RuntimeSettings::Precision::kFloat32;
  return {
      // Said, or a CPU that has bfloat16 computes in it.
      ov::hint::inference_precision(full ? ov::element::f32 : ov::element::bf16),
      // No threads of OpenVINO's: the caller's runs the model.
      ov::num_streams(0),
      ov::inference_num_threads(options.threads),
      ov::hint::enable_cpu_pinning(false),
  };
}

ov::Shape ToShape(const Shape& shape) { return {shape.dims().begin(), shape.dims().end()}; }

// Kernels read elements where they lie, so they must lie as their type demands. Numbers out of a
// message mostly do.
bool IsAligned(const Tensor& tensor) {
  const size_t size = ElementSize(tensor.dtype());
  return reinterpret_cast<uintptr_t>(tensor.data().data()) % size == 0;
}

}  // namespace

class OpenVinoModel::Instance {
 public:
  Instance(ov::CompiledModel compiled, const Signature& signature)
      : request_(compiled.create_infer_request()), signature_(signature) {
    for (const TensorSpec& input : signature.inputs) types_.push_back(ToOpenVino(input.dtype));
  }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ov::Shape shape = ToShape(inputs[i].shape());
      if (IsAligned(inputs[i])) {
        request_.set_input_tensor(
            i, ov::Tensor(types_[i], shape, const_cast<char*>(inputs[i].data().data())));
      } else {
        ov::Tensor copy(types_[i], shape);
        std::memcpy(copy.data(), inputs[i].data().data(), inputs[i].data().size());
        request_.set_input_tensor(i, copy);
      }
    }
    request_.infer();
    TensorBatch outputs;
    outputs.reserve(signature_.outputs.size());
    for (size_t i = 0; i < signature_.outputs.size(); ++i) {
      // The request writes its next answer to the same place.
      const ov::Tensor result = request_.get_output_tensor(i);
      const ov::Shape& shape = result.get_shape();
      const TensorSpec& spec = signature_.outputs[i];
      ASSIGN_OR_RETURN(
          Tensor output,
          Tensor::Make(
              spec.name, spec.dtype, Shape(std::vector<int64_t>(shape.begin(), shape.end())),
              Buffer::Own({static_cast<const char*>(result.data()), result.get_byte_size()}),
              spec.name));
      outputs.push_back(std::move(output));
    }
    return outputs;
  }

 private:
  ov::InferRequest request_;  // keeps what it was compiled from
  const Signature& signature_;
  std::vector<ov::element::Type> types_;  // of the inputs
};

// Takes an instance, and gives it back.
class OpenVinoModel::Lease {
 public:
  explicit Lease(const OpenVinoModel& model) : model_(model) {
    MutexLock lock(model_.mutex_);
    while (model_.free_.empty()) model_.freed_.Wait(model_.mutex_);
    instance_ = model_.free_.back();
    model_.free_.pop_back();
  }
  ~Lease() {
    MutexLock lock(model_.mutex_);
    model_.free_.push_back(instance_);
    model_.freed_.Signal();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Instance& operator*() const { return *instance_; }

 private:
  const OpenVinoModel& model_;
  Instance* instance_;
};

OpenVinoModel::OpenVinoModel(Signature signature, int64_t memory_bytes)
    : signature_(std::move(signature)), memory_bytes_(memory_bytes) {}

OpenVinoModel::~OpenVinoModel() = default;

absl::StatusOr<std::shared_ptr<const OpenVinoModel>> OpenVinoModel::Compile(
    ov::Core& core, const std::shared_ptr<ov::Model>& model, Signature signature,
    const Options& options) {
  try {
    // The constants, and what each instance makes of them.
    const int64_t bytes = ConstantBytes(*model) * (1 + options.instances);
    const std::shared_ptr<OpenVinoModel> result(new OpenVinoModel(std::move(signature), bytes));
    MutexLock lock(result->mutex_);
    for (int i = 0; i < options.instances; ++i) {
      result->instances_.push_back(std::make_unique<Instance>(
          core.compile_model(model, "CPU", PropertiesOf(options)), result->signature_));
      result->free_.push_back(result->instances_.back().get());
    }
    return result;
  } catch (const std::exception& error) {
    return OpenVinoError(error, absl::StatusCode::kInvalidArgument);
  }
}

absl::StatusOr<TensorBatch> OpenVinoModel::Run(const TensorBatch& inputs, absl::Time) const {
  const Lease instance(*this);
  try {
    return (*instance).Run(inputs);
  } catch (const std::exception& error) {
    return OpenVinoError(error, absl::StatusCode::kInternal);
  }
}

}  // namespace slipway::worker
