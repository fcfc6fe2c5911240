#ifndef SLIPWAY_SERVICES_INFERENCE_WATCHED_THREAD_H_
#define SLIPWAY_SERVICES_INFERENCE_WATCHED_THREAD_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

#include "absl/time/time.h"

namespace slipway::worker {

/// A thread that does one thing after the other for callers who do not wait for ever. Work cannot
/// be stopped from outside: what takes too long goes on until the process ends.
class WatchedThread {
 public:
  WatchedThread();
  /// Joins, unless its work took too long: then the thread is left to the process.
  ~WatchedThread();
  WatchedThread(const WatchedThread&) = delete;
  WatchedThread& operator=(const WatchedThread&) = delete;

  /// Has `work` done, which throws nothing, and waits for that at most `limit`. False: it is not
  /// done, all that it refers to must stay, and Run is not called again. One caller at a time.
  bool Run(std::function<void()> work, absl::Duration limit);

 private:
  struct State;

  // The thread's as well, and its last where it goes on without this object.
  const std::shared_ptr<State> state_;
  bool stuck_ = false;
  std::jthread thread_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_WATCHED_THREAD_H_
