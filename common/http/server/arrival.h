#ifndef SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_
#define SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_

#include <memory>

#include "common/http/server/connection.h"
#include "common/http/server/server_loop.h"

namespace slipway::http {

/// A connection whose protocol is not known yet. A trusted proxy may begin it with a header of the
/// PROXY protocol, which says who the caller is. Behind that and TLS's handshake, if any, the first
/// bytes say whether it is HTTP/2 (RFC 9113, 3.4) or HTTP/1.1, which then takes its place. What
/// ALPN agreed on is what the client then speaks. All calls on the loop's thread.
class Arrival final : public Connection, public std::enable_shared_from_this<Arrival> {
 public:
  explicit Arrival(NewConnection opened)
      : opened_(std::move(opened)), introduced_(!opened_.from_proxy) {}

  void Start() override;
  void CheckDeadlines(int64_t now) override;
  void CloseIfIdle() override;
  int Abort() override;

 private:
  enum class Step { kDone, kWait, kClose };

  static Step After(Transport::Result result);
  void Wait();
  void OnReadable(const boost::system::error_code& error);
  Step Introduce();
  Step Greet();
  template <typename Protocol>
  void Become();
  void Close();

  NewConnection opened_;
  bool introduced_;       // no header of a proxy's is to come any more
  bool greeted_ = false;  // and no handshake is to be done
  bool gone_ = false;     // closed, or another connection by now
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_ARRIVAL_H_
