#ifndef SLIPWAY_COMMON_SYNC_REPEATING_THREAD_H_
#define SLIPWAY_COMMON_SYNC_REPEATING_THREAD_H_

#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"

namespace slipway {

/// Does some work again and again on a thread of its own, from Start() until its own end, which
/// waits for the work that is under way. Declared last in its owner, it ends before what the work
/// uses. Any thread.
class RepeatingThread {
 public:
  using Work = absl::AnyInvocable<void()>;
  enum class First { kAtOnce, kAfterInterval };

  RepeatingThread() = default;
  ~RepeatingThread();

  /// Once. `interval` lies between the end of one turn and the beginning of the next.
  void Start(absl::Duration interval, First first, Work work);

  /// The next turn begins now, or as soon as the one under way has ended.
  void Wake();

  /// Has its end begun? For work that takes long.
  bool stopping() const;

 private:
  void Run(absl::Duration interval, First first, Work work);

  mutable Mutex mutex_;
  CondVar wake_;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_REPEATING_THREAD_H_
