#include "common/http/server/transport.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace slipway::http {

Transport::Result Transport::Read(char* space, size_t size, size_t& got) {
  for (;;) {
    const ssize_t count = ::recv(socket_.native_handle(), space, size, MSG_DONTWAIT);
    if (count > 0) {
      got = static_cast<size_t>(count);
      return Result::kOk;
    }
    if (count == 0) return Result::kEnded;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kWouldBlock : Result::kBroken;
  }
}

Transport::Result Transport::Write(const iovec* vectors, size_t count, size_t& sent) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(vectors);
  message.msg_iovlen = count;
  for (;;) {
    const ssize_t bytes = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes >= 0) {
      sent = static_cast<size_t>(bytes);
      return Result::kOk;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kWouldBlock : Result::kBroken;
  }
}

bool Transport::HasUnread() {
  int unread = 0;
  return ::ioctl(socket_.native_handle(), FIONREAD, &unread) == 0 && unread > 0;
}

void Transport::ShutdownSend() {
  boost::system::error_code ignored;
  socket_.shutdown(StreamSocket::shutdown_send, ignored);
}

void Transport::Close(bool reset) {
  boost::system::error_code ignored;
  if (reset) socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace slipway::http
