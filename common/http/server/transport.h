#ifndef SLIPWAY_COMMON_HTTP_SERVER_TRANSPORT_H_
#define SLIPWAY_COMMON_HTTP_SERVER_TRANSPORT_H_

#include <sys/uio.h>

#include <cstddef>
#include <utility>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

namespace slipway::http {

/// TCP and Unix sockets alike; the executor's type is spelled out, as the erased one costs an
/// indirect call and an allocation here and there.
using StreamSocket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                      boost::asio::io_context::executor_type>;

/// A connection's bytes: read and written without waiting, and waits that call back on the loop's
/// thread with an error code. One thread at a time.
class Transport {
 public:
  enum class Result {
    kOk,
    kWouldBlock,
    kEnded,  ///< The peer sends no more.
    kBroken
  };

  /// `socket` is non-blocking.
  explicit Transport(StreamSocket socket) : socket_(std::move(socket)) {}

  /// With kOk, `got` > 0 bytes came.
  Result Read(char* space, size_t size, size_t& got);

  /// With kOk, `sent` > 0 bytes of the vectors' were taken.
  Result Write(const iovec* vectors, size_t count, size_t& sent);

  template <typename Call>
  void WaitReadable(Call call) {
    socket_.async_wait(StreamSocket::wait_read, std::move(call));
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
  StreamSocket socket_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_TRANSPORT_H_
