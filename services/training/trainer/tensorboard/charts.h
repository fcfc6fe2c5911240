#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_CHARTS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_CHARTS_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "services/training/spec/spec.h"
#include "services/training/trainer/data/examples.h"
#include "services/training/trainer/tensorboard/event_file.h"

namespace slipway::trainer {

/// What TensorBoard shows of one attempt: the network, the spec, some pictures that are trained on,
/// and, as the training goes on, its curves and how the parameters are spread. One thread.
class Charts {
 public:
  /// A file in `folder` for what follows `step`. Errors: StorageFull, kInternal.
  static absl::StatusOr<Charts> Open(const std::string& folder, const training::Spec& spec,
                                     const nn::Network& network, const TrainingData& data,
                                     int64_t step, absl::Time now);

  /// Are histograms of so many parameters worth their time?
  static bool TakesParameters(int64_t count);

  /// Adds a point to each curve ("validation/loss"), and histograms of `parameters`, which may be
  /// none. Errors, after which what was added is lost: StorageFull, kInternal.
  absl::Status Add(const std::map<std::string, double>& curves, std::span<const Tensor> parameters,
                   int64_t step, absl::Time now);

 private:
  explicit Charts(EventFile file) : file_(std::move(file)) {}
  void AddPictures(const TrainingData& data, int64_t step, absl::Time now);

  EventFile file_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_CHARTS_H_
