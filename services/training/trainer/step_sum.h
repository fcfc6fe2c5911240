#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_STEP_SUM_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_STEP_SUM_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "common/nn/torch_network.h"
#include "services/training/trainer/gang.h"
#include "services/training/trainer/learner.h"

namespace slipway::trainer {

/// Adds up what the processes of a gang computed in a step: gradients, loss, and the statistics of
/// batch normalisation, which become the mean over the rows' processes. Gradients go in buckets,
/// each as soon as backward() has completed it (https://arxiv.org/abs/2006.15704). One thread; at
/// most one for a network.
class StepSum {
 public:
  /// Both outlive this.
  StepSum(Gang& gang, nn::TorchNetwork& network);

  /// Call it before the last backward() of the step, or in place of it where this process has no
  /// rows. `own` is of this process's rows, which are `share` of the step's.
  void Start(const StepResult& own, double share);
  /// Call it afterwards: the network has the sums; returns the whole step's result.
  StepResult Finish();

 private:
  // Elements of the flat gradients.
  struct Bucket {
    int64_t first = 0;
    int64_t end = 0;
    int parameters = 0;
    int waits_for = 0;  // of these, in this step
  };
  void AddBucket(int64_t first, int64_t end);
  void Complete(size_t bucket);
  void StartThose(bool complete_only);

  Gang& gang_;
  nn::TorchNetwork& network_;
  std::vector<Bucket> buckets_;  // in the order in which they are summed
  size_t started_ = 0;           // so many of them
  bool last_pass_ = false;
  std::vector<at::Tensor> statistics_;
  at::Tensor head_;  // loss, right, statistics
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_STEP_SUM_H_
