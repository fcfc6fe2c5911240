#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_

#include <memory>
#include <utility>

#include "common/http/server/connection_exchange.h"
#include "common/http/server/http2_connection.h"

namespace slipway::http {

class Http2Exchange final : public ConnectionExchange<Http2Exchange, Http2Connection> {
 public:
  Http2Exchange(std::shared_ptr<Http2Connection> connection, Http2Connection::Stream& stream,
                RequestHead head)
      : ConnectionExchange(std::move(connection), std::move(head)), stream_(&stream) {}
  ~Http2Exchange() override { connection_->Drop(*this); }

 private:
  friend class Http2Connection;

  Http2Connection::Stream* stream_;  // the connection's; null once the exchange is over
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP2_EXCHANGE_H_
