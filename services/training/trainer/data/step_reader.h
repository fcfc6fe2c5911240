#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_STEP_READER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_STEP_READER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "common/sync/mutex.h"
#include "services/training/trainer/data/examples.h"
#include "services/training/trainer/data/sampler.h"

namespace slipway::trainer {

/// The batches of each step: rows in the sampler's order, and of each batch this process's part.
/// Where gathering takes time (rows are changed, or so many that they may lie on disk), a thread
/// gathers the next step while one is taken; which rows come, and how they are changed, follows
/// from the step alone. One thread calls it.
class StepReader {
 public:
  struct Options {
    int64_t batch_size = 1;
    int64_t step_rows = 1;  // of all processes
    int rank = 0;
    int processes = 1;
  };
  struct Step {
    std::vector<Batch> batches;
    int64_t rows = 0;  // of all processes; fewer at the end of an epoch
  };

  /// `examples` outlives the reader. `sampler` hands out `step_rows` at a time. `change` may be
  /// empty.
  StepReader(const Examples& examples, Sampler sampler, BatchChange change, Options options);
  ~StepReader();

  int64_t steps_per_epoch() const { return sampler_.steps_per_epoch(); }

  /// Of `step`, from 0 over all epochs; valid until the next call.
  const Step& At(int64_t step);

 private:
  void Gather(int64_t step, Step& out);
  void Work();

  const Examples& examples_;
  Sampler sampler_;  // At is for whoever gathers
  const BatchChange change_;
  const Options options_;
  std::array<Step, 2> steps_;  // one is handed out, one is gathered

  Mutex mutex_;
  CondVar changed_;
  std::optional<int64_t> asked_ GUARDED_BY(mutex_);  // the step that is gathered, or is there
  bool ready_ GUARDED_BY(mutex_) = false;            // it is there
  size_t spare_ GUARDED_BY(mutex_) = 0;              // its place
  bool ending_ GUARDED_BY(mutex_) = false;
  std::optional<std::jthread> thread_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_STEP_READER_H_
