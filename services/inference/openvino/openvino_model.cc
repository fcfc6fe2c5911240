#include "services/inference/openvino/openvino_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "openvino/op/constant.hpp"
#include "openvino/runtime/properties.hpp"
#include "services/inference/openvino/openvino_types.h"
#include "services/inference/precision_check.h"

namespace slipway::worker {
namespace {

// A larger model spends its time elsewhere, and a second form of it costs memory.
constexpr int64_t kMaxOneRowBytes = int64_t{16} << 20;
// What is quicker to copy than to hand over.
constexpr size_t kCopiedBytes = 16 << 10;

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

// The model for one row at a time, which is half as dear for a small network, since its shapes are
// worked out beforehand; null where that would not pay or not work.
std::shared_ptr<ov::Model> OneRow(const ov::Model& model, int64_t constant_bytes) {
  if (constant_bytes > kMaxOneRowBytes || model.inputs().empty()) return nullptr;
  std::shared_ptr<ov::Model> one = model.clone();
  std::map<ov::Output<ov::Node>, ov::PartialShape> shapes;
  for (const ov::Output<ov::Node>& input : one->inputs()) {
    ov::PartialShape shape = input.get_partial_shape();
    if (shape.size() == 0 || shape[0].is_static()) return nullptr;
    shape[0] = 1;
    shapes[input] = shape;
  }
  try {
    one->reshape(shapes);
  } catch (const std::exception&) {
    return nullptr;  // a model that wants more rows than one
  }
  return one->is_dynamic() ? nullptr : one;
}

// One place to run a model in, with its buffers. One thread at a time.
class Request {
 public:
  /// `fixed`: all shapes of `compiled` are known. `signature` outlives the request.
  Request(ov::CompiledModel compiled, const Signature& signature, bool fixed)
      : request_(compiled.create_infer_request()), signature_(signature) {
    for (size_t i = 0; i < signature.inputs.size(); ++i) {
      types_.push_back(ToOpenVino(signature.inputs[i].dtype));
      ov::Tensor& own = own_inputs_.emplace_back();
      if (fixed && request_.get_input_tensor(i).get_byte_size() <= kCopiedBytes) {
        own = request_.get_input_tensor(i);
      }
    }
  }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) SetInput(i, inputs[i]);
    request_.infer();
    TensorBatch outputs;
    outputs.reserve(signature_.outputs.size());
    for (size_t i = 0; i < signature_.outputs.size(); ++i) {
      // A copy: the request writes its next answer to the same place.
      const ov::Tensor result = request_.get_output_tensor(i);
      const std::string_view bytes(static_cast<const char*>(result.data()), result.get_byte_size());
      const ov::Shape& shape = result.get_shape();
      const TensorSpec& spec = signature_.outputs[i];
      ASSIGN_OR_RETURN(Tensor output,
                       Tensor::Make(spec.name, spec.dtype,
                                    Shape(std::vector<int64_t>(shape.begin(), shape.end())),
                                    Buffer::Own(std::string(bytes)), spec.name));
      outputs.push_back(std::move(output));
    }
    return outputs;
  }

 private:
  void SetInput(size_t i, const Tensor& input) {
    const std::string_view bytes = input.data().view();
    if (own_inputs_[i] && own_inputs_[i].get_byte_size() == bytes.size()) {
      std::memcpy(own_inputs_[i].data(), bytes.data(), bytes.size());
      return;
    }
    const ov::Shape shape = ToShape(input.shape());
    if (IsAligned(input)) {
      request_.set_input_tensor(i, ov::Tensor(types_[i], shape, const_cast<char*>(bytes.data())));
      return;
    }
    ov::Tensor copy(types_[i], shape);
    if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
    request_.set_input_tensor(i, copy);
  }

  ov::InferRequest request_;  // keeps what it was compiled from
  const Signature& signature_;
  std::vector<ov::element::Type> types_;  // of the inputs
  // The request's own buffers of the inputs that are copied there; the others have none.
  std::vector<ov::Tensor> own_inputs_;
};

}  // namespace

class OpenVinoModel::Instance {
 public:
  /// `one_row` may be empty.
  Instance(ov::CompiledModel any, ov::CompiledModel one_row, const Signature& signature)
      : any_(any, signature, /*fixed=*/false) {
    if (one_row) one_row_.emplace(one_row, signature, /*fixed=*/true);
  }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs) {
    return (one_row_ && IsOneRow(inputs) ? *one_row_ : any_).Run(inputs);
  }

 private:
  static bool IsOneRow(const TensorBatch& inputs) {
    return std::all_of(inputs.begin(), inputs.end(),
                       [](const Tensor& input) { return input.shape()[0] == 1; });
  }

  Request any_;
  std::optional<Request> one_row_;
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

absl::StatusOr<std::shared_ptr<OpenVinoModel>> OpenVinoModel::Compile(
    ov::Core& core, const std::shared_ptr<ov::Model>& model, Signature signature,
    const Options& options) {
  try {
    const int64_t constants = ConstantBytes(*model);
    const std::shared_ptr<ov::Model> one_row = OneRow(*model, constants);
    // The constants, and what each instance makes of them.
    const int64_t bytes = constants * (1 + options.instances * (one_row == nullptr ? 1 : 2));
    std::shared_ptr<OpenVinoModel> result(new OpenVinoModel(std::move(signature), bytes));
    const ov::AnyMap properties = PropertiesOf(options);
    MutexLock lock(result->mutex_);
    for (int i = 0; i < options.instances; ++i) {
      ov::CompiledModel any = core.compile_model(model, "CPU", properties);
      ov::CompiledModel one;
      if (one_row != nullptr) one = core.compile_model(one_row, "CPU", properties);
      result->instances_.push_back(
          std::make_unique<Instance>(std::move(any), std::move(one), result->signature_));
      result->free_.push_back(result->instances_.back().get());
    }
    return result;
  } catch (const std::exception& error) {
    return OpenVinoError(error, absl::StatusCode::kInvalidArgument);
  }
}

absl::Status OpenVinoModel::Check(const LoadedModel& reference, const TensorBatch& samples) {
  ASSIGN_OR_RETURN(precision_check_, ComparePrecision(reference, *this, samples));
  return absl::OkStatus();
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
