#include "common/http/unix_get.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

namespace slipway::http {
namespace {

constexpr size_t kMaxText = 16 << 20;

// A Unix socket that closes itself.
class Socket {
 public:
  static std::optional<Socket> Connect(const std::string& path, absl::Duration patience) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return std::nullopt;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd_ < 0) return std::nullopt;
    const timeval wait = absl::ToTimeval(patience);
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    ::setsockopt(socket.fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (::connect(socket.fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return std::nullopt;
    }
    return socket;
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool Send(std::string_view text) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  std::optional<std::string> ReadToEnd() {
    std::string all;
    char piece[16 << 10];
    for (;;) {
      const ssize_t got = ::recv(fd_, piece, sizeof(piece), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 || all.size() > kMaxText) return std::nullopt;
      if (got == 0) return all;
      all.append(piece, static_cast<size_t>(got));
    }
  }

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace

std::optional<std::string> UnixGet(const std::string& socket_path, std::string_view path,
                                   absl::Duration patience) {
  auto socket = Socket::Connect(socket_path, patience);
  // HTTP/1.0, so that the answer ends with the connection and is whole.
  if (!socket || !socket->Send(fmt::format("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", path))) {
    return std::nullopt;
  }
  auto answer = socket->ReadToEnd();
  if (!answer) return std::nullopt;
  const size_t line_end = answer->find("\r\n");
  const size_t head_end = answer->find("\r\n\r\n");
  if (head_end == std::string::npos ||
      answer->substr(0, line_end).find(" 200") == std::string::npos) {
    return std::nullopt;
  }
  return answer->substr(head_end + 4);
}

}  // namespace slipway::http
