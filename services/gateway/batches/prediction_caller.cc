#include "services/gateway/batches/prediction_caller.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "services/gateway/error_body.h"
#include "services/gateway/oip/infer_json.h"
#include "services/gateway/oip/model_lookup.h"
#include "services/gateway/oip/model_path.h"

namespace slipway::gateway {
namespace {

using Answer = LineCall::Answer;

// More than a model has priorities: the worker takes its least urgent one.
constexpr int64_t kLeastUrgent = 1'000'000;

Answer ErrorAnswer(const absl::Status& status, const std::string& request_id) {
  http::Response response = ProtocolError(status, request_id);
  return {.http_code = response.status, .body = std::move(response.body)};
}

// A line that never became a prediction.
class RefusedCall final : public LineCall {
 public:
  explicit RefusedCall(Answer answer) : answer_(std::move(answer)) {}
  void Cancel() override {}
  Answer Take() override { return std::move(answer_); }
  void Settle() override {}

 private:
  Answer answer_;
};

class PredictionCall final : public LineCall {
 public:
  explicit PredictionCall(std::shared_ptr<Prediction> prediction)
      : prediction_(std::move(prediction)) {}

  absl::Status Read(std::string body, Prediction::Request& request) {
    request.input_bytes = static_cast<int64_t>(body.size());
    InferRequest read;
    RETURN_IF_ERROR(ReadInferRequest(std::move(body), std::nullopt, read, form_));
    if (form_.binary || std::any_of(form_.outputs.begin(), form_.outputs.end(),
                                    [](const auto& output) { return output.second; })) {
      return InvalidField("outputs", "cannot be binary in a batch");
    }
    auto& parameters = *read.head.mutable_parameters();
    if (!ReadSequenceHead(parameters).id.empty()) {
      return InvalidField("parameters.sequence_id",
                          "has no meaning in a batch, whose lines have no order");
    }
    parameters["priority"].set_int64_param(kLeastUrgent);
    request.less_urgent = true;
    request.rows = RowsOf(read.head);
    request.message = Serialize(read);
    return absl::OkStatus();
  }

  void Start(Prediction::Request request, std::shared_ptr<PredictionCall> self,
             absl::AnyInvocable<void()> done) {
    prediction_->Start(std::move(request), [self = std::move(self), done = std::move(done)](
                                               absl::StatusOr<InferAnswer> answer) mutable {
      self->answer_ = std::move(answer);
      done();
    });
  }

  void Cancel() override { prediction_->Cancel(); }

  Answer Take() override {
    Answer answer = Answered();
    if (answer.http_code != 200) prediction_->Fail(answer.http_code);
    return answer;
  }

  void Settle() override {
    if (booked_) prediction_->Settle(200);
  }

 private:
  Answer Answered() {
    if (!answer_.ok()) return Failed(answer_.status());
    absl::StatusOr<InferBody> body =
        WriteInferAnswer(*answer_, form_, prediction_->model_name(), prediction_->model_version());
    if (!body.ok()) return ErrorAnswer(body.status(), prediction_->request_id());
    const absl::Status booked =
        prediction_->Book(*answer_, static_cast<int64_t>(body->bytes.size()));
    if (!booked.ok()) return Failed(booked);
    booked_ = true;
    return {.http_code = 200, .body = std::move(body->bytes)};
  }

  Answer Failed(const absl::Status& status) const {
    Answer answer = ErrorAnswer(status, prediction_->request_id());
    if (absl::IsUnavailable(status)) {
      answer.retry = prediction_->asked() ? Answer::Retry::kBroken : Answer::Retry::kRefused;
    } else if (absl::IsCancelled(status) || IsStorageFull(status) ||
               (absl::IsResourceExhausted(status) && ToHttpCode(status) == 429)) {
      answer.retry = Answer::Retry::kRefused;
    }
    return answer;
  }

  const std::shared_ptr<Prediction> prediction_;
  AnswerForm form_;
  absl::StatusOr<InferAnswer> answer_;
  bool booked_ = false;
};

bool AnyWorker(const Endpoint& endpoint, std::string_view version) {
  const Target* target = endpoint.Choose(version, 0);
  return target != nullptr &&
         std::any_of(target->workers.begin(), target->workers.end(),
                     [](const auto& routed) { return routed->worker->reachable(); });
}

}  // namespace

absl::Status PredictionCaller::Check(const v1::Batch& batch) {
  ASSIGN_OR_RETURN(const auto key, keys_.Find(batch.key_id()));
  const auto path = ModelPath::Parse(batch.endpoint());
  if (!path) return NotFound(batch.endpoint());
  return FindEndpoint(predictions_.routes, *key, path->name, path->version).status();
}

std::shared_ptr<LineCall> PredictionCaller::Start(const v1::Batch& batch, std::string request_id,
                                                  std::string body,
                                                  absl::AnyInvocable<void()> done) {
  const auto refuse = [&](Answer answer) {
    done();
    return std::make_shared<RefusedCall>(std::move(answer));
  };
  auto key = keys_.Find(batch.key_id());
  if (!key.ok()) return refuse({.retry = Answer::Retry::kRefused});
  const auto path = ModelPath::Parse(batch.endpoint());
  if (!path) return refuse(ErrorAnswer(NotFound(batch.endpoint()), request_id));
  auto endpoint = FindEndpoint(predictions_.routes, **key, path->name, path->version);
  if (absl::IsUnavailable(endpoint.status())) return refuse({.retry = Answer::Retry::kRefused});
  if (!endpoint.ok()) return refuse(ErrorAnswer(endpoint.status(), request_id));
  if (!AnyWorker(**endpoint, path->version)) return refuse({.retry = Answer::Retry::kRefused});
  auto call = std::make_shared<PredictionCall>(std::make_shared<Prediction>(
      predictions_, *std::move(key), *std::move(endpoint), path->version, request_id));
  Prediction::Request request;
  if (const absl::Status read = call->Read(std::move(body), request); !read.ok()) {
    return refuse(ErrorAnswer(read, request_id));
  }
  call->Start(std::move(request), call, std::move(done));
  return call;
}

}  // namespace slipway::gateway
