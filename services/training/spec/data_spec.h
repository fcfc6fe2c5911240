#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_DATA_SPEC_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_DATA_SPEC_H_

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "common/status/status.h"
#include "services/training/spec/problems.h"
#include "services/training/spec/target_kind.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// Whether the format has columns.
bool IsTable(const v1::DataSpec& data);

/// Visits the files (and folders) that the spec names, each with its field, until one is refused.
absl::Status ForEachFile(
    const v1::DataSpec& data,
    absl::FunctionRef<absl::Status(std::string_view field, const std::string& path)> visit);

/// Adds what is wrong with `job.data()`, as far as it can be told without the data.
void CheckData(const v1::JobSpec& job, Problems& problems);

/// Whether a column's cells are texts and not numbers.
bool IsText(const v1::ColumnSpec& column);

/// Whether a tokenizer makes the ids of tokens that the network takes.
bool HasTokens(const v1::DataSpec& data);

/// Adds what does not go with the targets of the spec's loss.
void CheckDataFits(const v1::DataSpec& data, TargetKind targets, Problems& problems);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_DATA_SPEC_H_
