#ifndef SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_
#define SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_

#include <vector>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "inference/open_inference.pb.h"
#include "services/inference/infer_codec.h"
#include "services/inference/loaded_models.h"
#include "services/inference/shared_memory.h"

namespace slipway::worker {

/// Whoever waits for an inference: a unary call, or a stream for each of its requests.
class InferenceCaller {
 public:
  virtual ~InferenceCaller() = default;
  /// Has it stopped waiting?
  virtual bool Gone() const = 0;
  /// The end, once; the response is filled where `status` is OK.
  virtual void Answer(const absl::Status& status) = 0;
};

/// What one inference is about. The references outlive it.
struct InferenceRequest {
  const Principal& principal;
  absl::Time deadline;
  absl::Duration start;  ///< Clock::Monotonic of its admission
  const inference::ModelInferRequest& message;
  inference::ModelInferResponse& response;
};

/// One inference, from its admission to its answer: Prepare(), then Run() where a thread is free,
/// or Fail(). Moves. One thread at a time.
class InferenceCall {
 public:
  /// `memory` may be null; all outlive the call.
  InferenceCall(const LoadedModels& models, const SharedMemory* memory, const Clock& clock,
                const InferenceRequest& request, InferenceCaller& caller)
      : models_(&models), memory_(memory), clock_(&clock), request_(request), caller_(&caller) {}

  /// Finds the model and checks the request: cheap, and a bad request never takes a slot.
  absl::Status Prepare();

  /// On the thread that holds a slot. Answers; nothing of the call may be touched afterwards.
  void Run() { Finish(Execute()); }

  /// Answers that it could not be. Nothing of the call may be touched afterwards.
  void Fail(const absl::Status& status) { Finish(status); }

 private:
  absl::Status Execute();
  void Finish(const absl::Status& status);
  TenantMemory memory() const { return {memory_, request_.principal.tenant}; }

  const LoadedModels* models_;
  const SharedMemory* memory_;
  const Clock* clock_;
  InferenceRequest request_;
  InferenceCaller* caller_;
  ModelHandle model_;
  TensorBatch inputs_;
  std::vector<OutputChoice> choices_;
  absl::Duration prepared_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_
