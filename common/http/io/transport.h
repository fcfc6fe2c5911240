#ifndef SLIPWAY_COMMON_HTTP_IO_TRANSPORT_H_
#define SLIPWAY_COMMON_HTTP_IO_TRANSPORT_H_

#include <sys/uio.h>

#include <cstddef>
#include <string_view>
#include <utility>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "common/http/io/ssl.h"

namespace slipway::http {

/// TCP and Unix sockets alike; the executor's type is spelled out, as the erased one costs an
/// indirect call and an allocation here and there.
using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                      boost::asio::io_context::executor_type>;

/// A connection's bytes, plain or under TLS: read and written without waiting, and waits that call
/// back on the loop's thread with an error code. One thread at a time.
class Transport {
 public:
  enum class Result {
    kOk,
    kWouldBlock,
    kEnded,  ///< The peer sends no more.
    kBroken
  };

  /// `socket` is non-blocking. With `ssl`, of the same socket, all goes through it.
  explicit Transport(StreamSocket socket, SslPtr ssl = nullptr)
      : socket_(std::move(socket)), ssl_(std::move(ssl)) {}

  /// Goes on with TLS's handshake; kOk when it is done, and without TLS.
  Result Handshake();

  /// What ALPN agreed on (RFC 7301) in the handshake; empty for nothing.
  std::string_view protocol() const;

  /// With kOk, `got` > 0 bytes came.
  Result Read(char* space, size_t size, size_t& got);

  /// The same of what comes ahead of TLS, whose handshake has not begun. With `peek` they come
  /// again.
  Result ReadAhead(char* space, size_t size, size_t& got, bool peek = false);

  /// With kOk, `sent` > 0 bytes of the vectors' were taken. After kWouldBlock what is written next
  /// begins with the same bytes.
  Result Write(const iovec* vectors, size_t count, size_t& sent);

  /// Waits until Read() or Handshake() may go on.
  template <typename Call>
  void WaitReadable(Call call) {
    if (HasDecrypted()) {
      boost::asio::post(socket_.get_executor(),
                        [call = std::move(call)]() mutable { call(boost::system::error_code()); });
      return;
    }
    socket_.async_wait(read_waits_to_write_ ? StreamSocket::wait_write : StreamSocket::wait_read,
                       std::move(call));
  }
  template <typename Call>
  void WaitWritable(Call call) {
    socket_.async_wait(StreamSocket::wait_write, std::move(call));
  }

  /// Whether bytes have come that were not read.
  bool HasUnread();

  /// Says that no more will be sent.
  void ShutdownSend();

  /// `reset`: the peer sees that it was cut.
  void Close(bool reset);

 private:
  bool HasDecrypted() const;
  Result Receive(char* space, size_t size, int flags, size_t& got);
  Result Failed(int result);
  Result ReadTls(char* space, size_t size, size_t& got);
  Result WriteTls(const iovec* vectors, size_t count, size_t& sent);

  StreamSocket socket_;
  SslPtr ssl_;
  bool read_waits_to_write_ = false;  // in the middle of a message of TLS's own
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_TRANSPORT_H_
