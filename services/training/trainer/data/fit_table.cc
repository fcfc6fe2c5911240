#include "services/training/trainer/data/fit_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::trainer {
namespace {

using training::v1::ColumnSpec;

constexpr size_t kMaxOneHotValues = 1000;
constexpr int64_t kDefaultVocabulary = 30'000;
constexpr double kDefaultDeviations = 3;
constexpr double kDefaultRanges = 1.5;

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Deviation(const std::vector<double>& values, double mean) {
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Between two values in proportion, as numpy's. `sorted` is not empty.
double Quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (place - std::floor(place)) * (sorted[below + 1] - sorted[below]);
}

// The most frequent value; of several the least.
template <class Value>
Value Mode(const std::vector<Value>& values) {
  std::map<Value, int64_t> counts;
  for (const Value& value : values) ++counts[value];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// The least and the largest value that are no outliers.
std::vector<double> UsualRange(const training::v1::OutlierSpec& rule,
                               const std::vector<double>& sorted) {
  if (rule.method() == "z_score") {
    const double mean = Mean(sorted);
    const double reach =
        (rule.limit() > 0 ? rule.limit() : kDefaultDeviations) * Deviation(sorted, mean);
    return {mean - reach, mean + reach};
  }
  const double low = Quantile(sorted, 0.25);
  const double high = Quantile(sorted, 0.75);
  const double reach = (rule.limit() > 0 ? rule.limit() : kDefaultRanges) * (high - low);
  return {low - reach, high + reach};
}

// Center and spread of (x - center) / spread.
struct Scale {
  double center = 0;
  double spread = 1;
};

Scale FitScale(const std::string& method, std::vector<double> values) {
  Scale scale;
  std::sort(values.begin(), values.end());
  if (method == "standardize") {
    scale.center = Mean(values);
    scale.spread = Deviation(values, scale.center);
  } else if (method == "min_max") {
    scale.center = values.front();
    scale.spread = values.back() - values.front();
  } else if (method == "robust") {
    scale.center = Quantile(values, 0.5);
    scale.spread = Quantile(values, 0.75) - Quantile(values, 0.25);
  }
  // A column that never changes has nothing to scale.
  if (!(scale.spread > 1e-12 * std::max(1.0, std::abs(scale.center)))) scale.spread = 1;
  return scale;
}

class Fitter {
 public:
  Fitter(const TableLayout& layout, const RawTable& table, bool standardize,
         std::vector<int64_t>& rows)
      : layout_(layout), table_(table), standardize_(standardize), rows_(rows) {}

  absl::StatusOr<nn::Table> Fit();

 private:
  using Fitted = absl::StatusOr<std::unique_ptr<const nn::Column>>;

  // Numbers that are there, in order.
  std::vector<double> SortedNumbers(size_t place) const {
    std::vector<double> values;
    for (const int64_t row : rows_) {
      const float value = table_.NumberOf(row, place);
      if (!std::isnan(value)) values.push_back(value);
    }
    std::sort(values.begin(), values.end());
    return values;
  }
  std::vector<std::string_view> Texts(size_t place) const {
    std::vector<std::string_view> values;
    for (const int64_t row : rows_) {
      const std::string_view text = table_.TextOf(row, place);
      if (!text.empty()) values.push_back(text);
    }
    return values;
  }
  static absl::Status Refuse(const InputColumn& column, std::string_view key,
                             std::string_view problem) {
    return InvalidField(fmt::format("{}.{}", column.field, key),
                        fmt::format("column \"{}\" {}", column.name, problem));
  }
  std::string ScaleOf(const ColumnSpec& rule) const {
    return !rule.scale().empty() ? rule.scale() : standardize_ ? "standardize" : "none";
  }

  absl::Status DropOutliers();
  Fitted FitNumber(const InputColumn& column, size_t place) const;
  Fitted FitCategory(const InputColumn& column, size_t place) const;
  Fitted FitDate(const InputColumn& column, size_t place) const;
  Fitted FitTokens(const InputColumn& column, size_t place) const;
  static absl::Status FillText(const InputColumn& column,
                               const std::vector<std::string_view>& texts,
                               std::vector<std::string>& fill);

  const TableLayout& layout_;
  const RawTable& table_;
  const bool standardize_;
  std::vector<int64_t>& rows_;
};

absl::Status Fitter::DropOutliers() {
  std::vector<std::pair<size_t, std::vector<double>>> ranges;  // place, range
  size_t place = 0;
  for (const InputColumn& column : layout_.columns) {
    if (column.is_text()) continue;
    const std::vector<double> sorted = SortedNumbers(place);
    if (column.rule.outliers().action() == "drop" && !sorted.empty()) {
      ranges.emplace_back(place, UsualRange(column.rule.outliers(), sorted));
    }
    ++place;
  }
  const auto is_outlier = [&](int64_t row) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
      const float value = table_.NumberOf(row, range.first);
      return value < range.second[0] || value > range.second[1];  // a missing one is none
    });
  };
  rows_.erase(std::remove_if(rows_.begin(), rows_.end(), is_outlier), rows_.end());
  if (!rows_.empty()) return absl::OkStatus();
  return InvalidField("spec.data.columns",
                      "every row of the train part is an outlier to some rule");
}

Fitter::Fitted Fitter::FitNumber(const InputColumn& column, size_t place) const {
  const ColumnSpec& rule = column.rule;
  const std::vector<double> sorted = SortedNumbers(place);
  if (sorted.empty()) {
    return Refuse(column, "missing", "has no value in the training rows: let it be ignored");
  }
  nn::NumberColumn fitted;
  fitted.name = column.name;
  fitted.mask = column.mask;
  fitted.log = rule.log();
  if (rule.missing() == "mean") fitted.fill = {Mean(sorted)};
  if (rule.missing() == "median") fitted.fill = {Quantile(sorted, 0.5)};
  if (rule.missing() == "mode") fitted.fill = {Mode(sorted)};
  if (rule.missing() == "constant") fitted.fill = {rule.constant().number_value()};
  if (rule.outliers().action() == "clip") fitted.clip = UsualRange(rule.outliers(), sorted);
  std::vector<double> prepared;
  for (const int64_t row : rows_) {
    double value = table_.NumberOf(row, place);
    if (std::isnan(value)) value = fitted.fill.at(0);
    prepared.push_back(fitted.Prepare(value));
  }
  const Scale scale = FitScale(ScaleOf(rule), std::move(prepared));
  fitted.center = scale.center;
  fitted.spread = scale.spread;
  return nn::MakeColumn(std::move(fitted));
}

absl::Status Fitter::FillText(const InputColumn& column, const std::vector<std::string_view>& texts,
                              std::vector<std::string>& fill) {
  if (texts.empty()) {
    return Refuse(column, "missing", "has no value in the training rows: let it be ignored");
  }
  if (column.rule.missing() == "mode") fill = {std::string(Mode(texts))};
  if (column.rule.missing() == "constant") fill = {column.rule.constant().string_value()};
  return absl::OkStatus();
}

Fitter::Fitted Fitter::FitCategory(const InputColumn& column, size_t place) const {
  const ColumnSpec& rule = column.rule;
  const std::vector<std::string_view> texts = Texts(place);
  nn::CategoryColumn fitted;
  fitted.name = column.name;
  fitted.mask = column.mask;
  RETURN_IF_ERROR(FillText(column, texts, fitted.fill));
  if (rule.encoding() == "hash") {
    fitted.encoding = nn::CategoryEncoding::kHash;
    fitted.buckets = rule.buckets();
    return nn::MakeColumn(std::move(fitted));
  }
  if (rule.encoding() == "ordinal") fitted.encoding = nn::CategoryEncoding::kOrdinal;
  fitted.values.assign(rule.values().begin(), rule.values().end());
  if (fitted.values.empty()) {
    std::set<std::string> values(texts.begin(), texts.end());
    values.insert(fitted.fill.begin(), fitted.fill.end());
    fitted.values.assign(values.begin(), values.end());
  }
  if (fitted.values.size() > kMaxOneHotValues) {
    return Refuse(column, "encoding",
                  fmt::format("has {} values, more than {}: use hash", fitted.values.size(),
                              kMaxOneHotValues));
  }
  return nn::MakeColumn(std::move(fitted));
}

Fitter::Fitted Fitter::FitDate(const InputColumn& column, size_t place) const {
  const std::vector<std::string_view> texts = Texts(place);
  nn::DateColumn fitted;
  fitted.name = column.name;
  fitted.mask = column.mask;
  RETURN_IF_ERROR(FillText(column, texts, fitted.fill));
  for (const auto& part : nn::DateColumn::kParts) {
    const auto& wanted = column.rule.parts();
    if (std::find(wanted.begin(), wanted.end(), part.name) == wanted.end()) continue;
    std::vector<double> values;
    for (const int64_t row : rows_) {
      const std::string_view text = table_.TextOf(row, place);
      // What is missing is filled in, or its row is not here.
      values.push_back(nn::PartOf(
          *nn::ParseDate(text.empty() ? std::string_view(fitted.fill.at(0)) : text), part.value));
    }
    const Scale scale = FitScale(ScaleOf(column.rule), std::move(values));
    fitted.parts.emplace_back(part.name);
    fitted.center.push_back(scale.center);
    fitted.spread.push_back(scale.spread);
  }
  return nn::MakeColumn(std::move(fitted));
}

Fitter::Fitted Fitter::FitTokens(const InputColumn& column, size_t place) const {
  const std::vector<std::string_view> texts = Texts(place);
  std::vector<std::string> fill;
  RETURN_IF_ERROR(FillText(column, texts, fill));
  nn::TextColumn fitted = FitTextColumn(column.rule.tokenizer(), texts);
  if (fitted.tokenizer.unit != Tokenizer::Unit::kByte && fitted.tokenizer.vocabulary.empty()) {
    return Refuse(column, "tokenizer.min_frequency", "has no token that is so frequent");
  }
  fitted.name = column.name;
  fitted.fill = std::move(fill);
  return nn::MakeColumn(std::move(fitted));
}

absl::StatusOr<nn::Table> Fitter::Fit() {
  RETURN_IF_ERROR(DropOutliers());
  std::vector<std::shared_ptr<const nn::Column>> columns;
  size_t numbers = 0;
  size_t texts = 0;
  for (const InputColumn& column : layout_.columns) {
    Fitted fitted = column.rule.kind() == "category" ? FitCategory(column, texts++)
                    : column.rule.kind() == "date"   ? FitDate(column, texts++)
                    : column.rule.kind() == "text"   ? FitTokens(column, texts++)
                                                     : FitNumber(column, numbers++);
    RETURN_IF_ERROR(fitted.status());
    columns.push_back(*std::move(fitted));
    if (columns.back()->tokenizer() != nullptr && layout_.columns.size() > 1) {
      return InvalidField(column.field + ".kind",
                          fmt::format("column \"{}\" is text, which must be the only input, and "
                                      "there are {}: {{name: \"*\", kind: ignore}} leaves the "
                                      "others out",
                                      column.name, layout_.columns.size()));
    }
  }
  return nn::Table(std::move(columns));
}

}  // namespace

nn::TextColumn FitTextColumn(const training::v1::TokenizerSpec& rule,
                             std::span<const std::string_view> texts, bool has_mask) {
  Tokenizer::Fields fields;
  fields.lowercase = rule.lowercase();
  fields.has_mask = has_mask;
  for (const auto& unit : Tokenizer::kUnits) {
    if (unit.name == rule.type()) fields.unit = unit.value;
  }
  const VocabularyLimits limits = {
      .size = rule.vocab_size() > 0 ? rule.vocab_size() : kDefaultVocabulary,
      .min_frequency = rule.min_frequency()};
  nn::TextColumn column;
  column.tokenizer = FitTokenizer(std::move(fields), limits, texts).fields();
  column.max_length = rule.max_length();
  return column;
}

absl::StatusOr<nn::Table> FitTable(const TableLayout& layout, const RawTable& table,
                                   bool standardize, std::vector<int64_t>& rows) {
  return Fitter(layout, table, standardize, rows).Fit();
}

}  // namespace slipway::trainer
