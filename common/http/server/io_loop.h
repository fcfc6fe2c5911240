#ifndef SLIPWAY_COMMON_HTTP_SERVER_IO_LOOP_H_
#define SLIPWAY_COMMON_HTTP_SERVER_IO_LOOP_H_

#include <chrono>
#include <list>
#include <memory>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/http/server/connection.h"
#include "common/http/server/server_core.h"
#include "common/sync/mutex.h"

namespace slipway::http {

/// One I/O thread with its event loop and its connections. Shared by them, since an exchange may
/// outlive the server; Stop() ends it in any case.
class IoLoop {
 public:
  explicit IoLoop(std::shared_ptr<ServerCore> core);
  ~IoLoop();

  void Start();

  /// Closes all connections, runs what was posted, ends the thread. Not on an I/O thread.
  void Stop();

  /// Runs `call` on the loop's thread, later; after Stop() here and now. Any thread.
  template <typename Call>
  void Post(Call call) {
    {
      MutexLock lock(mutex_);
      if (!stopped_) {
        boost::asio::post(context_, std::move(call));
        return;
      }
    }
    call();
  }

  /// True on any I/O thread of any server.
  static bool OnIoThread();

  boost::asio::io_context& context() { return context_; }
  ServerCore& core() { return *core_; }

  // On the loop's thread only.
  void Add(const std::shared_ptr<Connection>& connection);
  void Remove(Connection& connection);
  void AnnounceEnd();
  void CloseIdle();
  int Abort();

 private:
  void ArmSweep();
  void Sweep();

  template <typename Visit>
  void ForEach(Visit visit);

  const std::shared_ptr<ServerCore> core_;
  const std::chrono::nanoseconds sweep_period_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer sweep_timer_;
  bool sweeping_ = false;  // the timer is armed
  std::list<std::shared_ptr<Connection>> connections_;

  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;

  std::jthread thread_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_IO_LOOP_H_
