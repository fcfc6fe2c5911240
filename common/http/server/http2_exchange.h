#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/http/server/http2_connection.h"
#include "common/http/server/server.h"

namespace slipway::http {

/// One request on a connection: the handle that its handler holds. All state is the connection's.
class Http2Exchange final : public Exchange {
 public:
  Http2Exchange(std::shared_ptr<Http2Connection> connection, Http2Connection::Stream& stream,
                RequestHead head)
      : connection_(std::move(connection)), head_(std::move(head)), stream_(&stream) {}
  ~Http2Exchange() override { connection_->Drop(*this); }

  Handler& handler() const { return connection_->handler(); }

  const RequestHead& head() const override { return head_; }
  void LimitBody(uint64_t bytes) override { connection_->LimitBody(*this, bytes); }
  void LimitTime(absl::Duration limit) override { connection_->LimitTime(*this, limit); }
  void LimitPause(absl::Duration limit) override { connection_->LimitPause(*this, limit); }
  void ReadBody(uint64_t limit, BodyCallback done) override {
    connection_->Read(*this, /*whole=*/true, limit, std::move(done));
  }
  void ReadSome(BodyCallback done) override {
    connection_->Read(*this, /*whole=*/false, std::nullopt, std::move(done));
  }
  bool Respond(Response response, DoneCallback later) override {
    return connection_->Respond(*this, std::move(response), std::move(later));
  }
  void StartResponse(int status, Headers headers) override {
    connection_->StartResponse(*this, status, headers);
  }
  void Write(std::string piece, DoneCallback done) override {
    connection_->Write(*this, std::move(piece), std::move(done));
  }
  void Finish(Headers trailers) override { connection_->Finish(*this, trailers); }
  void OnCancel(absl::AnyInvocable<void()> cancelled) override {
    connection_->OnCancel(*this, std::move(cancelled));
  }

 private:
  friend class Http2Connection;

  const std::shared_ptr<Http2Connection> connection_;
  const RequestHead head_;
  Http2Connection::Stream* stream_;  // the connection's; null once the exchange is over
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_
