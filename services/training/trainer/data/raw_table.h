#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/mask.h"
#include "services/training/spec/data_spec.h"
#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// An input column of a table, and the rule for it.
struct InputColumn {
  std::string name;
  /// Of spec.data.columns; the default instance where none speaks of the column.
  training::v1::ColumnSpec rule;
  /// The rule's path in the spec.
  std::string field;
  std::optional<nn::Mask> mask;

  bool is_text() const { return training::IsText(rule); }
};

/// How the columns of a table become inputs and targets; the same for each part.
struct TableLayout {
  std::vector<InputColumn> columns;  // in the train part's order
  std::vector<std::string> labels;   // of the classes, by index
};

/// Two rows have the same only if all their inputs and targets are alike.
using RowKey = std::array<uint64_t, 2>;

/// A table with its cells read and masked, and nothing fitted. What is as large as the table is in
/// files (SpillFile); of a row no more than some numbers is in memory. A value.
struct RawTable {
  int64_t count = 0;
  size_t number_columns = 0;
  size_t text_columns = 0;
  std::vector<std::string> number_names;
  std::vector<std::string> text_names;
  /// One of the two has `count` elements.
  std::vector<int64_t> classes;
  std::vector<float> values;
  /// The cells of spec.data.split.column; empty where there is no such column.
  std::vector<std::string_view> split_cells;
  std::vector<RowKey> keys;

  /// NaN where it is missing.
  float NumberOf(int64_t row, size_t column) const {
    const auto at = static_cast<size_t>(row);
    const size_t place = (at / block_rows * number_columns + column) * block_rows + at % block_rows;
    float number;
    std::memcpy(&number, numbers.data() + place * sizeof(float), sizeof(float));
    return number;
  }
  /// Empty where it is missing.
  std::string_view TextOf(int64_t row, size_t column) const {
    const size_t cell = static_cast<size_t>(row) * text_columns + column;
    const uint64_t begin = cell == 0 ? 0 : TextEnd(cell - 1);
    return texts.view().substr(begin, TextEnd(cell) - begin);
  }
  /// Both of a whole row; as long as the columns are many.
  void CopyRow(int64_t row, std::span<float> row_numbers,
               std::span<std::string_view> row_texts) const {
    for (size_t i = 0; i < number_columns; ++i) row_numbers[i] = NumberOf(row, i);
    for (size_t i = 0; i < text_columns; ++i) row_texts[i] = TextOf(row, i);
  }

  /// In blocks of so many rows, column by column, since a column is what is mostly read.
  size_t block_rows = 1;
  Buffer numbers;
  /// Row by row, one after another, and where each ends.
  Buffer texts;
  Buffer text_ends;
  /// What split_cells looks at.
  Buffer split_texts;

 private:
  uint64_t TextEnd(size_t cell) const {
    uint64_t end;
    std::memcpy(&end, text_ends.data() + cell * sizeof(end), sizeof(end));
    return end;
  }
};

/// The table that `part` names; `field` is the part's path in the spec. Rows that a rule drops for
/// a missing value, and with drop_duplicates those that repeat an earlier one, are not in it. The
/// first table that is read fills an empty `layout`: its columns, and where the targets are classes
/// and the spec names none, their distinct values, sorted (by number where all are numbers). Later
/// ones must fit it. Errors: InvalidField that names file, place and column, and shows no cell that
/// is masked.
absl::StatusOr<RawTable> ReadTable(const training::v1::DataSpec& spec,
                                   const training::v1::Part& part, const std::string& field,
                                   training::TargetKind targets, FileFetcher fetch,
                                   const OpenDataOptions& options, TableLayout& layout);

/// Some rows as callers send them: nn::Table's raw tensors. (What a mask leaves of numbers and
/// dates stays the same when a worker masks it again.)
absl::StatusOr<std::vector<Tensor>> ToTensors(const RawTable& table, std::span<const int64_t> rows);

/// What other programs write for a number that is not there: "", NA, NaN, null, ...
bool IsMissingNumber(std::string_view cell);

/// A finite number that a float holds.
std::optional<float> ParseNumber(std::string_view text);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RAW_TABLE_H_
