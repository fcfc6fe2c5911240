#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
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

/// The first row groups of a Parquet file, as a file of their own.
struct ParquetBeginning {
  std::string content;
  int64_t rows = 0;
  /// Of the whole file.
  int64_t all_rows = 0;
};

/// As many groups as end within the file's first `most` bytes. `read` gives `bytes` bytes of the
/// file, which has `size`, from `offset` on. Errors: kInvalidArgument (no Parquet file, or its
/// first group ends later); those of `read`.
absl::StatusOr<ParquetBeginning> ReadParquetBeginning(
    std::string_view name, int64_t size, int64_t most,
    absl::FunctionRef<absl::StatusOr<std::string>(int64_t offset, int64_t bytes)> read);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_PARQUET_H_
