#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_BEST_EPOCHS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_BEST_EPOCHS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slipway::trainer {

/// The steps at which the best epochs ended, the best first, and their metric. A value: a part of
/// each checkpoint, so that a run that goes on knows the same ones.
struct BestEpochs {
  std::vector<int64_t> steps;
  std::vector<double> metrics;

  template <class V>
  void Describe(V& v) {
    v.Ints("steps", steps, {.min = 0});
    v.Reals("metrics", metrics);
  }

  /// Takes an epoch in, where it is one of the best `most`. Of equal ones the earlier is better;
  /// one whose metric is no finite number is not taken.
  void Add(int64_t step, double metric, bool higher_is_better, size_t most);
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_BEST_EPOCHS_H_
