#include "common/http/server/listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "common/http/server/server_core.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

constexpr std::string_view kUnixScheme = "unix:";
// As many as the kernel allows: a caller who finds the queue full tries again after a second.
constexpr int kBacklog = SOMAXCONN;
// Connections taken in one go, before others of the thread get their turn.
constexpr int kAcceptBatch = 64;
constexpr std::chrono::milliseconds kPause{100};

// A descriptor that is closed unless it is released.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

absl::Status BindError(int error, const std::string& address) {
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(fmt::format("{} is in use by another program", address));
  }
  if (error == EADDRNOTAVAIL) {
    return InvalidField("address", fmt::format("{} is not an address of this machine", address));
  }
  return FromErrno(error, "listen on", address);
}

// Someone accepts connections there.
bool IsAlive(const sockaddr_un& address) {
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
             0 ||
         errno == EAGAIN;
}

std::string PeerName(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    return boost::asio::ip::make_address_v4(ntohl(v4.sin_addr.s_addr)).to_string();
  }
  if (peer.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
    boost::asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    const boost::asio::ip::address_v6 address(bytes);
    if (address.is_v4_mapped()) {
      return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address).to_string();
    }
    return address.to_string();
  }
  return kUnixPeer;
}

}  // namespace

Listener::Listener(boost::asio::io_context& context) : socket_(context), pause_(context) {}

Listener::~Listener() { Close(); }

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(boost::asio::io_context& context,
                                                         const std::string& address) {
  if (address.starts_with(kUnixScheme)) {
    return BindUnix(context, address.substr(kUnixScheme.size()));
  }
  return BindTcp(context, address);
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::BindUnix(boost::asio::io_context& context,
                                                             const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(name.sun_path)) {
    return InvalidField("address", fmt::format("a Unix socket's path has 1 to {} bytes, got \"{}\"",
                                               sizeof(name.sun_path) - 1, path));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) {
      return absl::AlreadyExistsError(fmt::format("{} exists and is not a socket", path));
    }
    if (IsAlive(name)) return BindError(EADDRINUSE, path);
    ::unlink(path.c_str());
  }
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0 ||
      ::listen(socket.get(), kBacklog) != 0 || ::lstat(path.c_str(), &there) != 0) {
    return BindError(errno, path);
  }
  std::unique_ptr<Listener> listener(new Listener(context));
  listener->socket_.assign(socket.Release());
  listener->address_ = std::string(kUnixScheme) + path;
  listener->path_ = path;
  listener->path_device_ = there.st_dev;
  listener->path_inode_ = there.st_ino;
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::BindTcp(boost::asio::io_context& context,
                                                            const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  uint16_t port = 0;
  const char* const end = address.data() + address.size();
  const char* const digits = colon == std::string::npos ? end : address.data() + colon + 1;
  const auto [rest, number_error] = std::from_chars(digits, end, port);
  boost::system::error_code ip_error;
  const auto ip = boost::asio::ip::make_address(host, ip_error);
  if (number_error != std::errc() || rest != end || ip_error) {
    return InvalidField(
        "address", fmt::format("must be IP:PORT, [IPv6]:PORT or unix:PATH, got \"{}\"", address));
  }
  const boost::asio::ip::tcp::endpoint endpoint(ip, port);
  Descriptor socket(
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A restart binds while connections of the run before are in TIME_WAIT. SO_REUSEPORT is not
  // set: a second server would silently share the port.
  const int on = 1;
  const int off = 0;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (ip.is_v6()) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  sockaddr_storage bound{};
  socklen_t bound_size = sizeof(bound);
  if (socket.get() < 0 ||
      ::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
      ::listen(socket.get(), kBacklog) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
    return BindError(errno, address);
  }
  std::unique_ptr<Listener> listener(new Listener(context));
  listener->socket_.assign(socket.Release());
  listener->port_ = ntohs(ip.is_v6() ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                     : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  listener->address_ = ip.is_v6() ? fmt::format("[{}]:{}", ip.to_string(), listener->port_)
                                  : fmt::format("{}:{}", ip.to_string(), listener->port_);
  return listener;
}

void Listener::Start(Accepted accepted) {
  accepted_ = std::move(accepted);
  Arm();
}

void Listener::Arm() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [this](const boost::system::error_code& error) {
                       if (!error && socket_.is_open()) AcceptAll();
                     });
}

// By accept4 rather than by Asio's acceptor, which leaves the descriptors to be inherited by the
// processes that this one launches.
void Listener::AcceptAll() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    const int descriptor = ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&peer),
                                     &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
      accepted_(descriptor, path_.empty() ? peer.ss_family : AF_UNIX, PeerName(peer));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the backlog, so that waiting for it would spin.
      pause_.expires_after(kPause);
      pause_.async_wait([this](const boost::system::error_code& error) {
        if (!error && socket_.is_open()) Arm();
      });
      return;
    }
    break;
  }
  Arm();
}

void Listener::Close() {
  boost::system::error_code ignored;
  pause_.cancel(ignored);
  if (!socket_.is_open()) return;
  socket_.close(ignored);
  struct stat there {};
  if (!path_.empty() && ::lstat(path_.c_str(), &there) == 0 && there.st_dev == path_device_ &&
      there.st_ino == path_inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace slipway::http
