#ifndef SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_
#define SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/http/message.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "common/tracing/tracer.h"
#include "inference/open_inference.pb.h"
#include "services/inference/batching/batcher.h"
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
  /// The end, once; the request's answer is filled where `status` is OK, until this returns.
  virtual void Answer(const absl::Status& status) = 0;
};

/// What one inference is about. What is referred to lasts until its caller has its answer.
struct InferenceRequest {
  const Principal& principal;
  absl::Time deadline;
  absl::Duration start;  ///< Clock::Monotonic of its admission
  const http::Headers& metadata;
  const inference::ModelInferRequest& message;
  const RawContents& contents;
  InferAnswer& answer;
};

/// One inference, from its admission to its answer: Prepare(), then Submit(), or Finish() with
/// what is wrong. A call of a sequence waits for the one before it, and runs on the states that
/// that one left. One thread at a time.
class InferenceCall final : public BatchCall {
 public:
  /// `memory` and `tracer` may be null; all outlive the call. Where its caller records the trace
  /// that it says the call belongs to (W3C Trace Context), so does `tracer`.
  InferenceCall(const SharedMemory* memory, tracing::Tracer* tracer, const Clock& clock,
                const InferenceRequest& request, InferenceCaller& caller)
      : memory_(memory), clock_(clock), request_(request), caller_(caller) {
    if (tracer != nullptr) GoOnWithTrace(*tracer);
  }

  /// Finds the model and checks the request: cheap, and a bad request never waits. The parameters
  /// `priority` (1 is the most urgent, 0 the model's default) and `timeout` (microseconds after
  /// which the caller has no use for the answer) are the protocol's.
  absl::Status Prepare(const LoadedModels& models);

  /// Has a prepared call answered by its model's cache, or run, and the model loaded where that is
  /// not in memory.
  static void Submit(std::unique_ptr<InferenceCall> call, Batcher& batcher, LoadedModels& models);

  bool Abandoned() const override { return caller_.Gone(); }
  const TensorBatch& inputs() const override { return inputs_; }
  void ReportRun(int64_t rows, const RunTimes& times) override;
  void Finish(absl::StatusOr<CallAnswer> answer) override;

 private:
  void GoOnWithTrace(tracing::Tracer& tracer);
  absl::Status ReadParameters();
  /// False where the model has to run.
  bool AnswerFromCache();
  void Keep(const TensorBatch& outputs);
  absl::Status CheckSequence() const;
  /// Its turn in its sequence has come.
  void Begin(TensorBatch states);
  static void Run(std::unique_ptr<InferenceCall> call, Batcher& batcher, LoadedModels& models);
  /// What the sequence is to keep; the caller's outputs stay in the answer, or what is wrong.
  std::optional<TensorBatch> TakeStates(absl::StatusOr<CallAnswer>& answer) const;
  absl::Status Encode(const CallAnswer& answer);
  void Answer(const absl::Status& status);
  TenantMemory memory() const { return {memory_, request_.principal.tenant}; }

  const SharedMemory* const memory_;
  const Clock& clock_;
  const InferenceRequest request_;
  InferenceCaller& caller_;
  tracing::Span span_;
  ModelHandle model_;
  TensorBatch inputs_;
  std::vector<OutputChoice> choices_;
  // Where the model has a cache, and what asking it took.
  std::optional<ResponseCache::Key> cache_key_;
  absl::Duration cache_time_;
  // Where the model has states. Once it has begun: how long it waited for that.
  SequenceStep step_;
  std::optional<absl::Duration> waited_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFERENCE_CALL_H_
