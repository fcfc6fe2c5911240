#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_

#include <cstdint>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/safetensors.h"
#include "common/tensor/tensor.h"
#include "services/training/trainer/data/examples.h"

namespace slipway::trainer {

/// What one training step tells.
struct StepResult {
  /// Mean over the batch. Where it is not finite, nothing was changed.
  double loss = 0;
  /// Rows whose likeliest class is the target; 0 for real targets.
  int64_t right = 0;
};

/// What a model says about rows.
struct Judgement {
  double loss = 0;            // mean over the batch
  std::vector<float> scores;  // [size, outputs], what the loss judges
};

/// The part of a training that computes: network, loss and optimiser. The loop around it (order,
/// checkpoints, reports) knows no torch. One thread.
/// Errors of all: kResourceExhausted (memory), kInternal.
class Learner {
 public:
  virtual ~Learner() = default;

  /// One step of the optimiser. `step` counts from 1.
  virtual absl::StatusOr<StepResult> Train(const Batch& batch, int64_t step, double rate) = 0;

  /// Without training: dropout off, batch statistics as learnt.
  virtual absl::StatusOr<Judgement> Judge(const Batch& batch) = 0;

  /// The weights, as a servable version has them; copies.
  virtual absl::StatusOr<std::vector<Tensor>> SaveModel() = 0;

  /// All that the next step depends on: weights, statistics, the optimiser's state, the state of
  /// random numbers; copies. A learner that loads it goes on bit for bit (same machine kind, same
  /// threads).
  virtual absl::StatusOr<std::vector<Tensor>> SaveState() = 0;

  /// Errors: kInvalidArgument where the file is not what SaveState made of such a learner.
  virtual absl::Status LoadState(const SafetensorsFile& file) = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_LEARNER_H_
