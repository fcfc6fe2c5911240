#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_SHARED_SUMS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_SHARED_SUMS_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "common/sync/process_barrier.h"

namespace at {
class Tensor;
}

namespace slipway::trainer {

/// Memory that the processes of one machine share, which is gone with the last of them.
/// Errors are thrown (std::system_error).
class SharedMemory {
 public:
  /// Other processes of the same user open it by path() while this one lives.
  static std::unique_ptr<SharedMemory> Make();
  static std::unique_ptr<SharedMemory> Open(const std::string& path);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  std::string path() const;

  /// Where it lies in this process: zeros, until somebody writes.
  std::byte* bytes() { return bytes_; }
  /// So many may be used from now on; call it in each process.
  void Grow(size_t size);

 private:
  explicit SharedMemory(int file);

  const int file_;
  std::byte* bytes_ = nullptr;
  size_t size_ = 0;
};

/// What the processes of a gang say to each other through shared memory: a sum costs as much as to
/// read and write it a few times. All call the same methods in the same order with tensors of the
/// same sizes, on the CPU and contiguous. What a sum gives is bit for bit the same in each: each
/// process adds up its part of the elements, of all processes in their order. One thread.
///
/// Errors are thrown (std::exception): a process is late, memory is short. Of no use any more then.
class SharedSums {
 public:
  SharedSums(std::unique_ptr<SharedMemory> memory, int rank, int processes);

  /// Gives each what the first process has in `tensor`.
  void Share(const at::Tensor& tensor, absl::Duration patience);
  /// Puts the sums over all processes into `tensors`.
  void Sum(std::span<const at::Tensor> tensors, absl::Duration patience);

 private:
  void Wait(absl::Duration patience);

  const std::unique_ptr<SharedMemory> memory_;
  const int rank_;
  const int processes_;
  ProcessBarrier barrier_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_SHARED_SUMS_H_
