#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RANDOM_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slipway::trainer {

/// Random numbers that are the same on every machine and with every standard library, which
/// std::shuffle does not promise (SplitMix64, https://doi.org/10.1145/2714064.2660195).
class Random {
 public:
  /// `stream` keeps uses of one seed apart: the split, the order of epoch 1, of epoch 2, ...
  Random(uint64_t seed, uint64_t stream);

  uint64_t Next();
  /// Evenly from [0, bound); bound > 0.
  uint64_t Below(uint64_t bound);

 private:
  uint64_t state_;
};

/// Puts `rows` into random order.
void Shuffle(std::vector<int64_t>& rows, Random random);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RANDOM_H_
