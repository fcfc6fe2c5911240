#include "services/training/trainer/data/raw_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "common/crypto/encoding.h"
#include "common/crypto/hash.h"
#include "common/nn/column.h"
#include "common/nn/table.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/training/trainer/data/classes.h"
#include "services/training/trainer/data/spill_file.h"
#include "services/training/trainer/data/table_reader.h"

namespace slipway::trainer {
namespace {

using training::v1::ColumnSpec;
using training::v1::DataSpec;

constexpr size_t kMaxShown = 60;
constexpr ptrdiff_t kMaxShownNames = 20;
constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kMaxBlockRows = 4096;
constexpr char kDrop[] = "drop";

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::string Shown(const std::vector<std::string>& names) {
  const ptrdiff_t count = std::min(kMaxShownNames, std::ssize(names));
  return fmt::format("{}", fmt::join(names.begin(), names.begin() + count, ", "));
}

// Which mask the spec asks for. What a hash is keyed with is each column's own.
std::optional<nn::Mask> MaskOf(const ColumnSpec& rule, const std::string& column,
                               const std::string& key) {
  if (!rule.has_mask()) return std::nullopt;
  nn::Mask mask;
  for (const auto& method : nn::Mask::kMethods) {
    if (method.name == rule.mask().method()) mask.method = method.value;
  }
  if (mask.method == nn::MaskMethod::kHash) mask.key = HexEncode(AsView(HmacSha256(key, column)));
  mask.width = rule.mask().width();
  mask.prefix = rule.mask().prefix();
  mask.unit = rule.mask().unit();
  return mask;
}

// The rule of each column: the one that names it, or the one for all others.
class Rules {
 public:
  Rules(const DataSpec& spec, const OpenDataOptions& options) : spec_(spec), options_(options) {
    for (int i = 0; i < spec.columns_size(); ++i) places_[spec.columns(i).name()] = i;
  }

  InputColumn For(const std::string& column) const {
    auto place = places_.find(column);
    if (place == places_.end()) place = places_.find("*");
    if (place == places_.end()) return {column, {}, "spec.data.columns", {}};
    const ColumnSpec& rule = spec_.columns(place->second);
    std::optional<nn::Mask> mask = MaskOf(rule, column, options_.mask_key);
    const nn::Mask* const base = BaseMask(column);
    if (mask.has_value() && base != nullptr) mask->key = base->key;
    return {column, rule, fmt::format("spec.data.columns[{}]", place->second), std::move(mask)};
  }
  bool Names(const std::string& column) const { return places_.contains(column); }

  // Each rule is for a column that there is.
  absl::Status Check(const std::vector<std::string>& columns, std::string_view file) const {
    for (const auto& [name, place] : places_) {
      if (name == "*" || std::find(columns.begin(), columns.end(), name) != columns.end()) continue;
      return InvalidField(
          fmt::format("spec.data.columns[{}].name", place),
          fmt::format("{} has no column \"{}\"; it has {}", file, name, Shown(columns)));
    }
    return absl::OkStatus();
  }

 private:
  const nn::Mask* BaseMask(const std::string& column) const {
    if (options_.base == nullptr || !options_.base->table.has_value()) return nullptr;
    for (const auto& known : options_.base->table->columns()) {
      if (known->name() == column && known->mask().has_value()) return &*known->mask();
    }
    return nullptr;
  }

  const DataSpec& spec_;
  const OpenDataOptions& options_;
  std::map<std::string, int> places_;
};

// Puts rows into the files of a RawTable. One thread.
class TableWriter {
 public:
  static absl::StatusOr<TableWriter> Open(const std::string& folder, size_t number_columns) {
    ASSIGN_OR_RETURN(SpillFile numbers, SpillFile::Create(folder));
    ASSIGN_OR_RETURN(SpillFile texts, SpillFile::Create(folder));
    ASSIGN_OR_RETURN(SpillFile text_ends, SpillFile::Create(folder));
    ASSIGN_OR_RETURN(SpillFile split, SpillFile::Create(folder));
    return TableWriter(std::move(numbers), std::move(texts), std::move(text_ends), std::move(split),
                       number_columns);
  }

  void Add(float number) { block_[column_++ * block_rows_ + row_] = number; }
  absl::Status Add(std::string_view text) {
    RETURN_IF_ERROR(texts_.Append(text));
    text_end_ += text.size();
    return text_ends_.Append({reinterpret_cast<const char*>(&text_end_), sizeof(text_end_)});
  }
  absl::Status AddSplitCell(std::string_view text) {
    split_sizes_.push_back(text.size());
    return split_.Append(text);
  }
  absl::Status EndRow() {
    column_ = 0;
    return ++row_ < block_rows_ ? absl::OkStatus() : EndBlock();
  }

  absl::Status Finish(RawTable& table) && {
    if (row_ > 0) RETURN_IF_ERROR(EndBlock());
    table.block_rows = block_rows_;
    ASSIGN_OR_RETURN(table.numbers, std::move(numbers_).Map(SpillFile::Access::kInOrder));
    ASSIGN_OR_RETURN(table.texts, std::move(texts_).Map(SpillFile::Access::kInOrder));
    ASSIGN_OR_RETURN(table.text_ends, std::move(text_ends_).Map(SpillFile::Access::kInOrder));
    ASSIGN_OR_RETURN(table.split_texts, std::move(split_).Map(SpillFile::Access::kInOrder));
    size_t begin = 0;
    for (const size_t size : split_sizes_) {
      table.split_cells.push_back(table.split_texts.view().substr(begin, size));
      begin += size;
    }
    return absl::OkStatus();
  }

 private:
  TableWriter(SpillFile numbers, SpillFile texts, SpillFile text_ends, SpillFile split,
              size_t number_columns)
      : numbers_(std::move(numbers)),
        texts_(std::move(texts)),
        text_ends_(std::move(text_ends)),
        split_(std::move(split)),
        block_rows_(std::clamp<size_t>(
            kBlockBytes / (sizeof(float) * std::max<size_t>(number_columns, 1)), 1, kMaxBlockRows)),
        block_(block_rows_ * number_columns) {}

  absl::Status EndBlock() {
    row_ = 0;
    return numbers_.Append(
        {reinterpret_cast<const char*>(block_.data()), block_.size() * sizeof(float)});
  }

  SpillFile numbers_;
  SpillFile texts_;
  SpillFile text_ends_;
  SpillFile split_;
  std::vector<size_t> split_sizes_;
  uint64_t text_end_ = 0;
  size_t block_rows_;
  std::vector<float> block_;  // of numbers, column by column
  size_t row_ = 0;            // in the block
  size_t column_ = 0;
};

// One table on its way.
class Reader {
 public:
  Reader(const DataSpec& spec, const OpenDataOptions& options, TableReader& table,
         std::string_view file, std::string field)
      : spec_(spec),
        options_(options),
        rules_(spec, options),
        table_(table),
        file_(file),
        field_(std::move(field)) {}

  absl::StatusOr<RawTable> Read(training::TargetKind targets, TableLayout& layout);

 private:
  const std::vector<std::string>& columns() const { return table_.columns(); }
  absl::Status Refuse(std::string_view problem) const {
    return InvalidField(field_, fmt::format("{} {}", file_, problem));
  }
  absl::Status RefuseCell(size_t column, std::string_view problem) const {
    return InvalidField(field_, fmt::format("{}, {}, column \"{}\": {}", file_, table_.place(),
                                            columns()[column], problem));
  }
  std::optional<size_t> FindColumn(const std::string& column) const {
    const auto it = std::find(columns().begin(), columns().end(), column);
    if (it == columns().end()) return std::nullopt;
    return static_cast<size_t>(it - columns().begin());
  }

  // Whether the column is no input: by its rule, or since it only decides the split.
  bool IsIgnored(const std::string& column) const {
    if (column == spec_.split().column() && !rules_.Names(column)) return true;
    return rules_.For(column).rule.kind() == "ignore";
  }
  absl::Status FindTarget();
  absl::Status FillLayout(TableLayout& layout) const;
  absl::Status FindPlaces(const TableLayout& layout);

  // Of the row that was read last.
  absl::StatusOr<bool> NextRow(const TableLayout& layout);
  absl::Status MaskCell(const InputColumn& column, size_t place);
  bool IsMissing(size_t place, const ColumnSpec& rule) const {
    const std::string_view cell = cells_[place];
    // White space is no token.
    if (rule.kind() == "text") return cell.find_first_not_of(" \t\r\n\f\v") == cell.npos;
    return training::IsText(rule) ? cell.empty() : IsMissingNumber(cell);
  }
  bool IsDropped(const TableLayout& layout) const;
  RowKey KeyOf();
  absl::StatusOr<float> Number(size_t place, bool may_be_missing) const;
  absl::Status CheckText(size_t place, const ColumnSpec& rule) const;
  absl::Status WriteInputs(const TableLayout& layout, TableWriter& out) const;

  const DataSpec& spec_;
  const OpenDataOptions& options_;
  const Rules rules_;
  TableReader& table_;
  const std::string_view file_;
  const std::string field_;
  size_t target_ = 0;
  bool target_may_be_missing_ = false;  // its own rule drops such rows
  std::vector<size_t> places_;  // of the layout's columns; a later table may order them otherwise
  std::vector<std::string_view> cells_;  // masked and trimmed
  std::vector<std::string> masked_;      // what masked cells look at, by column
  Sha256 hash_;
};

absl::Status Reader::FindTarget() {
  const auto target = FindColumn(spec_.target_column());
  if (!target.has_value()) {
    return InvalidField("spec.data.target_column",
                        fmt::format("{} has no column \"{}\"; it has {}", file_,
                                    spec_.target_column(), Shown(columns())));
  }
  target_ = *target;
  target_may_be_missing_ = rules_.Names(spec_.target_column()) &&
                           rules_.For(spec_.target_column()).rule.missing() == kDrop;
  return absl::OkStatus();
}

absl::Status Reader::FillLayout(TableLayout& layout) const {
  RETURN_IF_ERROR(rules_.Check(columns(), file_));
  const std::string& split = spec_.split().column();
  if (!split.empty() && !FindColumn(split).has_value()) {
    return InvalidField("spec.data.split.column", fmt::format("{} has no column \"{}\"; it has {}",
                                                              file_, split, Shown(columns())));
  }
  for (size_t i = 0; i < columns().size(); ++i) {
    if (i == target_ || IsIgnored(columns()[i])) continue;
    layout.columns.push_back(rules_.For(columns()[i]));
  }
  if (layout.columns.empty()) return Refuse("has no column beside the target");
  return absl::OkStatus();
}

absl::Status Reader::FindPlaces(const TableLayout& layout) {
  for (const InputColumn& column : layout.columns) {
    const auto place = FindColumn(column.name);
    if (!place.has_value()) return Refuse(fmt::format("has no column \"{}\"", column.name));
    places_.push_back(*place);
  }
  const auto inputs = std::count_if(columns().begin(), columns().end(),
                                    [&](const std::string& name) { return !IsIgnored(name); });
  const auto target_is_counted = IsIgnored(spec_.target_column()) ? 0 : 1;
  if (inputs == std::ssize(layout.columns) + target_is_counted) return absl::OkStatus();
  return Refuse(fmt::format("has {} columns, the train part has {}", inputs,
                            std::ssize(layout.columns) + target_is_counted));
}

// Nothing behind it sees a cell that its column masks.
absl::StatusOr<bool> Reader::NextRow(const TableLayout& layout) {
  const absl::StatusOr<bool> more = table_.Next(cells_);
  if (absl::IsInvalidArgument(more.status())) {
    return InvalidField(field_, std::string(more.status().message()));
  }
  if (!more.ok() || !*more) return more;
  for (std::string_view& cell : cells_) cell = Trim(cell);
  for (size_t i = 0; i < places_.size(); ++i) {
    if (layout.columns[i].mask.has_value()) {
      RETURN_IF_ERROR(MaskCell(layout.columns[i], places_[i]));
    }
  }
  return true;
}

absl::Status Reader::MaskCell(const InputColumn& column, size_t place) {
  std::string_view& cell = cells_[place];
  if (IsMissing(place, column.rule)) return absl::OkStatus();
  if (column.is_text()) {
    if (column.rule.kind() == "date" && !nn::ParseDate(cell)) {
      return RefuseCell(place, "must be a date such as 2026-11-22 (what it holds is masked)");
    }
    masked_[place] = column.mask->Apply(cell);
  } else {
    const auto number = ParseNumber(cell);
    if (!number) return RefuseCell(place, "must be a finite number (what it holds is masked)");
    masked_[place] = fmt::format("{}", column.mask->Apply(*number));
  }
  cell = masked_[place];
  return absl::OkStatus();
}

bool Reader::IsDropped(const TableLayout& layout) const {
  if (target_may_be_missing_ && IsMissingNumber(cells_[target_])) return true;
  for (size_t i = 0; i < places_.size(); ++i) {
    const InputColumn& column = layout.columns[i];
    if (column.rule.missing() == kDrop && IsMissing(places_[i], column.rule)) return true;
  }
  return false;
}

RowKey Reader::KeyOf() {
  const auto add = [&](std::string_view cell) {
    const uint64_t size = cell.size();
    hash_.Update({reinterpret_cast<const char*>(&size), sizeof(size)});
    hash_.Update(cell);
  };
  for (const size_t place : places_) add(cells_[place]);
  add(cells_[target_]);
  const Sha256Bytes digest = hash_.Finish();
  RowKey key;
  std::memcpy(key.data(), digest.data(), sizeof(key));
  return key;
}

absl::StatusOr<float> Reader::Number(size_t place, bool may_be_missing) const {
  const std::string_view cell = cells_[place];
  if (may_be_missing && IsMissingNumber(cell)) return std::numeric_limits<float>::quiet_NaN();
  if (const auto number = ParseNumber(cell)) return *number;
  return RefuseCell(place, cell.empty() ? "is empty; a number is needed"
                                        : fmt::format("must be a finite number, got \"{}\"",
                                                      cell.substr(0, kMaxShown)));
}

absl::Status Reader::CheckText(size_t place, const ColumnSpec& rule) const {
  const std::string_view cell = cells_[place];
  if (IsMissing(place, rule)) {
    if (!rule.missing().empty()) return absl::OkStatus();
    return RefuseCell(place, "is empty; its rule does not say what becomes of that");
  }
  if (rule.kind() == "date") {
    if (nn::ParseDate(cell)) return absl::OkStatus();
    return RefuseCell(place, fmt::format("must be a date such as 2026-11-22 or "
                                         "2026-11-22T21:45:00Z, got \"{}\"",
                                         cell.substr(0, kMaxShown)));
  }
  const size_t limit =
      rule.kind() == "text" ? nn::TextColumn::kMaxTextBytes : nn::CategoryColumn::kMaxValueBytes;
  if (cell.size() > limit) {
    return RefuseCell(place, fmt::format("has {} bytes, more than {}", cell.size(), limit));
  }
  if (rule.values_size() > 0 &&
      std::find(rule.values().begin(), rule.values().end(), cell) == rule.values().end()) {
    return RefuseCell(place, fmt::format("must be one of the rule's values, got \"{}\"",
                                         cell.substr(0, kMaxShown)));
  }
  return absl::OkStatus();
}

absl::Status Reader::WriteInputs(const TableLayout& layout, TableWriter& out) const {
  for (size_t i = 0; i < places_.size(); ++i) {
    const InputColumn& column = layout.columns[i];
    if (column.is_text()) {
      RETURN_IF_ERROR(CheckText(places_[i], column.rule));
      RETURN_IF_ERROR(out.Add(cells_[places_[i]]));
    } else {
      ASSIGN_OR_RETURN(const float number, Number(places_[i], !column.rule.missing().empty()));
      out.Add(number);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RawTable> Reader::Read(training::TargetKind targets, TableLayout& layout) {
  RETURN_IF_ERROR(FindTarget());
  if (layout.columns.empty()) RETURN_IF_ERROR(FillLayout(layout));
  RETURN_IF_ERROR(FindPlaces(layout));
  masked_.resize(columns().size());
  Classes classes(layout.labels);
  // A test part of its own needs no such column.
  const auto split = FindColumn(spec_.split().column());

  RawTable out;
  for (const InputColumn& column : layout.columns) {
    (column.is_text() ? out.text_names : out.number_names).push_back(column.name);
  }
  out.number_columns = out.number_names.size();
  out.text_columns = out.text_names.size();
  ASSIGN_OR_RETURN(TableWriter writer, TableWriter::Open(options_.folder, out.number_columns));
  std::set<RowKey> seen;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, NextRow(layout));
    if (!more) break;
    if (IsDropped(layout)) continue;
    const RowKey key = KeyOf();
    if (spec_.drop_duplicates() && !seen.insert(key).second) continue;
    out.keys.push_back(key);
    RETURN_IF_ERROR(WriteInputs(layout, writer));
    if (split.has_value()) RETURN_IF_ERROR(writer.AddSplitCell(cells_[*split]));
    RETURN_IF_ERROR(writer.EndRow());
    if (targets == training::TargetKind::kReal) {
      ASSIGN_OR_RETURN(out.values.emplace_back(), Number(target_, false));
    } else {
      const absl::StatusOr<int64_t> index = classes.IndexOf(cells_[target_]);
      if (!index.ok()) return RefuseCell(target_, std::string(index.status().message()));
      out.classes.push_back(*index);
    }
    ++out.count;
  }
  if (out.count == 0) return Refuse("has no row left once those with missing values are dropped");
  RETURN_IF_ERROR(std::move(writer).Finish(out));
  classes.Finish(out.classes, layout.labels);
  return out;
}

}  // namespace

bool IsMissingNumber(std::string_view cell) {
  constexpr std::string_view kMarks[] = {"", "NA", "N/A", "NaN", "nan", "null", "NULL"};
  return std::find(std::begin(kMarks), std::end(kMarks), cell) != std::end(kMarks);
}

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
                                   FileFetcher fetch, const OpenDataOptions& options,
                                   TableLayout& layout) {
  const std::string inputs_field = field + ".inputs";
  ASSIGN_OR_RETURN(const std::string local, fetch(part.inputs()));
  const auto table = OpenTableFile(spec.format(), local, part.inputs());
  if (absl::IsInvalidArgument(table.status())) {
    return InvalidField(inputs_field, std::string(table.status().message()));
  }
  RETURN_IF_ERROR(table.status());
  return Reader(spec, options, **table, part.inputs(), inputs_field).Read(targets, layout);
}

absl::StatusOr<std::vector<Tensor>> ToTensors(const RawTable& table,
                                              std::span<const int64_t> rows) {
  std::vector<float> row_numbers(table.number_columns);
  std::vector<std::string_view> row_texts(table.text_columns);
  std::string numbers;
  std::vector<std::string> texts;
  for (const int64_t row : rows) {
    table.CopyRow(row, row_numbers, row_texts);
    numbers.append(reinterpret_cast<const char*>(row_numbers.data()),
                   row_numbers.size() * sizeof(float));
    texts.insert(texts.end(), row_texts.begin(), row_texts.end());
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
