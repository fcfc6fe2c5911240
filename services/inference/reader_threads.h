#ifndef SLIPWAY_SERVICES_INFERENCE_READER_THREADS_H_
#define SLIPWAY_SERVICES_INFERENCE_READER_THREADS_H_

#include <sys/types.h>

#include <vector>

#include "common/sync/mutex.h"

namespace slipway::worker {

/// The threads that read calls, and whom the kernel lets go before them where cores are few. They
/// give way to those that run models: what comes while a batch runs is read in one go after it
/// (batching_bench, 64 callers: 86 us of CPU a picture, 89 without). A load they do not wait for,
/// which would hold a call up by whole time slices. No promises: where the kernel refuses, calls
/// are slower. Any thread.
class ReaderThreads {
 public:
  /// The calling thread reads calls, from now on until the process ends. Quick after the first
  /// time; a thread can be one of one object only.
  void Join();

  /// While one lives, readers are on equal terms with all others.
  class GoFirst {
   public:
    explicit GoFirst(ReaderThreads& readers) : readers_(readers) { readers_.Count(+1); }
    ~GoFirst() { readers_.Count(-1); }
    GoFirst(const GoFirst&) = delete;
    GoFirst& operator=(const GoFirst&) = delete;

   private:
    ReaderThreads& readers_;
  };

 private:
  void Count(int change);

  Mutex mutex_;
  std::vector<pid_t> threads_ GUARDED_BY(mutex_);
  int going_first_ GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_READER_THREADS_H_
