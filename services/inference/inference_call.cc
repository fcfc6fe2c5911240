#include "services/inference/inference_call.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {

void InferenceCall::GoOnWithTrace(tracing::Tracer& tracer) {
  const http::Headers& metadata = request_.metadata;
  const auto caller = tracing::TraceContext::Parse(metadata.Get(tracing::kTraceparent),
                                                   metadata.Get(tracing::kTracestate));
  if (!caller || !caller->sampled) return;
  span_ = tracer.Start("worker.infer", tracing::Kind::kServer, caller, caller->trace_id);
  span = &span_;
}

absl::Status InferenceCall::Prepare(const LoadedModels& models) {
  const inference::ModelInferRequest& message = request_.message;
  ASSIGN_OR_RETURN(model_,
                   models.Find(request_.principal, message.model_name(), message.model_version()));
  span_.Set("slipway.deployment", model_->deployment_name);
  span_.Set("slipway.model_version", model_->version_name);
  const Signature& signature = model_->signature;
  ASSIGN_OR_RETURN(inputs_, DecodeInputs(message, request_.contents, signature, memory()));
  ASSIGN_OR_RETURN(choices_, ChooseOutputs(message, signature));
  arrived = clock_.Monotonic();
  deadline = arrived + (request_.deadline - clock_.Now());
  priority = model_->queue->policy().default_priority;
  if (!message.parameters().empty()) RETURN_IF_ERROR(ReadParameters());
  return CheckSequence();
}

absl::Status InferenceCall::ReadParameters() {
  ASSIGN_OR_RETURN(const SchedulingParameters asked, ReadSchedulingParameters(request_.message));
  // One below the least urgent is the least urgent.
  if (asked.priority > 0) priority = static_cast<int>(std::min<int64_t>(asked.priority, 1000)) - 1;
  deadline = std::min(deadline, arrived + asked.timeout);
  ASSIGN_OR_RETURN(step_, ReadSequenceStep(request_.message));
  return absl::OkStatus();
}

absl::Status InferenceCall::CheckSequence() const {
  constexpr char kField[] = "parameters.sequence_id";
  if (model_->sequences == nullptr) {
    if (step_.id.empty()) return absl::OkStatus();
    return InvalidField(kField, "the model keeps no state from call to call");
  }
  if (step_.id.empty()) {
    return InvalidField(kField, "is missing: the model keeps a state for each sequence of calls");
  }
  if (!model_->sequences->layout().batches()) return absl::OkStatus();
  for (const Tensor& input : inputs_) {
    if (input.shape()[0] == 1) continue;
    return InvalidField(
        fmt::format("inputs.{}.shape", input.name()),
        fmt::format("a call of a sequence brings one row, got {}", input.shape()[0]));
  }
  return absl::OkStatus();
}

void InferenceCall::ReportRun(int64_t run_rows, const RunTimes& times) {
  model_->metrics.RecordRun(run_rows, times);
}

absl::Status InferenceCall::Encode(const CallAnswer& answer) {
  const absl::Duration start = clock_.Monotonic();
  const absl::Duration waited = waited_.value_or(absl::ZeroDuration());
  RETURN_IF_ERROR(EncodeAnswer(request_.message, *model_, answer.outputs, choices_, memory(),
                               answer.compute, request_.answer));
  model_->metrics.RecordAnswer(rows,
                               {.input = arrived - waited - request_.start + answer.times.input,
                                .queue = waited + answer.queued,
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
  span_.Set("slipway.response_cache", "hit");
  Answer(status);
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
  if (model->sequences == nullptr) return Run(std::move(call), batcher, models);
  const SequenceStep step = call->step_;
  model->sequences->Enter(step, [call = std::move(call), &batcher,
                                 &models](absl::StatusOr<TensorBatch> states) mutable {
    if (!states.ok()) return call->Finish(states.status());
    call->Begin(*std::move(states));
    Run(std::move(call), batcher, models);
  });
  model->metrics.SetSequences(model->sequences->size());
}

void InferenceCall::Begin(TensorBatch states) {
  const absl::Duration now = clock_.Monotonic();
  waited_ = now - arrived;
  arrived = now;
  inputs_ = model_->sequences->layout().Join(std::move(inputs_), std::move(states));
}

void InferenceCall::Run(std::unique_ptr<InferenceCall> call, Batcher& batcher,
                        LoadedModels& models) {
  const ModelHandle model = call->model_;
  if (!batcher.Submit(*model->queue, std::move(call))) models.LoadAgain(model);
}

std::optional<TensorBatch> InferenceCall::TakeStates(absl::StatusOr<CallAnswer>& answer) const {
  absl::StatusOr<StateLayout::Parts> parts =
      model_->sequences->layout().Split(std::move(answer->outputs));
  if (!parts.ok()) {
    answer = parts.status();
    return std::nullopt;
  }
  answer->outputs = std::move(parts->outputs);
  return std::move(parts->states);
}

void InferenceCall::Finish(absl::StatusOr<CallAnswer> answer) {
  if (answer.ok() && cache_key_) Keep(answer->outputs);
  std::optional<TensorBatch> states;
  if (answer.ok() && waited_) states = TakeStates(answer);
  const absl::Status status = answer.ok() ? Encode(*answer) : answer.status();
  if (model_ != nullptr && !status.ok()) {
    model_->metrics.RecordFailure(clock_.Monotonic() - request_.start);
  }
  if (!waited_) return Answer(status);
  // Who has no answer may call again: the states are those from before.
  if (!status.ok()) states.reset();
  SequenceTable::Next next = model_->sequences->Leave(step_, std::move(states));
  model_->metrics.SetSequences(model_->sequences->size());
  Answer(status);
  next();
}

void InferenceCall::Answer(const absl::Status& status) {
  if (!status.ok()) span_.Fail(std::string(status.message()));
  span_.End();
  caller_.Answer(status);
}

}  // namespace slipway::worker
