#ifndef SLIPWAY_COMMON_HTTP_IO_IO_LOOP_H_
#define SLIPWAY_COMMON_HTTP_IO_IO_LOOP_H_

#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "common/sync/mutex.h"

namespace slipway::http {

/// One I/O thread with its event loop. Shared by those who live on it, since an exchange may
/// outlive its server; Stop() ends it in any case.
class IoLoop {
 public:
  IoLoop();

  void Start();

  /// Runs what was posted, ends the thread, forgets what waits. Not on an I/O thread.
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

  /// The loop whose thread this is, or null.
  static IoLoop* Current();

  boost::asio::io_context& context() { return context_; }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;

  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;

  std::jthread thread_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_IO_LOOP_H_
