#include "services/training/trainer/data/data_report.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "common/tokenizer/tokenizer.h"
#include "fmt/format.h"
#include "services/training/trainer/data/raw_table.h"

namespace slipway::trainer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxNamedClasses = 100;
constexpr double kAllButEqual = 0.9999;

struct Part {
  std::string_view name;
  const Examples& examples;
  const std::vector<int64_t>& rows;
};

size_t At(int64_t row) { return static_cast<size_t>(row); }

// Count, range, mean and deviation. One thread.
class Summary {
 public:
  void Add(double value) {
    ++count_;
    least_ = count_ == 1 ? value : std::min(least_, value);
    largest_ = count_ == 1 ? value : std::max(largest_, value);
    const double delta = value - mean_;
    mean_ += delta / static_cast<double>(count_);
    squares_ += delta * (value - mean_);
  }
  bool never_changes() const { return least_ == largest_; }
  void Put(Json& out) const {
    if (count_ == 0) return;
    out["min"] = least_;
    out["max"] = largest_;
    out["mean"] = mean_;
    out["deviation"] = std::sqrt(squares_ / static_cast<double>(count_));
  }

 private:
  int64_t count_ = 0;
  double least_ = 0;
  double largest_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

class Reporter {
 public:
  explicit Reporter(const TrainingData& data)
      : data_(data),
        parts_{{"train", *data.train, data.train_rows},
               {"validation", *data.train, data.validation_rows},
               {"test", *data.test, data.test_rows}} {}

  DataReport Report() {
    for (const Part& part : parts_) {
      report_.facts["rows"][std::string(part.name)] = part.rows.size();
    }
    // Of a text there are no raw rows.
    if (data_.table.has_value() && data_.raw_train == nullptr) {
      ReportTokens();
    } else if (data_.train->classes.empty()) {
      ReportValues();
    } else {
      ReportClasses();
    }
    if (data_.raw_train != nullptr) {
      ReportColumns();
      ReportSharedRows();
    }
    report_.facts["warnings"] = report_.warnings;
    return std::move(report_);
  }

 private:
  template <class... Args>
  void Warn(fmt::format_string<Args...> text, Args&&... args) {
    report_.warnings.push_back(fmt::format(text, std::forward<Args>(args)...));
  }

  void ReportValues() {
    for (const Part& part : parts_) {
      Summary summary;
      for (const int64_t row : part.rows) summary.Add(part.examples.values[At(row)]);
      summary.Put(report_.facts["target"][std::string(part.name)]);
    }
  }

  void ReportTokens() {
    report_.facts["vocabulary"] = data_.outputs;
    for (const Part& part : parts_) {
      std::vector<float> ids(part.examples.row_bytes / sizeof(float));
      int64_t unknown = 0;
      for (const int64_t row : part.rows) {
        std::memcpy(ids.data(), part.examples.inputs.data() + At(row) * part.examples.row_bytes,
                    part.examples.row_bytes);
        unknown += std::count(ids.begin(), ids.end(), static_cast<float>(Tokenizer::kUnknown));
      }
      const std::string name(part.name);
      report_.facts["tokens"][name] = part.rows.size() * ids.size();
      report_.facts["unknown_tokens"][name] = unknown;
    }
  }

  void ReportClasses() {
    if (data_.outputs > kMaxNamedClasses) return;
    for (const Part& part : parts_) {
      std::vector<int64_t> counts(At(data_.outputs));
      for (const int64_t row : part.rows) ++counts[At(part.examples.classes[At(row)])];
      for (size_t c = 0; c < counts.size(); ++c) {
        const std::string label = c < data_.labels.size() ? data_.labels[c] : fmt::format("{}", c);
        report_.facts["classes"][std::string(part.name)][label] = counts[c];
        if (counts[c] == 0 && !part.rows.empty()) {
          Warn("the {} part has no row of class \"{}\"", part.name, label);
        }
      }
    }
  }

  void ReportColumns() {
    const RawTable& raw = *data_.raw_train;
    for (size_t i = 0; i < raw.number_names.size(); ++i) {
      ReportColumn(raw.number_names[i], "number",
                   [i](const RawTable& table, int64_t row) { return table.NumberOf(row, i); });
    }
    for (size_t i = 0; i < raw.text_names.size(); ++i) {
      ReportColumn(raw.text_names[i], "text",
                   [i](const RawTable& table, int64_t row) { return table.TextOf(row, i); });
    }
  }

  static bool IsMissing(float number) { return std::isnan(number); }
  static bool IsMissing(std::string_view text) { return text.empty(); }

  template <class CellOf>
  void ReportColumn(const std::string& name, std::string_view kind, const CellOf& cell_of) {
    Json& out = report_.facts["columns"].emplace_back();
    out["name"] = name;
    out["kind"] = kind;
    for (const Part& part : parts_) {
      const RawTable& raw = part.name == "test" ? *data_.raw_test : *data_.raw_train;
      out["missing"][std::string(part.name)] =
          std::count_if(part.rows.begin(), part.rows.end(),
                        [&](int64_t row) { return IsMissing(cell_of(raw, row)); });
    }
    using Cell = decltype(cell_of(*data_.raw_train, 0));
    std::map<Cell, std::set<int64_t>> classes;  // of each value
    Summary summary;
    size_t told_apart = 0;
    for (const int64_t row : data_.train_rows) {
      const Cell cell = cell_of(*data_.raw_train, row);
      if (IsMissing(cell)) continue;
      if constexpr (std::is_same_v<Cell, float>) summary.Add(cell);
      // Of a column with more values than classes nothing is asked any more.
      if (classes.size() <= At(data_.outputs) + 1 && !data_.train->classes.empty()) {
        classes[cell].insert(data_.train->classes[At(row)]);
      } else if constexpr (std::is_same_v<Cell, std::string_view>) {
        classes[cell];
      }
    }
    for (const auto& [cell, with] : classes) told_apart += with.size() == 1;
    if constexpr (std::is_same_v<Cell, float>) {
      summary.Put(out);
      if (summary.never_changes()) Warn("column \"{}\" never changes in the training rows", name);
      WarnOfCopies(name, cell_of);
    } else {
      out["values"] = classes.size();
      if (classes.size() == 1) Warn("column \"{}\" never changes in the training rows", name);
    }
    if (data_.outputs > 1 && classes.size() == At(data_.outputs) && told_apart == classes.size()) {
      Warn("column \"{}\" tells the target alone: each of its values goes with one class", name);
    }
  }

  // A column that goes with real targets in a straight line.
  template <class CellOf>
  void WarnOfCopies(const std::string& name, const CellOf& cell_of) {
    if (data_.train->values.empty()) return;
    double count = 0;
    double x_mean = 0;
    double y_mean = 0;
    double xx = 0;
    double yy = 0;
    double xy = 0;
    for (const int64_t row : data_.train_rows) {
      const double x = cell_of(*data_.raw_train, row);
      const double y = data_.train->values[At(row)];
      if (std::isnan(x)) continue;
      ++count;
      const double dx = x - x_mean;
      const double dy = y - y_mean;
      x_mean += dx / count;
      y_mean += dy / count;
      xx += dx * (x - x_mean);
      yy += dy * (y - y_mean);
      xy += dx * (y - y_mean);
    }
    if (count > 2 && std::abs(xy) > kAllButEqual * std::sqrt(xx * yy) && xx * yy > 0) {
      Warn("column \"{}\" tells the target alone: they go together in a straight line", name);
    }
  }

  void ReportSharedRows() {
    std::vector<RowKey> trained;
    for (const int64_t row : data_.train_rows) trained.push_back(data_.raw_train->keys[At(row)]);
    std::sort(trained.begin(), trained.end());
    for (const Part& part : parts_) {
      if (part.name == "train") continue;
      const RawTable& raw = part.name == "test" ? *data_.raw_test : *data_.raw_train;
      const auto shared = std::count_if(part.rows.begin(), part.rows.end(), [&](int64_t row) {
        return std::binary_search(trained.begin(), trained.end(), raw.keys[At(row)]);
      });
      report_.facts["rows_shared_with_train"][std::string(part.name)] = shared;
      if (shared == 0) continue;
      Warn("{} of the {} rows of the {} part are training rows, too", shared, part.rows.size(),
           part.name);
    }
  }

  const TrainingData& data_;
  const std::vector<Part> parts_;
  DataReport report_;
};

}  // namespace

DataReport ReportData(const TrainingData& data) { return Reporter(data).Report(); }

}  // namespace slipway::trainer
