#include "services/gateway/grpc/grpc_transport.h"

#include <optional>
#include <string>
#include <utility>

#include "google/protobuf/descriptor.h"
#include "services/gateway/grpc/frame.h"

namespace slipway::gateway {

void GrpcTransport::Receive(DoneCallback done) {
  if (method_.server_streaming() || method_.client_streaming()) call_->AllowStream();
  if (!method_.client_streaming()) {
    return call_->ReadOnly(
        [this, done = std::move(done)](absl::StatusOr<http::grpc::Message> message) mutable {
          if (message.ok()) received_ = *std::move(message);
          done(message.status());
        });
  }
  call_->ReadNext([this, done = std::move(done)](
                      absl::StatusOr<std::optional<http::grpc::Message>> message) mutable {
    absl::Status status = message.status();
    if (status.ok() && !*message) {
      status = absl::InvalidArgumentError("the stream ends before its first message");
      call_->Finish(status);
    }
    if (status.ok()) received_ = **std::move(message);
    done(status);
  });
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> GrpcTransport::ReadRequest() {
  std::unique_ptr<Message> request(method_.request->New());
  RETURN_IF_ERROR(ParseMessage(received_, *request));
  received_ = {};
  return request;
}

void GrpcTransport::ReceiveNext(Message& request, NextCallback done) {
  // The first one has been read, and checked.
  if (!std::exchange(first_sent_, true)) return done(true);
  call_->ReadNext([this, &request, done = std::move(done)](
                      absl::StatusOr<std::optional<http::grpc::Message>> message) mutable {
    if (!message.ok()) return done(message.status());
    if (!*message) return done(false);
    if (const absl::Status parsed = ParseMessage(**message, request); !parsed.ok()) {
      call_->Finish(parsed);
      return done(parsed);
    }
    // Whose object it is was said, and checked, once.
    for (const FieldPath& name : binding().variables) {
      request.GetReflection()->ClearField(&request, name.front());
    }
    done(true);
  });
}

void GrpcTransport::Succeed(const Message& answer) { call_->Answer(FrameOf(answer), nullptr); }

int GrpcTransport::Fail(const absl::Status& status) {
  call_->Finish(ForCaller(status));
  return ToHttpCode(status);
}

void GrpcTransport::Write(const Message& answer, DoneCallback done) {
  call_->Write(FrameOf(answer), std::move(done));
}

int GrpcTransport::Finish(const absl::Status& status) {
  call_->Finish(ForCaller(status));
  return status.ok() ? 200 : ToHttpCode(status);
}

}  // namespace slipway::gateway
