#ifndef SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_
#define SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_

#include <memory>

#include "common/http/server/connection.h"
#include "common/http/server/server_loop.h"

namespace slipway::http {

/// A connection whose protocol is not known yet: behind TLS's handshake, if any, its first bytes
/// say whether it is HTTP/2 (RFC 9113, 3.4) or HTTP/1.1, which then takes its place. What ALPN
/// agreed on is what the client then speaks. All calls on the loop's thread.
class Arrival final : public Connection, public std::enable_shared_from_this<Arrival> {
 public:
  explicit Arrival(NewConnection opened) : opened_(std::move(opened)) {}

  void Start() override;
  void CheckDeadlines(int64_t now) override;
  void CloseIfIdle() override;
  int Abort() override;

 private:
  void Wait();
  void OnReadable(const boost::system::error_code& error);
  template <typename Protocol>
  void Become();
  void Close();

  NewConnection opened_;
  bool greeted_ = false;  // no handshake is to be done any more
  bool gone_ = false;     // closed, or another connection by now
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_
