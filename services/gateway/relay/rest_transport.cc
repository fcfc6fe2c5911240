#include "services/gateway/relay/rest_transport.h"

#include <utility>

#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"

namespace slipway::gateway {

RestTransport::RestTransport(const ApiOptions& options, std::shared_ptr<http::Exchange> exchange,
                             MethodTable::Match match)
    : options_(options), exchange_(std::move(exchange)), match_(std::move(match)) {}

void RestTransport::Receive(DoneCallback done) {
  if (match_.method->client_streaming()) exchange_->LimitBody(options_.max_upload_bytes);
  if (binding().body == HttpBinding::Body::kNone || match_.method->client_streaming()) {
    return done(absl::OkStatus());
  }
  exchange_->ReadBody(options_.max_body_bytes,
                      [this, done = std::move(done)](absl::StatusOr<std::string> body) mutable {
                        if (body.ok()) body_ = *std::move(body);
                        done(body.status());
                      });
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> RestTransport::ReadRequest() {
  const http::RequestHead& head = exchange_->head();
  std::string body;
  if (!body_.empty()) {
    ASSIGN_OR_RETURN(body,
                     DecodeBody(head.headers, std::exchange(body_, {}), options_.max_body_bytes));
  }
  return gateway::ReadRequest(match_, head.query(), body);
}

google::api::HttpBody& RestTransport::Content(Message& request) const {
  return static_cast<google::api::HttpBody&>(
      *request.GetReflection()->MutableMessage(&request, binding().body_field));
}

void RestTransport::ReceiveNext(Message& request, NextCallback done) {
  if (received_all_) return done(false);
  exchange_->ReadSome([this, &request,
                       done = std::move(done)](absl::StatusOr<std::string> piece) mutable {
    if (!piece.ok()) return done(piece.status());
    received_all_ = piece->empty();
    if (received_all_ && any_received_) return done(false);
    // Names and type travel with the first piece only.
    if (std::exchange(any_received_, true)) {
      request.Clear();
    } else {
      Content(request).set_content_type(std::string(exchange_->head().headers.Get("content-type")));
    }
    Content(request).set_data(*std::move(piece));
    done(true);
  });
}

void RestTransport::Succeed(const Message& answer) {
  http::Response response;
  response.headers.Add("content-type", "application/json");
  AddTo(response.headers);
  response.body = ToJson(answer);
  exchange_->Respond(std::move(response));
}

int RestTransport::Fail(const absl::Status& status) {
  http::Response response = ApiError(status, exchange_->head().request_id);
  const int code = response.status;
  AddTo(response.headers);
  exchange_->Respond(std::move(response));
  return code;
}

void RestTransport::AddTo(http::Headers& headers) const {
  for (const http::Headers::Field field : headers_) headers.Add(field.name, field.value);
}

void RestTransport::Start(const google::api::HttpBody* first) {
  if (std::exchange(started_, true)) return;
  http::Headers headers;
  if (match_.method->answers_bytes()) {
    // What a tenant uploaded is shown by no browser as a page of ours.
    headers = {{"content-type", "application/octet-stream"}, {"x-content-type-options", "nosniff"}};
    if (first != nullptr && !first->content_type().empty()) {
      headers.Set("content-type", first->content_type());
    }
  } else {
    headers = {{"content-type", "application/x-ndjson"}, {"cache-control", "no-store"}};
  }
  AddTo(headers);
  exchange_->StartResponse(200, std::move(headers));
}

void RestTransport::Write(const Message& answer, DoneCallback done) {
  if (match_.method->answers_bytes()) {
    const auto& body = static_cast<const google::api::HttpBody&>(answer);
    Start(&body);
    return exchange_->Write(body.data(), std::move(done));
  }
  Start(nullptr);
  exchange_->Write(ToJson(answer) + "\n", std::move(done));
}

void RestTransport::Beat() {
  Start(nullptr);
  exchange_->Write("\n", nullptr);
}

int RestTransport::Finish(const absl::Status& status) {
  if (!started_ && !status.ok()) return Fail(status);
  Start(nullptr);
  if (!status.ok()) {
    // Without its end the peer sees the answer cut: bytes have no other way to tell an error.
    if (match_.method->answers_bytes()) return ToHttpCode(status);
    exchange_->Write(ApiErrorJson(status, exchange_->head().request_id) + "\n", nullptr);
  }
  exchange_->Finish();
  return status.ok() ? 200 : ToHttpCode(status);
}

}  // namespace slipway::gateway
