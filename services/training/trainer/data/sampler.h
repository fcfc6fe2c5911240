#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SAMPLER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

namespace slipway::trainer {

/// In which order rows are trained on. The order of an epoch follows from seed and epoch alone:
/// a run that goes on within an epoch needs nothing but its step. One thread.
class Sampler {
 public:
  /// `rows` is not empty.
  Sampler(std::vector<int64_t> rows, int64_t batch_size, uint64_t seed);

  /// Batches of an epoch. The last one may be smaller; a last row that would be alone is left
  /// out, since batch statistics of one row are none.
  int64_t steps_per_epoch() const { return steps_; }

  /// Rows of the batch that is taken at `step` (from 0, over all epochs).
  struct Slice {
    const std::vector<int64_t>* rows;
    int64_t first;
    int64_t size;
  };
  Slice At(int64_t step);

 private:
  const std::vector<int64_t> rows_;
  const int64_t batch_size_;
  const uint64_t seed_;
  int64_t steps_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;  // of epoch_
};

/// The part of a batch of `size` rows that process `rank` of `processes` takes. Each part has two
/// rows or more (see Sampler), or none: small batches leave the last processes without.
struct Part {
  int64_t first = 0;
  int64_t size = 0;
};
Part PartOf(int64_t size, int rank, int processes);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SAMPLER_H_
