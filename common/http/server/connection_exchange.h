#ifndef SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_EXCHANGE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_EXCHANGE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/http/server/server.h"

namespace slipway::http {

/// One request on a connection: the handle that its handler holds. All state is the connection's,
/// which is told which of its exchanges (`Self`, derived from this) asks.
template <class Self, class Connection>
class ConnectionExchange : public Exchange {
 public:
  ConnectionExchange(std::shared_ptr<Connection> connection, RequestHead head)
      : connection_(std::move(connection)), head_(std::move(head)) {}

  Handler& handler() const { return connection_->handler(); }
  /// For the connection.
  void SetOver() { over_.store(true, std::memory_order_relaxed); }

  const RequestHead& head() const override { return head_; }
  bool over() const override { return over_.load(std::memory_order_relaxed); }
  void LimitBody(uint64_t bytes) override { connection_->LimitBody(self(), bytes); }
  void LimitTime(absl::Duration limit) override { connection_->LimitTime(self(), limit); }
  void LimitPause(absl::Duration limit) override { connection_->LimitPause(self(), limit); }
  void ReadBody(uint64_t limit, BodyCallback done) override {
    connection_->Read(self(), /*whole=*/true, limit, std::move(done));
  }
  void ReadSome(BodyCallback done) override {
    connection_->Read(self(), /*whole=*/false, std::nullopt, std::move(done));
  }
  bool Respond(Response response, DoneCallback later) override {
    return connection_->Respond(self(), std::move(response), std::move(later));
  }
  void StartResponse(int status, Headers headers) override {
    connection_->StartResponse(self(), status, headers);
  }
  void Write(std::string piece, DoneCallback done) override {
    connection_->Write(self(), std::move(piece), std::move(done));
  }
  void Finish(Headers trailers) override { connection_->Finish(self(), trailers); }
  void OnCancel(absl::AnyInvocable<void()> cancelled) override {
    connection_->OnCancel(self(), std::move(cancelled));
  }

 protected:
  const std::shared_ptr<Connection> connection_;

 private:
  Self& self() { return static_cast<Self&>(*this); }

  const RequestHead head_;
  std::atomic<bool> over_ = false;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_EXCHANGE_H_
