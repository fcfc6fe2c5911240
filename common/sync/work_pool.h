#ifndef SLIPWAY_COMMON_SYNC_WORK_POOL_H_
#define SLIPWAY_COMMON_SYNC_WORK_POOL_H_

#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "common/sync/mutex.h"

namespace slipway {

/// A few threads for work that may block or compute for long, so that the threads that serve
/// connections never do. Any thread may submit.
class WorkPool {
 public:
  using Work = absl::AnyInvocable<void()>;

  WorkPool(int threads, size_t max_waiting);
  /// Finishes what was submitted.
  ~WorkPool();

  /// False when too much waits already: `work` is dropped.
  bool Submit(Work work);

 private:
  void Run();

  const size_t max_waiting_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Work> waiting_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_WORK_POOL_H_
