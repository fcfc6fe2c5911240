#ifndef SLIPWAY_SERVICES_CONTROLLER_ROUTE_BOARD_H_
#define SLIPWAY_SERVICES_CONTROLLER_ROUTE_BOARD_H_

#include <memory>

#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "slipway/controller/v1/controller.pb.h"

namespace slipway::controller {

/// The newest route table, and a place to wait for the next. Any thread.
class RouteBoard {
 public:
  /// Generations start above `first_generation`, so that a table of this process is newer than
  /// any of the one before.
  explicit RouteBoard(int64_t first_generation) : generation_(first_generation) {}

  /// Makes `table` the newest, with the next generation. A table equal to the newest changes
  /// nothing.
  void Publish(v1::RouteTable table);

  /// The newest table as soon as its generation is above `seen`; null when `timeout` is over
  /// first, or Close() was called. The first is there only once something was published: a
  /// watcher is never told that there is nothing before the controller has looked.
  std::shared_ptr<const v1::RouteTable> WaitForNewer(int64_t seen, absl::Duration timeout);

  /// Ends all waiting, now and later.
  void Close();
  bool closed() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mutex_) = false;
  int64_t generation_ GUARDED_BY(mutex_);
  std::shared_ptr<const v1::RouteTable> table_ GUARDED_BY(mutex_);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_ROUTE_BOARD_H_
