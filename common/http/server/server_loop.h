#ifndef SLIPWAY_COMMON_HTTP_SERVER_SERVER_LOOP_H_
#define SLIPWAY_COMMON_HTTP_SERVER_SERVER_LOOP_H_

#include <chrono>
#include <list>
#include <memory>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "common/http/io/io_loop.h"
#include "common/http/server/connection.h"
#include "common/http/server/server_core.h"

namespace slipway::http {

/// A server's connections on one I/O loop. Shared by them, since an exchange may outlive the
/// server.
class ServerLoop : public std::enable_shared_from_this<ServerLoop> {
 public:
  ServerLoop(std::shared_ptr<ServerCore> core, std::shared_ptr<IoLoop> io);

  /// See IoLoop. Any thread.
  template <typename Call>
  void Post(Call call) {
    io_->Post(std::move(call));
  }

  boost::asio::io_context& context() { return io_->context(); }
  ServerCore& core() { return *core_; }

  // On the loop's thread only.
  void Add(const std::shared_ptr<Connection>& connection);
  void Remove(Connection& connection);
  void AnnounceEnd();
  void CloseIdle();
  int Abort();
  /// The last call: closes all connections and waits for nothing any more.
  void Stop();

 private:
  void ArmSweep();
  void Sweep();

  template <typename Visit>
  void ForEach(Visit visit);

  const std::shared_ptr<ServerCore> core_;
  const std::shared_ptr<IoLoop> io_;
  const std::chrono::nanoseconds sweep_period_;
  boost::asio::steady_timer sweep_timer_;
  bool sweeping_ = false;  // the timer is armed
  std::list<std::shared_ptr<Connection>> connections_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_SERVER_LOOP_H_
