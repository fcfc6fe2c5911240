#include "services/gateway/oip/infer_call.h"

#include <optional>
#include <utility>

#include "common/http/coding.h"
#include "common/log/log.h"
#include "common/text/text.h"
#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"
#include "services/gateway/observation.h"
#include "services/gateway/oip/model_lookup.h"

namespace slipway::gateway {
namespace {

constexpr std::string_view kJsonLength = "inference-header-content-length";
// Smaller answers are not worth compressing.
constexpr size_t kCompressFrom = 1024;

absl::StatusOr<std::optional<uint64_t>> JsonLength(const http::Headers& headers) {
  const auto text = headers.Find(kJsonLength);
  if (!text) return std::nullopt;
  const std::optional<uint64_t> length = ParseNumber<uint64_t>(*text);
  if (!length) return InvalidField(kJsonLength, "must be a number of bytes");
  return length;
}

}  // namespace

InferCall::InferCall(const Parts& parts, std::shared_ptr<http::Exchange> exchange,
                     std::shared_ptr<Prediction> prediction,
                     const registry::v1::Signature& signature)
    : parts_(parts),
      in_flight_(parts.in_flight),
      exchange_(std::move(exchange)),
      prediction_(std::move(prediction)),
      signature_(signature) {}

void InferCall::Start() {
  exchange_->ReadBody(parts_.options.max_body_bytes,
                      [self = shared_from_this()](absl::StatusOr<std::string> body) {
                        self->OnBody(std::move(body));
                      });
}

void InferCall::OnBody(absl::StatusOr<std::string> body) {
  if (!body.ok()) {
    // The listener has answered.
    return prediction_->Fail(ToHttpCode(body.status()));
  }
  body_ = *std::move(body);
  if (body_.size() <= parts_.options.inline_body_bytes &&
      !exchange_->head().headers.Has("content-encoding")) {
    return Read();
  }
  if (!parts_.pool.Submit([self = shared_from_this()] { self->Read(); })) {
    parts_.metrics.CountRefusal("busy");
    Fail(absl::UnavailableError("the gateway is busy; try again"));
  }
}

void InferCall::Read() {
  const auto input_bytes = static_cast<int64_t>(body_.size());
  InferRequest request;
  if (const absl::Status status = Parse(request); !status.ok()) return Fail(status);
  exchange_->OnCancel([weak = prediction_->weak_from_this()] {
    if (const auto prediction = weak.lock()) prediction->Cancel();
  });
  prediction_->Start({.message = Serialize(request),
                      .sequence = ReadSequenceHead(request.head.parameters()),
                      .less_urgent = IsLessUrgent(request.head.parameters()),
                      .input_bytes = input_bytes,
                      .rows = RowsOf(request.head),
                      .sticky = StickyValue(prediction_->endpoint(), exchange_->head().headers),
                      .head = &exchange_->head(),
                      .span = SpanOf(*exchange_)},
                     [self = shared_from_this()](absl::StatusOr<InferAnswer> answer) {
                       self->OnAnswer(std::move(answer));
                     });
}

absl::Status InferCall::Parse(InferRequest& request) {
  const http::Headers& headers = exchange_->head().headers;
  ASSIGN_OR_RETURN(body_,
                   DecodeBody(headers, std::exchange(body_, {}), parts_.options.max_body_bytes));
  ASSIGN_OR_RETURN(const std::optional<uint64_t> json_bytes, JsonLength(headers));
  if (json_bytes == 0) {
    return ReadRawRequest(std::exchange(body_, {}), signature_, request, form_);
  }
  return ReadInferRequest(std::exchange(body_, {}), json_bytes, request, form_);
}

void InferCall::OnAnswer(absl::StatusOr<InferAnswer> answer) {
  if (!answer.ok()) return Fail(answer.status());
  answer_ = *std::move(answer);
  size_t bytes = 0;
  for (const absl::Cord& content : answer_.contents) bytes += content.size();
  // Here also where the pool is full: the work is done, and would be lost.
  if (bytes <= parts_.options.inline_body_bytes ||
      !parts_.pool.Submit([self = shared_from_this()] { self->Write(); })) {
    Write();
  }
}

void InferCall::Write() {
  absl::StatusOr<InferBody> body =
      WriteInferAnswer(answer_, form_, prediction_->model_name(), prediction_->model_version());
  if (!body.ok()) return Fail(body.status());
  http::Response response;
  if (body->json_bytes) {
    response.headers.Add("content-type", "application/octet-stream");
    response.headers.Add(kJsonLength, std::to_string(*body->json_bytes));
    response.body = std::move(body->bytes);
  } else {
    response.headers.Add("content-type", "application/json");
    const auto coding = body->bytes.size() < kCompressFrom
                            ? http::Coding::kIdentity
                            : http::ChooseCoding(exchange_->head().headers.Get("accept-encoding"));
    if (coding == http::Coding::kIdentity) {
      response.body = std::move(body->bytes);
    } else {
      response.headers.Add("content-encoding", http::CodingName(coding));
      response.body = http::Encode(coding, body->bytes);
    }
  }
  prediction_->AddLimitHeaders(response.headers);
  // Before the first byte of the answer.
  if (const absl::Status status =
          prediction_->Book(answer_, static_cast<int64_t>(response.body.size()));
      !status.ok()) {
    return Fail(status);
  }
  const bool delivered = exchange_->Respond(
      std::move(response), [self = shared_from_this()](const absl::Status& sent) {
        self->prediction_->Settle(sent.ok() ? 200 : kCallerLeft);
      });
  if (delivered) prediction_->Settle(200);
}

void InferCall::Fail(const absl::Status& status) {
  http::Response response = ProtocolError(status, prediction_->request_id());
  const int code = response.status;
  if (code == 500) {
    Log(Severity::kError, "prediction_failed",
        {{"endpoint", prediction_->deployment()},
         {"request_id", prediction_->request_id()},
         {"error", status}});
  }
  prediction_->AddLimitHeaders(response.headers);
  exchange_->Respond(std::move(response));
  prediction_->Fail(code);
}

}  // namespace slipway::gateway
