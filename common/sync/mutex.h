#ifndef SLIPWAY_COMMON_SYNC_MUTEX_H_
#define SLIPWAY_COMMON_SYNC_MUTEX_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang's thread-safety attributes (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html); the
// `clang` preset checks them. absl::Mutex is not used: Debian's build of it is not instrumented,
// and ThreadSanitizer then reports races in correct code.
#if defined(__clang__)
#define SLIPWAY_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define SLIPWAY_THREAD_ATTRIBUTE(x)
#endif

// Abseil's headers define the first two, to the same effect, and not the others.
#ifndef GUARDED_BY
#define GUARDED_BY(x) SLIPWAY_THREAD_ATTRIBUTE(guarded_by(x))
#define PT_GUARDED_BY(x) SLIPWAY_THREAD_ATTRIBUTE(pt_guarded_by(x))
#endif
#ifndef REQUIRES
#define REQUIRES(...) SLIPWAY_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SLIPWAY_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#endif

namespace slipway {

/// A mutex that Clang's analysis knows. Take it with MutexLock.
class SLIPWAY_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() SLIPWAY_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  bool TryLock() SLIPWAY_THREAD_ATTRIBUTE(try_acquire_capability(true)) {
    return mutex_.try_lock();
  }
  void Unlock() SLIPWAY_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

/// Holds a Mutex for a scope.
class SLIPWAY_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) SLIPWAY_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() SLIPWAY_THREAD_ATTRIBUTE(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// A condition variable for Mutex. Wakes may be spurious: wait in a loop on the condition.
class CondVar {
 public:
  /// Releases `mutex`, waits for a wake, takes it again.
  void Wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  /// As Wait, for at most `timeout`. False when the time ran out.
  bool WaitFor(Mutex& mutex, std::chrono::nanoseconds timeout) REQUIRES(mutex) {
    // The library adds it to a clock's time, and "for ever" would overflow into the past.
    constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365);
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_for(lock, std::min(timeout, kLongest));
    lock.release();
    return status == std::cv_status::no_timeout;
  }

  void Signal() { condition_.notify_one(); }
  void SignalAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_MUTEX_H_
