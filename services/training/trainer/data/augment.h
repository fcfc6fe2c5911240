#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_AUGMENT_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_AUGMENT_H_

#include <cstdint>

#include "common/status/status.h"
#include "services/training/trainer/data/examples.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::trainer {

/// Changes pictures that are trained on a little, each time another way. How follows from the seed
/// and the picture's place in the run alone, so that a run that goes on changes them as one that
/// was never stopped. Immutable.
class Augmenter {
 public:
  /// For pictures as `input` says. Errors: InvalidField (there are no pictures of bytes, or they
  /// are too small for what `spec` asks).
  static absl::StatusOr<Augmenter> Make(const training::v1::AugmentSpec& spec,
                                        const TensorSpec& input, uint64_t seed);

  /// `place` counts all pictures that the run has taken before the first of `batch`.
  void Apply(int64_t place, Batch& batch) const;

 private:
  Augmenter(const training::v1::AugmentSpec& spec, uint64_t seed) : spec_(spec), seed_(seed) {}
  void Change(uint8_t* picture, int64_t place) const;

  training::v1::AugmentSpec spec_;
  uint64_t seed_;
  size_t channels_ = 1;
  size_t height_ = 0;
  size_t width_ = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_AUGMENT_H_
