#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_FIT_TABLE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_FIT_TABLE_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/nn/table.h"
#include "common/status/status.h"
#include "services/training/trainer/data/raw_table.h"

namespace slipway::trainer {

/// Fits the rules of `layout` on `rows` of `table`, the training rows, and drops from `rows` those
/// that a rule calls outliers. `standardize` is what happens to numbers whose rule names no scale.
/// Errors: InvalidField (a column without a value to fit on, one with too many categories, rules
/// that leave no row).
absl::StatusOr<nn::Table> FitTable(const TableLayout& layout, const RawTable& table,
                                   bool standardize, std::vector<int64_t>& rows);

/// Fits a tokenizer on `texts`, those of the training rows. The column's name is left empty.
nn::TextColumn FitTextColumn(const training::v1::TokenizerSpec& rule,
                             std::span<const std::string_view> texts, bool has_mask = false);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_FIT_TABLE_H_
