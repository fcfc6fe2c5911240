#ifndef SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_MODEL_H_
#define SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_MODEL_H_

#include <memory>
#include <optional>
#include <vector>

#include "common/sync/mutex.h"
#include "openvino/runtime/core.hpp"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// A model in OpenVINO: a fixed number of instances, each compiled for itself, since those that one
/// compilation shares lock each other out when callers bring their own threads.
class OpenVinoModel final : public LoadedModel {
 public:
  struct Options {
    int instances = 1;
    int threads = 1;
    RuntimeSettings::Precision precision = RuntimeSettings::Precision::kFloat32;
  };

  /// Compares it with `reference` on these inputs; call once, before others see the model. Errors:
  /// those of ComparePrecision.
  absl::Status Check(const LoadedModel& reference, const TensorBatch& samples);

  /// `signature` is the model's, with names that callers know. Errors: those of OpenVinoError with
  /// kInvalidArgument: parts of the model that the CPU plugin does not run.
  static absl::StatusOr<std::shared_ptr<OpenVinoModel>> Compile(
      ov::Core& core, const std::shared_ptr<ov::Model>& model, Signature signature,
      const Options& options);

  std::string_view platform() const override { return "slipway_openvino"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return memory_bytes_; }
  std::optional<PrecisionCheck> precision_check() const override { return precision_check_; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const override;
  ~OpenVinoModel() override;

 private:
  class Instance;
  class Lease;

  OpenVinoModel(Signature signature, int64_t memory_bytes);

  const Signature signature_;
  const int64_t memory_bytes_;
  std::optional<PrecisionCheck> precision_check_;     // as Check() made it
  std::vector<std::unique_ptr<Instance>> instances_;  // as Compile() made them
  mutable Mutex mutex_;
  mutable CondVar freed_;
  // The one that ran last comes first: its memory is warm.
  mutable std::vector<Instance*> free_ GUARDED_BY(mutex_);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_MODEL_H_
