#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_CONNECTION_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include <boost/system/error_code.hpp>

#include "common/http/channel/client_session.h"
#include "common/http/io/io_loop.h"
#include "common/http/io/output_queue.h"
#include "common/http/io/transport.h"

namespace slipway::http::grpc {

/// One connection: a session on a socket. What one turn of the loop has to say leaves with one
/// write. All on the loop's thread.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  /// Hears, beside what the session tells:
  class Owner : public ClientSession::Owner {
   public:
    /// Bytes have come or gone, and all that this brought was told.
    virtual void OnTurn() = 0;
    /// It is over, and may still have streams.
    virtual void OnLost(ClientConnection& connection, const absl::Status& why) = 0;

   protected:
    ~Owner() = default;
  };

  /// `loop` and `owner` outlive it.
  ClientConnection(IoLoop& loop, Transport transport, bool tls, std::string authority,
                   Owner& owner);

  void Start();
  /// Says nothing more, and hears nothing.
  void Close();

  ClientSession& session() { return session_; }
  /// Sends what the session has to say, later in this turn.
  void Flush();

  /// How often something came.
  uint64_t reads() const { return reads_; }

 private:
  void WaitReadable();
  void OnReadable(const boost::system::error_code& error);
  void Send();
  void Lose(const absl::Status& why);

  IoLoop& loop_;
  Owner& owner_;
  Transport transport_;
  OutputQueue output_;
  ClientSession session_;
  bool closed_ = false;
  bool flushing_ = false;  // Send() is to come
  bool writing_ = false;   // waits for the socket to take more
  uint64_t reads_ = 0;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_CLIENT_CONNECTION_H_
