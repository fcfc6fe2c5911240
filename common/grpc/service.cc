#include "common/grpc/service.h"

#include "common/grpc/client.h"
#include "common/grpc/status.h"

namespace slipway {
namespace {

std::string PlatformDetails(const absl::Status& status, std::string_view) {
  return StatusDetails(status);
}

CallHead ReadHead(const http::Headers& headers, absl::Duration timeout) {
  CallHead head = {.token = {}, .request_id = {}, .timeout = timeout};
  int tokens = 0;
  int request_ids = 0;
  for (const http::Headers::Field field : headers) {
    if (field.name == kTokenMetadata) {
      head.token = ++tokens == 1 ? field.value : std::string_view();
    } else if (field.name == kRequestIdMetadata) {
      head.request_id = ++request_ids == 1 ? field.value : std::string_view();
    }
  }
  return head;
}

}  // namespace

ServiceCall::ServiceCall(InFlight& in_flight, ServiceEdge& edge, CallContext context,
                         std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& head,
                         uint64_t max_message_bytes)
    : in_flight_(in_flight),
      edge_(edge),
      context_(std::move(context)),
      max_message_bytes_(max_message_bytes),
      wire_(std::move(exchange), head, max_message_bytes, PlatformDetails) {}

void ServiceCall::Read(absl::AnyInvocable<void(http::grpc::Message)> done) {
  wire_.ReadOnly(
      [this, done = std::move(done)](absl::StatusOr<http::grpc::Message> message) mutable {
        if (message.ok()) {
          done(*std::move(message));
        } else {
          edge_.Finish(context_, message.status()).IgnoreError();
        }
      });
}

void ServiceCall::Answer(std::string frame) {
  if (frame.size() > http::grpc::kFrameHeaderBytes + max_message_bytes_) {
    return Finish(TooLarge("the answer", max_message_bytes_));
  }
  edge_.Finish(context_, absl::OkStatus()).IgnoreError();
  wire_.Answer(std::move(frame), nullptr);
}

void ServiceCall::Finish(const absl::Status& status) {
  wire_.Finish(edge_.Finish(context_, status));
}

void Service::Add(std::string_view method, Begin begin) {
  methods_.emplace(method, Method{edge_->MethodIndex(method), std::move(begin)});
}

bool Service::Handle(std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& head,
                     uint64_t max_message_bytes) {
  const auto found = methods_.find(head.method);
  if (found == methods_.end()) return false;
  const auto& [index, begin] = found->second;
  absl::StatusOr<CallContext> context =
      edge_->Admit(ReadHead(exchange->head().headers, head.timeout), index);
  if (!context.ok()) {
    exchange->Respond(http::grpc::ErrorAnswer(context.status(), "", PlatformDetails));
    return true;
  }
  begin(std::make_unique<ServiceCall>(in_flight_, *edge_, *std::move(context), std::move(exchange),
                                      head, max_message_bytes));
  return true;
}

}  // namespace slipway
