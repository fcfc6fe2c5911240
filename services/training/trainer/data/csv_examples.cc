#include "services/training/trainer/data/csv_examples.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/training/trainer/data/csv.h"

namespace slipway::trainer {
namespace {

constexpr size_t kMaxClasses = 100'000;
constexpr size_t kMaxShown = 60;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A finite number that a float holds.
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

// One table on its way to Examples.
class Reader {
 public:
  Reader(const CsvTable& table, std::string_view name, const std::string& field)
      : table_(table), name_(name), field_(field) {}

  absl::Status Refuse(std::string_view problem) const {
    return InvalidField(field_, fmt::format("{} {}", name_, problem));
  }
  absl::Status RefuseCell(size_t row, std::string_view column, std::string_view problem) const {
    return InvalidField(field_, fmt::format("{}, line {}, column \"{}\": {}", name_,
                                            table_.lines[row], column, problem));
  }

  absl::StatusOr<size_t> FindColumn(const std::string& column) const {
    const auto it = std::find(table_.columns.begin(), table_.columns.end(), column);
    if (it == table_.columns.end()) {
      return Refuse(fmt::format("has no column \"{}\"", column));
    }
    return static_cast<size_t>(it - table_.columns.begin());
  }

  absl::StatusOr<float> Number(size_t row, size_t column) const {
    const std::string_view cell = table_.rows[row][column];
    if (const auto number = ParseNumber(cell)) return *number;
    return RefuseCell(row, table_.columns[column],
                      Trim(cell).empty() ? "is empty; a number is needed"
                                         : fmt::format("must be a finite number, got \"{}\"",
                                                       cell.substr(0, kMaxShown)));
  }

 private:
  const CsvTable& table_;
  const std::string_view name_;
  const std::string& field_;
};

absl::Status ReadClasses(const CsvTable& table, const Reader& reader, size_t target,
                         CsvLayout& layout, Examples& examples) {
  if (layout.labels.empty()) {
    std::set<std::string_view> values;
    for (size_t row = 0; row < table.rows.size(); ++row) {
      values.insert(Trim(table.rows[row][target]));
      if (values.size() > kMaxClasses) {
        return reader.Refuse(fmt::format("has more than {} classes in column \"{}\"", kMaxClasses,
                                         table.columns[target]));
      }
    }
    layout.labels = SortedClasses(values);
  }
  std::map<std::string_view, int64_t> index;
  for (const std::string& label : layout.labels) {
    index.emplace(label, static_cast<int64_t>(index.size()));
  }
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::string_view cell = Trim(table.rows[row][target]);
    const auto found = index.find(cell);
    if (found == index.end() || cell.empty()) {
      const std::string known = layout.labels.size() <= 20
                                    ? fmt::format("one of {}", fmt::join(layout.labels, ", "))
                                    : fmt::format("one of the {} classes", layout.labels.size());
      return reader.RefuseCell(
          row, table.columns[target],
          fmt::format("must be {}, got \"{}\"", known, cell.substr(0, kMaxShown)));
    }
    examples.classes.push_back(found->second);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Examples> ReadCsvExamples(const training::v1::Part& part, const std::string& field,
                                         const std::string& target_column,
                                         training::TargetKind targets, FileFetcher fetch,
                                         CsvLayout& layout) {
  const std::string inputs_field = field + ".inputs";
  ASSIGN_OR_RETURN(const std::string local, fetch(part.inputs()));
  auto read = ReadCsv(local, part.inputs());
  if (absl::IsInvalidArgument(read.status())) {
    return InvalidField(inputs_field, std::string(read.status().message()));
  }
  RETURN_IF_ERROR(read.status());
  const CsvTable& table = **read;
  const Reader reader(table, part.inputs(), inputs_field);
  auto target = reader.FindColumn(target_column);
  if (!target.ok()) {
    return InvalidField(
        "spec.data.target_column",
        fmt::format(
            "{} has no column \"{}\"; it has {}", part.inputs(), target_column,
            fmt::join(table.columns.begin(),
                      table.columns.begin() + std::min<ptrdiff_t>(20, std::ssize(table.columns)),
                      ", ")));
  }
  if (layout.columns.empty()) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
      if (i != *target) layout.columns.push_back(table.columns[i]);
    }
  }
  if (layout.columns.empty()) return reader.Refuse("has no column beside the target");
  std::vector<size_t> places;  // of the inputs; a later table may order them otherwise
  for (const std::string& column : layout.columns) {
    ASSIGN_OR_RETURN(const size_t place, reader.FindColumn(column));
    places.push_back(place);
  }
  if (table.columns.size() != layout.columns.size() + 1) {
    return reader.Refuse(fmt::format("has {} columns, the train part has {}", table.columns.size(),
                                     layout.columns.size() + 1));
  }

  Examples examples;
  examples.count = static_cast<int64_t>(table.rows.size());
  examples.input = {
      "features", DataType::kFp32, {Shape::kAny, static_cast<int64_t>(places.size())}};
  examples.row_bytes = places.size() * sizeof(float);
  examples.inputs.reserve(table.rows.size() * examples.row_bytes);
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (const size_t place : places) {
      ASSIGN_OR_RETURN(const float number, reader.Number(row, place));
      examples.inputs.append(reinterpret_cast<const char*>(&number), sizeof(number));
    }
  }
  if (targets == training::TargetKind::kClass) {
    RETURN_IF_ERROR(ReadClasses(table, reader, *target, layout, examples));
    return examples;
  }
  for (size_t row = 0; row < table.rows.size(); ++row) {
    ASSIGN_OR_RETURN(const float number, reader.Number(row, *target));
    examples.values.push_back(number);
  }
  return examples;
}

}  // namespace slipway::trainer
