#ifndef SLIPWAY_COMMON_HTTP_SERVER_LISTENER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_LISTENER_H_

#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/functional/any_invocable.h"
#include "common/status/status.h"

namespace slipway::http {

/// A bound and listening socket, TCP or Unix. All calls but Bind on the thread of its context.
class Listener {
 public:
  /// Called with each new connection: a non-blocking close-on-exec descriptor that now belongs to
  /// the callee, its socket family, and the peer's address.
  using Accepted = absl::AnyInvocable<void(int descriptor, int family, std::string peer)>;

  /// See ServerOptions::address and Server::Start.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(boost::asio::io_context& context,
                                                        const std::string& address);
  ~Listener();

  void Start(Accepted accepted);

  /// Stops listening; a Unix socket's path goes, if it is still this socket.
  void Close();

  int port() const { return port_; }
  const std::string& address() const { return address_; }

 private:
  explicit Listener(boost::asio::io_context& context);
  static absl::StatusOr<std::unique_ptr<Listener>> BindUnix(boost::asio::io_context& context,
                                                            const std::string& path);
  static absl::StatusOr<std::unique_ptr<Listener>> BindTcp(boost::asio::io_context& context,
                                                           const std::string& address);
  void Arm();
  void AcceptAll();

  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer pause_;  // after the process ran out of descriptors
  Accepted accepted_;
  std::string address_;
  int port_ = 0;
  std::string path_;  // of a Unix socket
  uint64_t path_device_ = 0;
  uint64_t path_inode_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_LISTENER_H_
