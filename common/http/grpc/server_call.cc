#include "common/http/grpc/server_call.h"

#include <algorithm>
#include <utility>

namespace slipway::http::grpc {
namespace {

// No call lasts longer; some clock arithmetic does not know infinity.
constexpr absl::Duration kForever = absl::Hours(24 * 365);

void AddAll(const Headers& from, Headers& to) {
  for (const Headers::Field field : from) to.Add(field.name, field.value);
}

}  // namespace

ServerCall::ServerCall(std::shared_ptr<Exchange> exchange, const Call& call,
                       uint64_t max_message_bytes, DetailsOf details)
    : exchange_(std::move(exchange)),
      timeout_(std::min(call.timeout, kForever)),
      coding_(call.coding),
      max_message_bytes_(max_message_bytes),
      details_(details),
      frames_(call.coding, max_message_bytes) {
  if (timeout_ < kForever) exchange_->LimitTime(timeout_);
}

absl::Time ServerCall::Deadline(absl::Time now, absl::Duration otherwise) const {
  return now + (timeout_ < kForever ? timeout_ : otherwise);
}

void ServerCall::AllowStream() {
  exchange_->LimitTime(timeout_);
  exchange_->LimitPause(kForever);
  // What is bounded is each message.
  exchange_->LimitBody(UINT64_MAX);
}

void ServerCall::ReadOnly(MessageCallback done) {
  exchange_->ReadBody(max_message_bytes_ + kFrameHeaderBytes,
                      [this, done = std::move(done)](absl::StatusOr<std::string> body) mutable {
                        if (!body.ok()) return done(body.status());
                        absl::StatusOr<Message> message =
                            OnlyMessage(*std::move(body), coding_, max_message_bytes_);
                        if (!message.ok()) Finish(message.status());
                        done(std::move(message));
                      });
}

absl::StatusOr<std::optional<Message>> ServerCall::Take() {
  absl::StatusOr<std::optional<Message>> message = frames_.Next();
  if (!message.ok()) Finish(message.status());
  return message;
}

void ServerCall::ReadMore(absl::AnyInvocable<void(absl::StatusOr<bool>)> done) {
  exchange_->ReadSome([this, done = std::move(done)](absl::StatusOr<std::string> piece) mutable {
    if (!piece.ok()) return done(piece.status());
    if (!piece->empty()) {
      frames_.Append(*std::move(piece));
      return done(true);
    }
    const absl::Status end = frames_.End();
    if (end.ok()) return done(false);
    Finish(end);
    done(end);
  });
}

void ServerCall::ReadNext(NextCallback done) {
  absl::StatusOr<std::optional<Message>> message = Take();
  if (!message.ok() || *message) return done(std::move(message));
  ReadMore([this, done = std::move(done)](absl::StatusOr<bool> more) mutable {
    if (!more.ok()) return done(more.status());
    if (!*more) return done(std::nullopt);
    ReadNext(std::move(done));
  });
}

void ServerCall::AddHeaders(const Headers& headers) { AddAll(headers, headers_); }

Headers ServerCall::Head() const {
  Headers head = AnswerHead();
  AddAll(headers_, head);
  return head;
}

bool ServerCall::Answer(std::string frame, DoneCallback later) {
  Response response;
  response.headers = Head();
  response.body = std::move(frame);
  response.trailers = Trailers(absl::OkStatus(), request_id());
  return exchange_->Respond(std::move(response), std::move(later));
}

void ServerCall::Write(std::string frame, DoneCallback done) {
  if (!started_.exchange(true)) exchange_->StartResponse(200, Head());
  exchange_->Write(std::move(frame), std::move(done));
}

void ServerCall::Finish(const absl::Status& status, const Headers& more) {
  if (started_) {
    Headers trailers = Trailers(status, request_id(), details_);
    AddAll(more, trailers);
    return exchange_->Finish(std::move(trailers));
  }
  Response response = ErrorAnswer(status, request_id(), details_);
  AddAll(headers_, response.headers);
  AddAll(more, response.headers);
  exchange_->Respond(std::move(response));
}

}  // namespace slipway::http::grpc
