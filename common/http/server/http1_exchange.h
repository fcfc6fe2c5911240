#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP1_EXCHANGE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP1_EXCHANGE_H_

#include "common/http/server/connection_exchange.h"
#include "common/http/server/http1_connection.h"

namespace slipway::http {

class Http1Exchange final : public ConnectionExchange<Http1Exchange, Http1Connection> {
 public:
  using ConnectionExchange::ConnectionExchange;
  ~Http1Exchange() override { connection_->Drop(*this); }
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP1_EXCHANGE_H_
