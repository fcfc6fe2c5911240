#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_RUNTIME_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/signature/signature.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::worker {

/// The tensors of one call, in the order of the signature.
using TensorBatch = std::vector<Tensor>;

/// What a lower precision changed on recorded samples.
struct PrecisionCheck {
  int64_t samples = 0;
  /// Between any two elements of the outputs.
  double largest_difference = 0;
  /// Samples whose largest output is another one.
  int64_t changed_labels = 0;
};

/// A model version that is loaded and can answer. Immutable: any number of threads may call Run()
/// at once. Dropping the last owner frees its memory.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;

  /// What the Open Inference Protocol calls `platform`: "slipway_torch".
  virtual std::string_view platform() const = 0;

  virtual const Signature& signature() const = 0;

  /// What its weights take, about: of the machine's memory, and of that of the device that runs it
  /// where it has its own (a GPU).
  virtual int64_t memory_bytes() const = 0;
  virtual int64_t device_memory_bytes() const { return 0; }

  /// Where it computes in a lower precision than float32: what that changed.
  virtual std::optional<PrecisionCheck> precision_check() const { return std::nullopt; }

  /// Runs one batch, whose tensors fit the signature, on the calling thread; returns when it is
  /// done. A runtime that has a fixed number of instances of the model waits while all are taken:
  /// whoever lets no more calls run at once than the worker has instances never waits here. The
  /// outputs keep their own memory; the inputs need to live only until it returns. `deadline` is a
  /// hint: a runtime that can stop halfway does.
  /// Errors: kInvalidArgument (inputs that do not fit after all), kDeadlineExceeded,
  /// kResourceExhausted (out of device memory), kInternal.
  virtual absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const = 0;
};

/// The files of an artifact: path inside it -> local path. They stay unchanged while a model that
/// was loaded from them lives.
using ModelFiles = std::map<std::string, std::string>;

/// How a deployment wants its model to be run.
struct RuntimeSettings {
  enum class Runtime { kAuto, kTorch, kOpenVino };
  enum class Precision { kFloat32, kBfloat16 };
  Runtime runtime = Runtime::kAuto;
  /// What the arithmetic is done in; tensors in and out keep their types.
  Precision precision = Precision::kFloat32;
  bool operator==(const RuntimeSettings&) const = default;
};

struct PipelineSource;

/// What a model is made of.
struct ModelSource {
  /// "slipway", "onnx", "tensorflow", "paddle", "torchscript" or "pipeline".
  std::string format;
  ModelFiles files;
  RuntimeSettings settings = {};
  /// In place of files, where that is the format.
  std::shared_ptr<const PipelineSource> pipeline = nullptr;
  /// As it was registered, for formats that say nothing of their tensors; may be empty.
  Signature signature = {};
  /// The method of a TorchScript module; empty: "forward".
  std::string method = "";
};

/// Makes loaded models of artifacts. Any thread.
class ModelRuntime {
 public:
  virtual ~ModelRuntime() = default;

  /// May take seconds. Errors: kInvalidArgument that names the file and what is wrong with it,
  /// kResourceExhausted (memory), kFailedPrecondition (settings that this machine cannot meet),
  /// kUnimplemented (a format, or a part of a model, that this runtime does not run).
  virtual absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) = 0;
};

/// Where `source` has the file. Errors: kInvalidArgument: it has none of that name.
absl::StatusOr<std::string> PathOf(const ModelSource& source, std::string_view file);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_RUNTIME_H_
