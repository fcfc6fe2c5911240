#ifndef SLIPWAY_SERVICES_TRAINING_PLAN_PROPOSE_H_
#define SLIPWAY_SERVICES_TRAINING_PLAN_PROPOSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "services/training/plan/sample.h"
#include "slipway/training/v1/training.pb.h"

// What to train on a dataset of which a person has said little. Rules of thumb, each with its
// reason; what the person did say stays.
namespace slipway::training {

struct Proposal {
  v1::JobSpec spec;
  std::vector<std::string> reasons;
};

/// What is known of the rows that a spec's data gives.
struct DataFacts {
  int64_t train_rows = 0;
  /// Of the network; dimension 0 is the batch.
  TensorSpec input;
  /// Classes, or 1.
  int64_t outputs = 0;
  /// Of real targets: the root of the mean square.
  double target_size = 0;
};

/// Fills in the data, the loss and the model's name, each where it is absent: which files are rows
/// and which targets, which column is to be predicted, what each other column is. Errors:
/// InvalidField where files or columns tell too little.
absl::Status ProposeData(const registry::v1::Dataset& dataset, Sample& sample, Proposal& proposal);

/// Architectures that suit such data, with all else that the spec lacks: the one to take where
/// there is time for it, then quicker ones. At least one.
std::vector<Proposal> ProposeTraining(const Proposal& with_data, const DataFacts& facts);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_PLAN_PROPOSE_H_
