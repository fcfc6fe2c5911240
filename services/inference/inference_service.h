#ifndef SLIPWAY_SERVICES_INFERENCE_INFERENCE_SERVICE_H_
#define SLIPWAY_SERVICES_INFERENCE_INFERENCE_SERVICE_H_

#include <atomic>
#include <memory>

#include "common/grpc/service.h"
#include "common/tracing/tracer.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/loaded_models.h"
#include "services/inference/shared_memory.h"

namespace slipway::worker {

/// inference.GRPCInferenceService, for the gateway. `model_name` is a deployment's full resource
/// name, `model_version` a version's number or full resource name. Calls are checked on the
/// threads that bring them, and run by the Batcher, whose thread answers. Loading and unloading are
/// the controller's: kUnimplemented.
class InferenceService {
 public:
  /// All outlive the service; `ready` is what ServerReady answers; `memory` is null where shared
  /// memory is not offered, `tracer` where nothing is traced. Errors: those of
  /// ServiceEdge::CreateWithPolicies.
  static absl::StatusOr<std::unique_ptr<InferenceService>> Create(
      LoadedModels& models, Batcher& batcher, SharedMemory* memory, tracing::Tracer* tracer,
      const std::atomic<bool>& ready, const TokenVerifier& verifier, Metrics& metrics,
      const Clock& clock);
  ~InferenceService();

  /// For ServiceListener::Start.
  Service& service();

 private:
  class Impl;
  explicit InferenceService(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFERENCE_SERVICE_H_
