#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TABLE_READER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TABLE_READER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"

namespace slipway::trainer {

/// A table that is read row by row, whatever its size. One thread.
class TableReader {
 public:
  static constexpr size_t kMaxColumns = 100'000;

  virtual ~TableReader() = default;

  /// What its columns are called: none is empty, none is there twice.
  virtual const std::vector<std::string>& columns() const = 0;

  /// Reads the next row: its cells as texts, one for each column, empty where there is none. They
  /// stay until the next call. False at the end. Errors: kInvalidArgument that begins with the
  /// file's name and tells the place: "table.csv, line 17: has 5 cells, the header has 6".
  virtual absl::StatusOr<bool> Next(std::vector<std::string_view>& cells) = 0;

  /// Where the row is that was read last: "line 17".
  virtual std::string place() const = 0;
};

/// Opens a file of a `format` (csv, jsonl, parquet), which people call `name`. Errors:
/// kInvalidArgument, as Next.
absl::StatusOr<std::unique_ptr<TableReader>> OpenTableFile(std::string_view format,
                                                           const std::string& path,
                                                           std::string_view name);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TABLE_READER_H_
