#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_WRITER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "common/sync/mutex.h"
#include "services/training/trainer/checkpoint_store.h"

namespace slipway::trainer {

/// Writes checkpoints beside the training: the loop hands over copies of the state and goes on,
/// one thread here hashes and syncs them. At most one waits while another is written.
/// Called by one thread. The destructor finishes what was handed over.
class CheckpointWriter {
 public:
  /// `store` outlives the writer, and is used by it alone meanwhile.
  explicit CheckpointWriter(CheckpointStore& store);
  ~CheckpointWriter();

  /// Hands one over, as CheckpointStore::Write takes it; waits while another one waits already.
  void Submit(int64_t step, std::vector<Tensor> state, CheckpointStore::Metadata metadata,
              std::vector<int64_t> best = {});

  /// What became of those that are done, each told once.
  std::vector<absl::StatusOr<CheckpointStore::Written>> TakeResults();

  /// Returns when all that was handed over is done.
  void Flush();

 private:
  struct Request {
    int64_t step = 0;
    std::vector<Tensor> state;
    CheckpointStore::Metadata metadata;
    std::vector<int64_t> best;
  };
  void Work();

  CheckpointStore& store_;
  Mutex mutex_;
  CondVar changed_;
  std::optional<Request> waiting_ GUARDED_BY(mutex_);
  bool writing_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;
  std::vector<absl::StatusOr<CheckpointStore::Written>> results_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_WRITER_H_
