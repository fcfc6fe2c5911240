#include "services/inference/inference_call.h"

namespace slipway::worker {
namespace {

// Where the model takes batches; else 1.
int64_t RowsOf(const TensorBatch& inputs, const Signature& signature) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& wanted = signature.inputs[i].shape;
    if (wanted.rank() > 0 && wanted[0] == Shape::kAny) return inputs[i].shape()[0];
  }
  return 1;
}

}  // namespace

absl::Status InferenceCall::Prepare() {
  const inference::ModelInferRequest& message = request_.message;
  ASSIGN_OR_RETURN(
      model_, models_->Find(request_.principal, message.model_name(), message.model_version()));
  const Signature& signature = model_->model->signature();
  ASSIGN_OR_RETURN(inputs_, DecodeInputs(message, signature, memory()));
  ASSIGN_OR_RETURN(choices_, ChooseOutputs(message, signature));
  prepared_ = clock_->Monotonic();
  return absl::OkStatus();
}

absl::Status InferenceCall::Execute() {
  const absl::Duration start = clock_->Monotonic();
  // Whoever has gone or has waited too long costs no more.
  if (caller_->Gone()) return absl::CancelledError("the caller has gone");
  const absl::Time now = clock_->Now();
  if (now >= request_.deadline) {
    return absl::DeadlineExceededError("the deadline passed before the model could run");
  }
  ASSIGN_OR_RETURN(const TensorBatch outputs, model_->model->Run(inputs_, request_.deadline));
  const absl::Duration ran = clock_->Monotonic();
  const int64_t rows = RowsOf(inputs_, model_->model->signature());
  model_->metrics.RecordRun(rows, ran - start);
  RETURN_IF_ERROR(EncodeResponse(request_.message, *model_, outputs, choices_, memory(),
                                 ran - start, request_.response));
  model_->metrics.RecordAnswer(rows,
                               {.input = prepared_ - request_.start,
                                .queue = start - prepared_,
                                .infer = ran - start,
                                .output = clock_->Monotonic() - ran},
                               now);
  return absl::OkStatus();
}

void InferenceCall::Finish(const absl::Status& status) {
  if (model_ != nullptr && !status.ok()) {
    model_->metrics.RecordFailure(clock_->Monotonic() - request_.start);
  }
  caller_->Answer(status);
}

}  // namespace slipway::worker
