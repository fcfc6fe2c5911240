#include "services/training/trainer/data/raw_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "common/nn/column.h"
#include "common/nn/table.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::trainer {
namespace {

using training::v1::ColumnSpec;
using training::v1::DataSpec;

constexpr size_t kMaxClasses = 100'000;
constexpr size_t kMaxShown = 60;
constexpr ptrdiff_t kMaxShownNames = 20;
constexpr char kDrop[] = "drop";

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// What other programs write for a number that is not there.
bool IsMissingNumber(std::string_view cell) {
  constexpr std::string_view kMarks[] = {"", "NA", "N/A", "NaN", "nan", "null", "NULL"};
  return std::find(std::begin(kMarks), std::end(kMarks), cell) != std::end(kMarks);
}

std::vector<std::string> SortedClasses(const std::set<std::string_view>& values) {
  std::vector<std::string> sorted(values.begin(), values.end());
  const bool numbers = std::all_of(sorted.begin(), sorted.end(), [](const std::string& value) {
    return ParseNumber(value).has_value();
  });
  if (numbers) {
    std::stable_sort(sorted.begin(), sorted.end(), [](const std::string& a, const std::string& b) {
      return *ParseNumber(a) < *ParseNumber(b);
    });
  }
  return sorted;
}

std::string Shown(const std::vector<std::string>& names) {
  const ptrdiff_t count = std::min(kMaxShownNames, std::ssize(names));
  return fmt::format("{}", fmt::join(names.begin(), names.begin() + count, ", "));
}

// The rule of each column: the one that names it, or the one for all others.
class Rules {
 public:
  explicit Rules(const DataSpec& spec) : spec_(spec) {
    for (int i = 0; i < spec.columns_size(); ++i) places_[spec.columns(i).name()] = i;
  }

  InputColumn For(const std::string& column) const {
    auto place = places_.find(column);
    if (place == places_.end()) place = places_.find("*");
    if (place == places_.end()) return {column, {}, "spec.data.columns"};
    return {column, spec_.columns(place->second),
            fmt::format("spec.data.columns[{}]", place->second)};
  }
  bool Names(const std::string& column) const { return places_.contains(column); }

  // Each rule is for a column that there is.
  absl::Status Check(const CsvTable& table, std::string_view file) const {
    for (const auto& [name, place] : places_) {
      if (name == "*" ||
          std::find(table.columns.begin(), table.columns.end(), name) != table.columns.end()) {
        continue;
      }
      return InvalidField(
          fmt::format("spec.data.columns[{}].name", place),
          fmt::format("{} has no column \"{}\"; it has {}", file, name, Shown(table.columns)));
    }
    return absl::OkStatus();
  }

 private:
  const DataSpec& spec_;
  std::map<std::string, int> places_;
};

// One table on its way.
class Reader {
 public:
  Reader(const DataSpec& spec, const CsvTable& table, std::string_view file, std::string field)
      : spec_(spec), rules_(spec), table_(table), file_(file), field_(std::move(field)) {}

  absl::StatusOr<RawTable> Read(training::TargetKind targets, TableLayout& layout);

 private:
  absl::Status Refuse(std::string_view problem) const {
    return InvalidField(field_, fmt::format("{} {}", file_, problem));
  }
  absl::Status RefuseCell(size_t row, size_t column, std::string_view problem) const {
    return InvalidField(field_, fmt::format("{}, line {}, column \"{}\": {}", file_,
                                            table_.lines[row], table_.columns[column], problem));
  }
  absl::StatusOr<size_t> FindColumn(const std::string& column) const {
    const auto it = std::find(table_.columns.begin(), table_.columns.end(), column);
    if (it == table_.columns.end()) return Refuse(fmt::format("has no column \"{}\"", column));
    return static_cast<size_t>(it - table_.columns.begin());
  }
  std::string_view CellOf(size_t row, size_t column) const {
    return Trim(table_.rows[row][column]);
  }

  // Whether the column is no input: by its rule, or since it only decides the split.
  bool IsIgnored(const std::string& column) const {
    if (column == spec_.split().column() && !rules_.Names(column)) return true;
    return rules_.For(column).rule.kind() == "ignore";
  }
  absl::Status FillLayout(size_t target, TableLayout& layout) const;
  absl::Status FindPlaces(const TableLayout& layout);
  bool IsMissing(size_t row, size_t column, bool is_text) const {
    const std::string_view cell = CellOf(row, column);
    return is_text ? cell.empty() : IsMissingNumber(cell);
  }
  bool IsDropped(size_t row, const TableLayout& layout) const;
  std::string KeyOf(size_t row) const;
  absl::StatusOr<float> Number(size_t row, size_t column, bool may_be_missing) const;
  absl::StatusOr<std::string_view> Text(size_t row, size_t column, const ColumnSpec& rule) const;
  absl::Status ReadInputs(size_t row, const TableLayout& layout, RawTable& out) const;
  absl::Status FillLabels(const std::vector<size_t>& rows, TableLayout& layout) const;
  absl::StatusOr<int64_t> Class(size_t row, const std::map<std::string_view, int64_t>& index,
                                const std::vector<std::string>& labels) const;

  const DataSpec& spec_;
  const Rules rules_;
  const CsvTable& table_;
  const std::string_view file_;
  const std::string field_;
  size_t target_ = 0;
  bool target_may_be_missing_ = false;  // its own rule drops such rows
  std::vector<size_t> places_;  // of the layout's columns; a later table may order them otherwise
};

absl::Status Reader::FillLayout(size_t target, TableLayout& layout) const {
  RETURN_IF_ERROR(rules_.Check(table_, file_));
  const std::string& split = spec_.split().column();
  if (!split.empty() && !FindColumn(split).ok()) {
    return InvalidField("spec.data.split.column", fmt::format("{} has no column \"{}\"; it has {}",
                                                              file_, split, Shown(table_.columns)));
  }
  for (size_t i = 0; i < table_.columns.size(); ++i) {
    if (i == target || IsIgnored(table_.columns[i])) continue;
    layout.columns.push_back(rules_.For(table_.columns[i]));
  }
  if (layout.columns.empty()) return Refuse("has no column beside the target");
  return absl::OkStatus();
}

absl::Status Reader::FindPlaces(const TableLayout& layout) {
  for (const InputColumn& column : layout.columns) {
    ASSIGN_OR_RETURN(const size_t place, FindColumn(column.name));
    places_.push_back(place);
  }
  const auto inputs = std::count_if(table_.columns.begin(), table_.columns.end(),
                                    [&](const std::string& name) { return !IsIgnored(name); });
  const auto target_is_counted = IsIgnored(spec_.target_column()) ? 0 : 1;
  if (inputs == std::ssize(layout.columns) + target_is_counted) return absl::OkStatus();
  return Refuse(fmt::format("has {} columns, the train part has {}", inputs,
                            std::ssize(layout.columns) + target_is_counted));
}

bool Reader::IsDropped(size_t row, const TableLayout& layout) const {
  if (target_may_be_missing_ && IsMissingNumber(CellOf(row, target_))) return true;
  for (size_t i = 0; i < places_.size(); ++i) {
    const InputColumn& column = layout.columns[i];
    if (column.rule.missing() == kDrop && IsMissing(row, places_[i], column.is_text())) return true;
  }
  return false;
}

std::string Reader::KeyOf(size_t row) const {
  std::string key;
  for (const size_t place : places_) key.append(CellOf(row, place)).push_back('\0');
  return key.append(CellOf(row, target_));
}

absl::StatusOr<float> Reader::Number(size_t row, size_t column, bool may_be_missing) const {
  const std::string_view cell = CellOf(row, column);
  if (may_be_missing && IsMissingNumber(cell)) return std::numeric_limits<float>::quiet_NaN();
  if (const auto number = ParseNumber(cell)) return *number;
  return RefuseCell(
      row, column,
      cell.empty() ? "is empty; a number is needed"
                   : fmt::format("must be a finite number, got \"{}\"", cell.substr(0, kMaxShown)));
}

absl::StatusOr<std::string_view> Reader::Text(size_t row, size_t column,
                                              const ColumnSpec& rule) const {
  const std::string_view cell = CellOf(row, column);
  if (cell.empty()) {
    if (!rule.missing().empty()) return cell;
    return RefuseCell(row, column, "is empty; its rule does not say what becomes of that");
  }
  if (rule.kind() == "date") {
    if (nn::ParseDate(cell)) return cell;
    return RefuseCell(row, column,
                      fmt::format("must be a date such as 2026-11-22 or "
                                  "2026-11-22T21:45:00Z, got \"{}\"",
                                  cell.substr(0, kMaxShown)));
  }
  if (cell.size() > nn::CategoryColumn::kMaxValueBytes) {
    return RefuseCell(
        row, column,
        fmt::format("has {} bytes, more than {}", cell.size(), nn::CategoryColumn::kMaxValueBytes));
  }
  if (rule.values_size() > 0 &&
      std::find(rule.values().begin(), rule.values().end(), cell) == rule.values().end()) {
    return RefuseCell(
        row, column,
        fmt::format("must be one of the rule's values, got \"{}\"", cell.substr(0, kMaxShown)));
  }
  return cell;
}

absl::Status Reader::ReadInputs(size_t row, const TableLayout& layout, RawTable& out) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const InputColumn& column = layout.columns[i];
    if (column.is_text()) {
      ASSIGN_OR_RETURN(out.texts.emplace_back(), Text(row, places_[i], column.rule));
    } else {
      ASSIGN_OR_RETURN(out.numbers.emplace_back(),
                       Number(row, places_[i], !column.rule.missing().empty()));
    }
  }
  return absl::OkStatus();
}

absl::Status Reader::FillLabels(const std::vector<size_t>& rows, TableLayout& layout) const {
  std::set<std::string_view> values;
  for (const size_t row : rows) {
    values.insert(CellOf(row, target_));
    if (values.size() > kMaxClasses) {
      return Refuse(fmt::format("has more than {} classes in column \"{}\"", kMaxClasses,
                                table_.columns[target_]));
    }
  }
  layout.labels = SortedClasses(values);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Reader::Class(size_t row, const std::map<std::string_view, int64_t>& index,
                                      const std::vector<std::string>& labels) const {
  const std::string_view cell = CellOf(row, target_);
  const auto found = index.find(cell);
  if (found != index.end() && !cell.empty()) return found->second;
  const std::string known = std::ssize(labels) <= kMaxShownNames
                                ? fmt::format("one of {}", fmt::join(labels, ", "))
                                : fmt::format("one of the {} classes", labels.size());
  return RefuseCell(row, target_,
                    fmt::format("must be {}, got \"{}\"", known, cell.substr(0, kMaxShown)));
}

absl::StatusOr<RawTable> Reader::Read(training::TargetKind targets, TableLayout& layout) {
  const auto target = FindColumn(spec_.target_column());
  if (!target.ok()) {
    return InvalidField("spec.data.target_column",
                        fmt::format("{} has no column \"{}\"; it has {}", file_,
                                    spec_.target_column(), Shown(table_.columns)));
  }
  target_ = *target;
  target_may_be_missing_ = rules_.Names(spec_.target_column()) &&
                           rules_.For(spec_.target_column()).rule.missing() == kDrop;
  if (layout.columns.empty()) RETURN_IF_ERROR(FillLayout(target_, layout));
  RETURN_IF_ERROR(FindPlaces(layout));

  RawTable out;
  for (const InputColumn& column : layout.columns) {
    (column.is_text() ? out.text_names : out.number_names).push_back(column.name);
  }
  out.number_columns = out.number_names.size();
  out.text_columns = out.text_names.size();
  std::vector<size_t> rows;
  std::unordered_set<std::string> seen;
  for (size_t row = 0; row < table_.rows.size(); ++row) {
    if (IsDropped(row, layout)) continue;
    std::string key = KeyOf(row);
    if (spec_.drop_duplicates() && !seen.insert(key).second) continue;
    rows.push_back(row);
    out.keys.push_back(std::move(key));
    out.lines.push_back(table_.lines[row]);
    RETURN_IF_ERROR(ReadInputs(row, layout, out));
  }
  if (rows.empty()) return Refuse("has no row left once those with missing values are dropped");
  out.count = std::ssize(rows);

  // A test part of its own needs no such column.
  if (const auto place = FindColumn(spec_.split().column()); place.ok()) {
    for (const size_t row : rows) out.split_cells.push_back(CellOf(row, *place));
  }
  if (targets == training::TargetKind::kReal) {
    for (const size_t row : rows) {
      ASSIGN_OR_RETURN(out.values.emplace_back(), Number(row, target_, false));
    }
    return out;
  }
  if (layout.labels.empty()) RETURN_IF_ERROR(FillLabels(rows, layout));
  std::map<std::string_view, int64_t> index;
  for (const std::string& label : layout.labels) {
    index.emplace(label, static_cast<int64_t>(index.size()));
  }
  for (const size_t row : rows) {
    ASSIGN_OR_RETURN(out.classes.emplace_back(), Class(row, index, layout.labels));
  }
  return out;
}

}  // namespace

std::optional<float> ParseNumber(std::string_view text) {
  text = Trim(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const auto number = static_cast<float>(value);
  if (!std::isfinite(number)) return std::nullopt;
  return number;
}

absl::StatusOr<RawTable> ReadTable(const DataSpec& spec, const training::v1::Part& part,
                                   const std::string& field, training::TargetKind targets,
                                   FileFetcher fetch, TableLayout& layout) {
  const std::string inputs_field = field + ".inputs";
  ASSIGN_OR_RETURN(const std::string local, fetch(part.inputs()));
  auto read = ReadCsv(local, part.inputs());
  if (absl::IsInvalidArgument(read.status())) {
    return InvalidField(inputs_field, std::string(read.status().message()));
  }
  RETURN_IF_ERROR(read.status());
  std::shared_ptr<const CsvTable> cells = *std::move(read);
  ASSIGN_OR_RETURN(RawTable table,
                   Reader(spec, *cells, part.inputs(), inputs_field).Read(targets, layout));
  table.cells = std::move(cells);
  return table;
}

absl::StatusOr<std::vector<Tensor>> ToTensors(const RawTable& table,
                                              std::span<const int64_t> rows) {
  std::string numbers;
  std::vector<std::string> texts;
  for (const int64_t row : rows) {
    const auto some = table.NumbersOf(row);
    numbers.append(reinterpret_cast<const char*>(some.data()), some.size_bytes());
    for (const std::string_view text : table.TextsOf(row)) texts.emplace_back(text);
  }
  const auto shape = [&](size_t columns) {
    return Shape{std::ssize(rows), static_cast<int64_t>(columns)};
  };
  std::vector<Tensor> tensors;
  if (table.number_columns > 0) {
    ASSIGN_OR_RETURN(tensors.emplace_back(),
                     Tensor::Make(nn::Table::kNumbers, DataType::kFp32, shape(table.number_columns),
                                  Buffer::Own(std::move(numbers)), nn::Table::kNumbers));
  }
  if (table.text_columns > 0) {
    ASSIGN_OR_RETURN(tensors.emplace_back(),
                     Tensor::Make(nn::Table::kTexts, DataType::kBytes, shape(table.text_columns),
                                  Buffer::Own(EncodeTexts(texts)), nn::Table::kTexts));
  }
  return tensors;
}

}  // namespace slipway::trainer
