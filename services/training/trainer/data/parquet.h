#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_

#include <memory>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/training/trainer/data/table_reader.h"

namespace slipway::trainer {

/// A Parquet file, read by Apache Arrow some thousand rows at a time. Cells are texts (plain or by
/// dictionary), numbers as short as they are exact, true and false, dates and times as ISO 8601
/// writes them, with Z where the column has a time zone; null is an empty cell. Errors:
/// kInvalidArgument: a column of another type, by its name, or a damaged file, where it can be told
/// with the row group ("table.parquet, row group 2: ...", from 1).
absl::StatusOr<std::unique_ptr<TableReader>> OpenParquet(const std::string& path,
                                                         std::string_view name);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_
