#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_EXAMPLES_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_EXAMPLES_H_

#include <string>
#include <vector>

#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// How the columns of a table become inputs and targets; the same for each part.
struct CsvLayout {
  std::vector<std::string> columns;  // the inputs, in the table's order
  std::vector<std::string> labels;   // of the classes, by index
};

/// The rows of `part`, a table. All columns but the target become one FP32 tensor "features"
/// [-1, columns]. `field` is the part's path in the spec. The first table that is read fills an
/// empty `layout`: its columns, and where the targets are classes and the spec names none, their
/// distinct values, sorted (by number where all are numbers). Later ones must fit it.
absl::StatusOr<Examples> ReadCsvExamples(const training::v1::Part& part, const std::string& field,
                                         const std::string& target_column,
                                         training::TargetKind targets, FileFetcher fetch,
                                         CsvLayout& layout);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_EXAMPLES_H_
