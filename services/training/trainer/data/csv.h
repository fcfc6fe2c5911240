#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_

#include <memory>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/training/trainer/data/table_reader.h"

namespace slipway::trainer {

/// A CSV file (RFC 4180, UTF-8: quoted cells, CRLF or LF, the first line names the columns), packed
/// by gzip or not. Errors: kInvalidArgument that tells the line, which Next gives too where there
/// is no row.
absl::StatusOr<std::unique_ptr<TableReader>> OpenCsv(const std::string& path,
                                                     std::string_view name);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CSV_H_
