#include "services/training/trainer/data/open_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "fmt/format.h"
#include "services/training/trainer/data/csv_examples.h"
#include "services/training/trainer/data/idx_examples.h"
#include "services/training/trainer/data/random.h"

namespace slipway::trainer {
namespace {

using training::TargetKind;

constexpr uint64_t kTestStream = uint64_t{1} << 62;
constexpr uint64_t kValidationStream = kTestStream + 1;

std::vector<int64_t> AllRows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

// Moves a random share of `rows` out of it, at least one row and never all. Both keep the
// file's order.
absl::StatusOr<std::vector<int64_t>> TakeShare(std::vector<int64_t>& rows, double share,
                                               Random random, const std::string& field) {
  const auto count =
      static_cast<size_t>(std::max(1.0, std::round(share * static_cast<double>(rows.size()))));
  if (count >= rows.size()) {
    return InvalidField(field,
                        fmt::format("leaves nothing to train on: there are {} rows", rows.size()));
  }
  Shuffle(rows, random);
  std::vector<int64_t> taken(rows.end() - static_cast<ptrdiff_t>(count), rows.end());
  rows.resize(rows.size() - count);
  std::sort(rows.begin(), rows.end());
  std::sort(taken.begin(), taken.end());
  return taken;
}

// How many classes there are, and whether each row is one of them.
absl::StatusOr<int64_t> CountClasses(const training::v1::DataSpec& spec, const Examples& train,
                                     const Examples& test, const CsvLayout& layout) {
  const int64_t named = std::max<int64_t>(spec.labels_size(), std::ssize(layout.labels));
  const int64_t classes =
      named > 0 ? named : *std::max_element(train.classes.begin(), train.classes.end()) + 1;
  const auto check = [&](const Examples& examples, std::string_view part) -> absl::Status {
    for (size_t row = 0; row < examples.classes.size(); ++row) {
      if (examples.classes[row] < classes) continue;
      return InvalidField(
          fmt::format("spec.data.{}.targets", part),
          fmt::format("row {} has class {}, and {} {} classes", row, examples.classes[row],
                      named > 0 ? "spec.data.labels names" : "the train part has", classes));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(check(train, "train"));
  RETURN_IF_ERROR(check(test, "test"));
  if (classes < 2) return InvalidField("spec.data.train", "has one class: nothing to tell apart");
  return classes;
}

// Sums over the elements of rows: of value - center, and of its square. With one center for each
// column, or one for all.
struct Moments {
  std::vector<double> sum;
  std::vector<double> squares;
};

// Element by element: sum(place, value) for each.
template <class T, class Sum>
void VisitElements(const Examples& examples, const std::vector<int64_t>& rows, const Sum& sum) {
  const size_t width = examples.row_bytes / sizeof(T);
  std::vector<T> values(width);
  for (const int64_t row : rows) {
    std::memcpy(values.data(),
                examples.inputs.data() + static_cast<size_t>(row) * examples.row_bytes,
                examples.row_bytes);
    for (size_t i = 0; i < width; ++i) sum(i, values[i]);
  }
}

Moments SumMoments(const Examples& examples, const std::vector<int64_t>& rows,
                   const std::vector<double>& center) {
  const bool per_column = center.size() > 1;
  Moments moments{std::vector<double>(center.size()), std::vector<double>(center.size())};
  const auto add = [&](size_t place, double value, double times) {
    const double distance = value - center[place];
    moments.sum[place] += times * distance;
    moments.squares[place] += times * distance * distance;
  };
  if (examples.input.dtype == DataType::kFp32) {
    VisitElements<float>(examples, rows,
                         [&](size_t i, float value) { add(per_column ? i : 0, value, 1); });
  } else if (per_column) {
    VisitElements<uint8_t>(examples, rows, [&](size_t i, uint8_t value) { add(i, value, 1); });
  } else {
    // Pixels are many, and their values few.
    std::array<int64_t, 256> times{};
    VisitElements<uint8_t>(examples, rows, [&](size_t, uint8_t value) { ++times[value]; });
    for (size_t value = 0; value < times.size(); ++value) {
      add(0, static_cast<double>(value), static_cast<double>(times[value]));
    }
  }
  return moments;
}

}  // namespace

absl::StatusOr<TrainingData> OpenData(const training::v1::DataSpec& spec, TargetKind targets,
                                      uint64_t seed, FileFetcher fetch) {
  CsvLayout layout;
  layout.labels.assign(spec.labels().begin(), spec.labels().end());
  const auto read = [&](const training::v1::Part& part, const std::string& field) {
    return spec.format() == "csv"
               ? ReadCsvExamples(part, field, spec.target_column(), targets, fetch, layout)
               : ReadIdxExamples(part, field, targets, fetch);
  };
  TrainingData data;
  ASSIGN_OR_RETURN(Examples train, read(spec.train(), "spec.data.train"));
  data.train_rows = AllRows(train.count);
  data.train = std::make_shared<const Examples>(std::move(train));
  if (spec.has_test()) {
    ASSIGN_OR_RETURN(Examples test, read(spec.test(), "spec.data.test"));
    if (test.input != data.train->input) {
      return InvalidField(
          "spec.data.test.inputs",
          fmt::format("{} has rows of {}, the train part {}", spec.test().inputs(),
                      test.input.shape.ToString(), data.train->input.shape.ToString()));
    }
    data.test_rows = AllRows(test.count);
    data.test = std::make_shared<const Examples>(std::move(test));
  } else {
    ASSIGN_OR_RETURN(data.test_rows,
                     TakeShare(data.train_rows, spec.test_fraction(), Random(seed, kTestStream),
                               "spec.data.test_fraction"));
    data.test = data.train;
  }
  if (spec.validation_fraction() > 0) {
    ASSIGN_OR_RETURN(data.validation_rows,
                     TakeShare(data.train_rows, spec.validation_fraction(),
                               Random(seed, kValidationStream), "spec.data.validation_fraction"));
  }
  data.outputs = 1;
  if (targets == TargetKind::kClass) {
    ASSIGN_OR_RETURN(data.outputs, CountClasses(spec, *data.train, *data.test, layout));
    data.labels = layout.labels;
  }
  return data;
}

absl::StatusOr<std::vector<std::shared_ptr<const nn::Preprocessing>>> FitPreprocessing(
    const training::v1::DataSpec& spec, const TrainingData& data) {
  std::vector<std::shared_ptr<const nn::Preprocessing>> steps;
  const double scale = spec.scale() > 0 ? spec.scale() : 1;
  if (scale != 1) steps.push_back(nn::MakeRescale(scale));
  if (!spec.standardize()) return steps;

  const Examples& train = *data.train;
  // Pixels have one mean and deviation together, columns of a table each their own.
  const bool per_column = train.input.shape.rank() == 2;
  const size_t width = train.row_bytes / ElementSize(train.input.dtype);
  const size_t places = per_column ? width : 1;
  const double count =
      static_cast<double>(data.train_rows.size()) * (per_column ? 1.0 : static_cast<double>(width));
  // In two passes: the difference of two large sums would lose the variance of, say, dates.
  std::vector<double> mean = SumMoments(train, data.train_rows, std::vector<double>(places)).sum;
  for (double& value : mean) value /= count;
  std::vector<double> deviation = SumMoments(train, data.train_rows, mean).squares;
  for (size_t i = 0; i < places; ++i) {
    deviation[i] = std::sqrt(deviation[i] / count) / scale;
    mean[i] /= scale;
    // A column that never changes has nothing to scale.
    if (!(deviation[i] > 1e-12 * std::max(1.0, std::abs(mean[i])))) deviation[i] = 1;
    if (!std::isfinite(mean[i]) || !std::isfinite(deviation[i])) {
      return InvalidField("spec.data.standardize", "the inputs are too large to have a variance");
    }
  }
  steps.push_back(nn::MakeStandardize(std::move(mean), std::move(deviation)));
  return steps;
}

}  // namespace slipway::trainer
