#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"

namespace slipway::trainer {

/// A table read from CSV (RFC 4180, UTF-8: quoted cells, CRLF or LF, the first line names the
/// columns).
struct CsvTable {
  std::vector<std::string> columns;
  /// Row by row, each as long as `columns`; views into `text`.
  std::vector<std::vector<std::string_view>> rows;
  /// Where each row begins, for messages: lines count from 1, quoted cells may span several.
  std::vector<int64_t> lines;
  /// What the views look at: the file, with quoted cells unquoted in place.
  std::string text;
};

/// Reads a file, packed by gzip or not. Errors: kInvalidArgument that begins with `name` and
/// tells the line ("table.csv, line 17: has 5 cells, the header has 6"), TooLarge.
absl::StatusOr<std::unique_ptr<const CsvTable>> ReadCsv(const std::string& path,
                                                        std::string_view name);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_
