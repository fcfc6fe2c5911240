#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "services/training/trainer/data/csv.h"
#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// An input column of a table, and the rule for it.
struct InputColumn {
  std::string name;
  /// Of spec.data.columns; the default instance where none speaks of the column.
  training::v1::ColumnSpec rule;
  /// The rule's path in the spec.
  std::string field;

  /// Its cells are texts: categories and dates.
  bool is_text() const { return rule.kind() == "category" || rule.kind() == "date"; }
};

/// How the columns of a table become inputs and targets; the same for each part.
struct TableLayout {
  std::vector<InputColumn> columns;  // in the train part's order
  std::vector<std::string> labels;   // of the classes, by index
};

/// A table with its cells read, and nothing fitted. A value.
struct RawTable {
  int64_t count = 0;
  /// Row by row the columns of numbers, NaN where one is missing; then those of texts.
  std::vector<float> numbers;
  std::vector<std::string_view> texts;
  size_t number_columns = 0;
  size_t text_columns = 0;
  std::vector<std::string> number_names;
  std::vector<std::string> text_names;
  /// One of the two has `count` elements.
  std::vector<int64_t> classes;
  std::vector<float> values;
  /// The cells of spec.data.split.column; empty where there is no such column.
  std::vector<std::string_view> split_cells;
  /// For each row a text that two rows share only if all their inputs and targets are alike.
  std::vector<std::string> keys;
  /// Where each row begins in the file.
  std::vector<int64_t> lines;
  /// What the views look at.
  std::shared_ptr<const CsvTable> cells;

  std::span<const float> NumbersOf(int64_t row) const {
    return std::span(numbers).subspan(static_cast<size_t>(row) * number_columns, number_columns);
  }
  std::span<const std::string_view> TextsOf(int64_t row) const {
    return std::span(texts).subspan(static_cast<size_t>(row) * text_columns, text_columns);
  }
};

/// The table that `part` names; `field` is the part's path in the spec. Rows that a rule drops for
/// a missing value, and with drop_duplicates those that repeat an earlier one, are not in it. The
/// first table that is read fills an empty `layout`: its columns, and where the targets are classes
/// and the spec names none, their distinct values, sorted (by number where all are numbers). Later
/// ones must fit it. Errors: InvalidField that names file, line and column.
absl::StatusOr<RawTable> ReadTable(const training::v1::DataSpec& spec,
                                   const training::v1::Part& part, const std::string& field,
                                   training::TargetKind targets, FileFetcher fetch,
                                   TableLayout& layout);

/// Some rows as callers send them: nn::Table's raw tensors.
absl::StatusOr<std::vector<Tensor>> ToTensors(const RawTable& table, std::span<const int64_t> rows);

/// A finite number that a float holds.
std::optional<float> ParseNumber(std::string_view text);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_
