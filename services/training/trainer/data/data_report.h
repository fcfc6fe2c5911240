#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_DATA_REPORT_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_DATA_REPORT_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/training/trainer/data/examples.h"

namespace slipway::trainer {

/// What a training works on, for people.
struct DataReport {
  /// Rows of each part; classes, or the range of real targets, of each part; and of tables every
  /// column: missing values, range, mean and deviation in the training rows, how many values texts
  /// have.
  nlohmann::ordered_json facts;
  /// What may be wrong with it: a column that is the target in disguise, one that never changes,
  /// rows that training and test share, a class that a part lacks.
  std::vector<std::string> warnings;
};

DataReport ReportData(const TrainingData& data);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_DATA_REPORT_H_
