#include "tests/integration/http/raw_peer.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace slipway::http {
namespace {

// Longer than any test waits on purpose; a server that never answers fails a test by it.
constexpr std::chrono::milliseconds kPatience{20'000};

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

// A connected socket, or -1.
int RawPeer::Connect(const std::string& address) {
  sockaddr_un unix_name{};
  sockaddr_in tcp_name{};
  sockaddr* name = nullptr;
  socklen_t size = 0;
  if (address.starts_with("unix:")) {
    unix_name.sun_family = AF_UNIX;
    std::strncpy(unix_name.sun_path, address.c_str() + 5, sizeof(unix_name.sun_path) - 1);
    name = reinterpret_cast<sockaddr*>(&unix_name);
    size = sizeof(unix_name);
  } else {
    const size_t colon = address.rfind(':');
    tcp_name.sin_family = AF_INET;
    tcp_name.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
    if (::inet_pton(AF_INET, address.substr(0, colon).c_str(), &tcp_name.sin_addr) != 1) {
      Die("address");
    }
    name = reinterpret_cast<sockaddr*>(&tcp_name);
    size = sizeof(tcp_name);
  }
  const int socket = ::socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(socket, name, size) != 0) {
    ::close(socket);
    return -1;
  }
  const int on = 1;
  if (name->sa_family == AF_INET) {
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  return socket;
}

RawPeer::RawPeer(const std::string& address) : socket_(Connect(address)) {
  if (socket_ < 0) Die("connect");
}

bool RawPeer::CanConnect(const std::string& address) {
  const int socket = Connect(address);
  if (socket >= 0) ::close(socket);
  return socket >= 0;
}

RawPeer::~RawPeer() { Close(); }

bool RawPeer::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

size_t RawPeer::SendWithoutWaiting(std::string_view bytes) {
  const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? 0 : static_cast<size_t>(sent);
}

bool RawPeer::WaitReadable(std::chrono::milliseconds time) const {
  pollfd waiting = {socket_, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(time.count())) > 0;
}

bool RawPeer::Fill() {
  if (ended_) return false;
  if (!WaitReadable(kPatience)) return false;
  char bytes[64 << 10];
  const ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
  if (got <= 0) {
    ended_ = true;
    return false;
  }
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::optional<std::string> RawPeer::TakeLine() {
  for (;;) {
    if (const size_t end = buffer_.find("\r\n"); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return line;
    }
    if (!Fill()) return std::nullopt;
  }
}

bool RawPeer::TakeBytes(size_t count, std::string& out) {
  while (buffer_.size() < count) {
    if (!Fill()) break;
  }
  const bool all = buffer_.size() >= count;
  out += buffer_.substr(0, count);
  buffer_.substr(std::min(count, buffer_.size())).swap(buffer_);  // keeps no more than is left
  return all;
}

RawPeer::Answer RawPeer::Read(bool to_head) {
  Answer answer;
  const auto read_fields = [this](Headers& headers) {
    for (;;) {
      const std::optional<std::string> line = TakeLine();
      if (!line.has_value()) return false;
      if (line->empty()) return true;
      const size_t colon = line->find(": ");
      headers.Add(line->substr(0, colon), line->substr(colon + 2));
    }
  };
  const std::optional<std::string> first = TakeLine();
  if (!first.has_value() || first->size() < 12) return answer;
  answer.status_line = *first;
  answer.status = std::atoi(first->c_str() + 9);
  if (!read_fields(answer.headers)) return answer;
  if (to_head || answer.status / 100 == 1 || answer.status == 204 || answer.status == 304) {
    answer.complete = true;
  } else if (answer.headers.Get("transfer-encoding") == "chunked") {
    for (;;) {
      const std::optional<std::string> line = TakeLine();
      if (!line.has_value()) return answer;
      size_t size = 0;
      std::from_chars(line->data(), line->data() + line->size(), size, 16);
      if (size == 0) break;
      std::string end;
      if (!TakeBytes(size, answer.body) || !TakeBytes(2, end)) return answer;
    }
    answer.complete = read_fields(answer.trailers);
  } else if (answer.headers.Has("content-length")) {
    const size_t size =
        std::strtoull(std::string(answer.headers.Get("content-length")).c_str(), nullptr, 10);
    answer.complete = TakeBytes(size, answer.body);
  } else {
    answer.body = ReadToEnd();
    answer.complete = ended_;
  }
  return answer;
}

std::string RawPeer::ReadSome() {
  if (buffer_.empty()) Fill();
  return std::exchange(buffer_, {});
}

std::string RawPeer::ReadToEnd() {
  while (Fill()) {
  }
  return std::exchange(buffer_, {});
}

uint64_t RawPeer::CountToEnd() {
  uint64_t bytes = buffer_.size();
  buffer_.clear();
  while (Fill()) {
    bytes += buffer_.size();
    buffer_.clear();
  }
  return bytes;
}

bool RawPeer::IsClosedWithin(std::chrono::milliseconds time) {
  const auto polls = time.count() / 10 + 1;
  for (long i = 0; i < polls; ++i) {
    while (WaitReadable(std::chrono::milliseconds(10))) {
      if (!Fill()) return true;
    }
  }
  return false;
}

bool RawPeer::IsQuietFor(std::chrono::milliseconds time) { return !WaitReadable(time); }

void RawPeer::CloseSending() { ::shutdown(socket_, SHUT_WR); }

void RawPeer::Close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void RawPeer::Reset() {
  const linger at_once = {1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  Close();
}

void RawPeer::ShrinkReceiveBuffer() {
  const int bytes = 4096;
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int RawPeer::DataSegmentsReceived() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) Die("TCP_INFO");
  return static_cast<int>(info.tcpi_data_segs_in);
}

}  // namespace slipway::http
