#include "services/inference/inference_call.h"

#include <algorithm>
#include <utility>

namespace slipway::worker {

absl::Status InferenceCall::Prepare(const LoadedModels& models) {
  const inference::ModelInferRequest& message = request_.message;
  ASSIGN_OR_RETURN(model_,
                   models.Find(request_.principal, message.model_name(), message.model_version()));
  const Signature& signature = model_->signature;
  ASSIGN_OR_RETURN(inputs_, DecodeInputs(message, request_.contents, signature, memory()));
  ASSIGN_OR_RETURN(choices_, ChooseOutputs(message, signature));
  arrived = clock_.Monotonic();
  deadline = arrived + (request_.deadline - clock_.Now());
  priority = model_->queue->policy().default_priority;
  return message.parameters().empty() ? absl::OkStatus() : ReadParameters();
}

absl::Status InferenceCall::ReadParameters() {
  ASSIGN_OR_RETURN(const SchedulingParameters asked, ReadSchedulingParameters(request_.message));
  // One below the least urgent is the least urgent.
  if (asked.priority > 0) priority = static_cast<int>(std::min<int64_t>(asked.priority, 1000)) - 1;
  deadline = std::min(deadline, arrived + asked.timeout);
  return absl::OkStatus();
}

void InferenceCall::ReportRun(int64_t run_rows, const RunTimes& times) {
  model_->metrics.RecordRun(run_rows, times);
}

absl::Status InferenceCall::Encode(const CallAnswer& answer) {
  const absl::Duration start = clock_.Monotonic();
  RETURN_IF_ERROR(EncodeAnswer(request_.message, *model_, answer.outputs, choices_, memory(),
                               answer.compute, request_.answer));
  model_->metrics.RecordAnswer(rows,
                               {.input = arrived - request_.start + answer.times.input,
                                .queue = answer.queued,
                                .infer = answer.times.infer,
                                .output = answer.times.output + clock_.Monotonic() - start},
                               clock_.Now());
  return absl::OkStatus();
}

bool InferenceCall::AnswerFromCache() {
  const absl::Duration asked = clock_.Monotonic();
  cache_key_ = ResponseCache::KeyOf(inputs_);
  const std::shared_ptr<const TensorBatch> kept = model_->cache->Find(*cache_key_);
  cache_time_ = clock_.Monotonic() - asked;
  if (kept == nullptr) return false;
  const absl::Status status = EncodeAnswer(request_.message, *model_, *kept, choices_, memory(),
                                           /*compute=*/absl::ZeroDuration(), request_.answer);
  const absl::Duration now = clock_.Monotonic();
  if (status.ok()) {
    model_->metrics.RecordCacheHit(now - request_.start, now - asked);
  } else {
    model_->metrics.RecordFailure(now - request_.start);
  }
  caller_.Answer(status);
  return true;
}

void InferenceCall::Keep(const TensorBatch& outputs) {
  const absl::Duration start = clock_.Monotonic();
  model_->cache->Keep(*cache_key_, outputs);
  model_->metrics.RecordCacheMiss(cache_time_ + clock_.Monotonic() - start);
}

void InferenceCall::Submit(std::unique_ptr<InferenceCall> call, Batcher& batcher,
                           LoadedModels& models) {
  if (call->model_->cache != nullptr && call->AnswerFromCache()) return;
  const ModelHandle model = call->model_;
  if (!batcher.Submit(*model->queue, std::move(call))) models.LoadAgain(model);
}

void InferenceCall::Finish(absl::StatusOr<CallAnswer> answer) {
  if (answer.ok() && cache_key_) Keep(answer->outputs);
  const absl::Status status = answer.ok() ? Encode(*answer) : answer.status();
  if (model_ != nullptr && !status.ok()) {
    model_->metrics.RecordFailure(clock_.Monotonic() - request_.start);
  }
  caller_.Answer(status);
}

}  // namespace slipway::worker
