#include "common/http/channel/dialer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "fmt/format.h"

namespace slipway::http::grpc {
namespace {

namespace asio = boost::asio;

void SetOption(int descriptor, int option, int value) {
  ::setsockopt(descriptor, IPPROTO_TCP, option, &value, sizeof(value));
}

}  // namespace

Dialer::Dialer(IoLoop& loop, const ChannelOptions& options, ClientTls* tls, Done done)
    : loop_(loop),
      options_(options),
      tls_(tls),
      done_(std::move(done)),
      resolver_(loop.context()) {}

void Dialer::Start() {
  if (!options_.unix_path.empty()) {
    endpoints_.emplace_back(asio::local::stream_protocol::endpoint(options_.unix_path));
  } else {
    boost::system::error_code no_address;
    const auto address = asio::ip::make_address(options_.host, no_address);
    if (no_address) return Resolve();
    const auto port = static_cast<unsigned short>(options_.port);
    endpoints_.emplace_back(asio::ip::tcp::endpoint(address, port));
  }
  loop_.Post([self = shared_from_this()] { self->ConnectNext(); });
}

void Dialer::Stop() {
  done_ = nullptr;
  resolver_.cancel();
  boost::system::error_code ignored;
  if (socket_) socket_->close(ignored);
  if (transport_) transport_->Close(/*reset=*/false);
}

void Dialer::Resolve() {
  resolver_.async_resolve(
      options_.host, std::to_string(options_.port), Resolver::numeric_service,
      [self = shared_from_this()](const boost::system::error_code& error,
                                  const Resolver::results_type& found) {
        if (error) return self->Fail(fmt::format("{}: {}", self->options_.host, error.message()));
        for (const auto& entry : found) self->endpoints_.emplace_back(entry.endpoint());
        self->ConnectNext();
      });
}

void Dialer::ConnectNext() {
  if (!done_) return;
  if (next_ == endpoints_.size()) return Fail(last_error_);
  const Endpoint& endpoint = endpoints_[next_++];
  // Asio's own sockets would be inherited by the processes that this one launches.
  const int family = endpoint.protocol().family();
  const int descriptor = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return Fail(std::strerror(errno));
  socket_.emplace(loop_.context().get_executor());
  boost::system::error_code error;
  socket_->assign(endpoint.protocol(), descriptor, error);
  if (error) {
    ::close(descriptor);
    return Fail(error.message());
  }
  if (family != AF_UNIX) {
    SetOption(descriptor, TCP_NODELAY, 1);
    // A peer whose machine died takes nothing any more.
    SetOption(descriptor, TCP_USER_TIMEOUT,
              static_cast<int>(absl::ToInt64Milliseconds(options_.keepalive_timeout)));
  }
  socket_->async_connect(endpoint,
                         [self = shared_from_this()](const boost::system::error_code& failed) {
                           self->OnConnected(failed);
                         });
}

void Dialer::OnConnected(const boost::system::error_code& error) {
  if (!done_) return;
  if (error) {
    last_error_ = error.message();
    return ConnectNext();
  }
  SslPtr ssl;
  if (tls_ != nullptr) ssl = tls_->NewConnection(socket_->native_handle(), options_.host);
  transport_.emplace(*std::exchange(socket_, std::nullopt), std::move(ssl));
  Handshake();
}

void Dialer::Handshake() {
  switch (transport_->Handshake()) {
    case Transport::Result::kOk:
      if (tls_ != nullptr && transport_->protocol() != "h2") {
        return Fail("the server does not speak HTTP/2");
      }
      return Finish(*std::exchange(transport_, std::nullopt));
    case Transport::Result::kWouldBlock:
      return transport_->WaitReadable(
          [self = shared_from_this()](const boost::system::error_code& error) {
            if (!self->done_) return;
            if (error) return self->Fail(error.message());
            self->Handshake();
          });
    case Transport::Result::kEnded:
    case Transport::Result::kBroken:
      // The server has no certificate that is believed, or does not believe this one.
      return Fail("TLS's handshake failed");
  }
}

void Dialer::Fail(std::string_view what) {
  Finish(absl::UnavailableError(fmt::format("cannot connect: {}", what)));
}

void Dialer::Finish(absl::StatusOr<Transport> result) {
  if (Done done = std::exchange(done_, nullptr)) done(std::move(result));
}

}  // namespace slipway::http::grpc
