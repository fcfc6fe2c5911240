#ifndef SLIPWAY_SERVICES_INFERENCE_WORKER_SERVICE_H_
#define SLIPWAY_SERVICES_INFERENCE_WORKER_SERVICE_H_

#include <atomic>
#include <memory>

#include "common/grpc/service.h"
#include "services/inference/loaded_models.h"

namespace slipway::worker {

/// slipway.worker.v1.WorkerService: what the controller asks of a worker. Its calls run on a thread
/// of their own, so that none of them holds up an inference.
class WorkerService {
 public:
  /// All outlive the service. While `ready` is false every model is shown as going away, so that
  /// the controller sends calls elsewhere before the worker stops taking them.
  /// Errors: those of ServiceEdge::Create.
  static absl::StatusOr<std::unique_ptr<WorkerService>> Create(LoadedModels& models,
                                                               const std::atomic<bool>& ready,
                                                               const TokenVerifier& verifier,
                                                               Metrics& metrics,
                                                               const Clock& clock);
  ~WorkerService();

  /// For ServiceListener::Start.
  Service& service();

 private:
  class Impl;
  explicit WorkerService(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_WORKER_SERVICE_H_
