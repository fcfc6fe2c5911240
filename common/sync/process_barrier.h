#ifndef SLIPWAY_COMMON_SYNC_PROCESS_BARRIER_H_
#define SLIPWAY_COMMON_SYNC_PROCESS_BARRIER_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace slipway {

/// Where processes that share memory wait for each other. Who is awake is awaited for some
/// microseconds without sleeping: a barrier of processes with a core each costs a microsecond or
/// two. One thread in each process.
class ProcessBarrier {
 public:
  /// Of the memory.
  static constexpr size_t Bytes(int processes) { return static_cast<size_t>(processes) * 64; }

  /// `memory` is shared, begins with zeros, lies at a multiple of 64 and outlives this.
  ProcessBarrier(void* memory, int rank, int processes);

  /// Returns when all have called it as often as this one. False: one was not there in time, and
  /// the barrier is of no use any more.
  [[nodiscard]] bool Wait(absl::Duration patience);

 private:
  struct Turns;
  Turns* const turns_;  // how often each has called
  const int rank_;
  const int processes_;
  uint32_t turn_ = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SYNC_PROCESS_BARRIER_H_
