#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_DIALER_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_DIALER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "absl/functional/any_invocable.h"
#include "common/http/channel/channel.h"
#include "common/http/io/client_tls.h"
#include "common/http/io/io_loop.h"
#include "common/http/io/transport.h"

namespace slipway::http::grpc {

/// One attempt to connect: the name's look-up, each of its addresses in turn, TLS's handshake. All
/// on the loop's thread.
class Dialer : public std::enable_shared_from_this<Dialer> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Transport>)>;

  /// `options` outlive it; `tls` (null for a Unix socket) too.
  Dialer(IoLoop& loop, const ChannelOptions& options, ClientTls* tls, Done done);

  /// `done` is called later, once.
  void Start();
  /// It is not called any more.
  void Stop();

 private:
  using Endpoint = boost::asio::generic::stream_protocol::endpoint;
  using Resolver =
      boost::asio::ip::basic_resolver<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

  void Resolve();
  void ConnectNext();
  void OnConnected(const boost::system::error_code& error);
  void Handshake();
  void Fail(std::string_view what);
  void Finish(absl::StatusOr<Transport> result);

  IoLoop& loop_;
  const ChannelOptions& options_;
  ClientTls* const tls_;
  Done done_;  // null once it is over
  Resolver resolver_;
  std::vector<Endpoint> endpoints_;
  size_t next_ = 0;
  std::optional<StreamSocket> socket_;
  std::optional<Transport> transport_;
  std::string last_error_;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_DIALER_H_
