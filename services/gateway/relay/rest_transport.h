#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_REST_TRANSPORT_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_REST_TRANSPORT_H_

#include <memory>
#include <string>

#include "google/api/httpbody.pb.h"
#include "services/gateway/api/transcoder.h"
#include "services/gateway/relay/api_handler.h"
#include "services/gateway/relay/api_transport.h"

namespace slipway::gateway {

/// /api/v1/...: path, query and a body of JSON in, JSON out. Uploads and downloads are bare bytes;
/// other streams are one JSON object a line, and an empty line where nothing happens for a while.
class RestTransport final : public ApiTransport {
 public:
  /// `options` outlive it.
  RestTransport(const ApiOptions& options, std::shared_ptr<http::Exchange> exchange,
                MethodTable::Match match);

  http::Exchange& exchange() override { return *exchange_; }
  const HttpBinding& binding() const override { return *match_.binding; }
  void Receive(DoneCallback done) override;
  absl::StatusOr<std::unique_ptr<Message>> ReadRequest() override;
  void ReceiveNext(Message& request, NextCallback done) override;
  void AddHeaders(const http::Headers& headers) override { headers_ = headers; }
  void Succeed(const Message& answer) override;
  int Fail(const absl::Status& status) override;
  void Write(const Message& answer, DoneCallback done) override;
  void Beat() override;
  int Finish(const absl::Status& status) override;

 private:
  google::api::HttpBody& Content(Message& request) const;
  void AddTo(http::Headers& headers) const;
  void Start(const google::api::HttpBody* first);

  const ApiOptions& options_;
  const std::shared_ptr<http::Exchange> exchange_;
  const MethodTable::Match match_;
  http::Headers headers_;
  std::string body_;
  bool any_received_ = false;
  bool received_all_ = false;
  bool started_ = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_REST_TRANSPORT_H_
