#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_JSONL_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_JSONL_H_

#include <memory>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/training/trainer/data/table_reader.h"

namespace slipway::trainer {

/// A file of JSON objects, one a line (RFC 8259, UTF-8), packed by gzip or not; blank lines do not
/// count. The columns are all keys that occur, in the order in which they do. Cells are texts,
/// numbers as they are written, true and false; null is an empty cell, and so is a key that an
/// object has not. Opening reads the file once. Errors: kInvalidArgument that tells the line.
absl::StatusOr<std::unique_ptr<TableReader>> OpenJsonl(const std::string& path,
                                                       std::string_view name);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_JSONL_H_
