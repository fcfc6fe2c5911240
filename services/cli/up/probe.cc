#include "services/cli/up/probe.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

namespace slipway::cli {

bool IsReady(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  const timeval second{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
  constexpr std::string_view kRequest =
      "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  constexpr std::string_view kReady = "HTTP/1.1 200";
  char answer[kReady.size()];
  bool ready = false;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      ::send(socket, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(kRequest.size()) &&
      ::recv(socket, answer, sizeof(answer), MSG_WAITALL) == static_cast<ssize_t>(sizeof(answer))) {
    ready = std::string_view(answer, sizeof(answer)) == kReady;
  }
  ::close(socket);
  return ready;
}

}  // namespace slipway::cli
