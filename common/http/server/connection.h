#ifndef SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_
#define SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "common/http/io/transport.h"
#include "common/http/server/input_buffer.h"

namespace slipway::http {

class ServerLoop;

/// What a connection begins with.
struct NewConnection {
  std::shared_ptr<ServerLoop> loop;
  Transport transport;
  std::string peer;   ///< Admitted by ConnectionCounts; whoever holds it releases it.
  bool from_proxy;    ///< A trusted one: it may say on whose behalf it speaks.
  InputBuffer input;  ///< What came already.
  int64_t deadline;   ///< Of the first request's head, as ServerCore::Now().
};

/// A connection as its I/O loop sees it, whatever protocol is spoken on it. The loop owns it from
/// ServerLoop::Add to ServerLoop::Remove, and calls it on its thread only.
class Connection {
 public:
  virtual ~Connection() = default;

  /// Begins to read.
  virtual void Start() = 0;

  /// Ends what has been waited for too long. Called every now and then; `now` is
  /// ServerCore::Now().
  virtual void CheckDeadlines(int64_t now) = 0;

  /// Tells the peer to open no more requests here, where the protocol can say that.
  virtual void AnnounceEnd() {}

  /// Closes when no request is under way or on its way; where there is one, after it.
  virtual void CloseIfIdle() = 0;

  /// Closes at once. Returns how many requests that broke.
  virtual int Abort() = 0;

 private:
  friend class ServerLoop;
  std::list<std::shared_ptr<Connection>>::iterator place_;  // in the loop's list
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_
