#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_TRANSPORT_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_TRANSPORT_H_

#include <memory>

#include "common/http/grpc/server_call.h"
#include "services/gateway/relay/api_transport.h"

namespace slipway::gateway {

/// A call of the public API over gRPC: the method's own messages in both directions.
class GrpcTransport final : public ApiTransport {
 public:
  GrpcTransport(std::shared_ptr<http::grpc::ServerCall> call, const PublicMethod& method)
      : call_(std::move(call)), method_(method) {}

  http::Exchange& exchange() override { return call_->exchange(); }
  /// The first one of the method: by it REST finds what a call is about.
  const HttpBinding& binding() const override { return method_.bindings.front(); }
  void Receive(DoneCallback done) override;
  absl::StatusOr<std::unique_ptr<Message>> ReadRequest() override;
  void ReceiveNext(Message& request, NextCallback done) override;
  void AddHeaders(const http::Headers& headers) override { call_->AddHeaders(headers); }
  void Succeed(const Message& answer) override;
  int Fail(const absl::Status& status) override;
  void Write(const Message& answer, DoneCallback done) override;
  /// HTTP/2 asks by itself whether a silent peer is there.
  void Beat() override {}
  int Finish(const absl::Status& status) override;

 private:
  const std::shared_ptr<http::grpc::ServerCall> call_;
  const PublicMethod& method_;
  http::grpc::Message received_;
  bool first_sent_ = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_GRPC_TRANSPORT_H_
