#include "common/http/io/transport.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace slipway::http {
namespace {

// What one record of TLS holds.
constexpr size_t kRecordBytes = 16 << 10;

}  // namespace

Transport::Result Transport::Handshake() {
  if (ssl_ == nullptr) return Result::kOk;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  read_waits_to_write_ = result != 1 && SSL_want_write(ssl_.get());
  return result == 1 ? Result::kOk : Failed(result);
}

std::string_view Transport::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  if (ssl_ != nullptr) SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

// Why a call of OpenSSL's did not succeed.
Transport::Result Transport::Failed(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Result::kWouldBlock;
    case SSL_ERROR_ZERO_RETURN:
      return Result::kEnded;
    default:
      ERR_clear_error();
      return Result::kBroken;
  }
}

bool Transport::HasDecrypted() const { return ssl_ != nullptr && SSL_pending(ssl_.get()) > 0; }

Transport::Result Transport::ReadTls(char* space, size_t size, size_t& got) {
  got = 0;
  while (got < size) {
    ERR_clear_error();
    size_t bytes = 0;
    const int result = SSL_read_ex(ssl_.get(), space + got, size - got, &bytes);
    if (result != 1) {
      // An end or an error comes again at the next call.
      read_waits_to_write_ = SSL_want_write(ssl_.get());
      const Result failed = Failed(result);
      return got > 0 ? Result::kOk : failed;
    }
    got += bytes;
  }
  return Result::kOk;
}

Transport::Result Transport::WriteTls(const iovec* vectors, size_t count, size_t& sent) {
  // Small ones share a record.
  static thread_local char record[kRecordBytes];
  const void* bytes = vectors[0].iov_base;
  size_t size = std::min(vectors[0].iov_len, kRecordBytes);
  if (size < kRecordBytes && count > 1) {
    size = 0;
    for (size_t i = 0; i < count && size < kRecordBytes; ++i) {
      const size_t here = std::min(vectors[i].iov_len, kRecordBytes - size);
      std::memcpy(record + size, vectors[i].iov_base, here);
      size += here;
    }
    bytes = record;
  }
  ERR_clear_error();
  const int result = SSL_write_ex(ssl_.get(), bytes, size, &sent);
  if (result == 1) return Result::kOk;
  const Result failed = Failed(result);
  return failed == Result::kEnded ? Result::kBroken : failed;
}

Transport::Result Transport::Read(char* space, size_t size, size_t& got) {
  return ssl_ != nullptr ? ReadTls(space, size, got) : Receive(space, size, 0, got);
}

Transport::Result Transport::ReadAhead(char* space, size_t size, size_t& got, bool peek) {
  return Receive(space, size, peek ? MSG_PEEK : 0, got);
}

Transport::Result Transport::Receive(char* space, size_t size, int flags, size_t& got) {
  for (;;) {
    const ssize_t count = ::recv(socket_.native_handle(), space, size, flags | MSG_DONTWAIT);
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
  if (ssl_ != nullptr) return WriteTls(vectors, count, sent);
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
  if (HasDecrypted()) return true;
  return ::ioctl(socket_.native_handle(), FIONREAD, &unread) == 0 && unread > 0;
}

void Transport::ShutdownSend() {
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_.get())) SSL_shutdown(ssl_.get());
  boost::system::error_code ignored;
  socket_.shutdown(StreamSocket::shutdown_send, ignored);
}

void Transport::Close(bool reset) {
  boost::system::error_code ignored;
  if (reset) socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

}  // namespace slipway::http
