#ifndef SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_
#define SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_

#include <cstdint>
#include <list>
#include <memory>

namespace slipway::http {

/// A connection as its I/O loop sees it, whatever protocol is spoken on it. The loop owns it from
/// IoLoop::Add to IoLoop::Remove, and calls it on its thread only.
class Connection {
 public:
  virtual ~Connection() = default;

  /// Begins to read.
  virtual void Start() = 0;

  /// Ends what has been waited for too long. Called every now and then; `now` is
  /// ServerCore::Now().
  virtual void CheckDeadlines(int64_t now) = 0;

  /// Closes when no request is under way or on its way.
  virtual void CloseIfIdle() = 0;

  /// Closes at once. Returns how many requests that broke.
  virtual int Abort() = 0;

 private:
  friend class IoLoop;
  std::list<std::shared_ptr<Connection>>::iterator place_;  // in the loop's list
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_CONNECTION_H_
