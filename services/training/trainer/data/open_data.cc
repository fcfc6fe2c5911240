#include "services/training/trainer/data/open_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "fmt/format.h"
#include "services/training/spec/data_spec.h"
#include "services/training/trainer/data/fit_table.h"
#include "services/training/trainer/data/idx_examples.h"
#include "services/training/trainer/data/image_examples.h"
#include "services/training/trainer/data/random.h"
#include "services/training/trainer/data/raw_table.h"
#include "services/training/trainer/data/spill_file.h"
#include "services/training/trainer/data/split.h"
#include "services/training/trainer/data/text_windows.h"

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

// How many classes there are, and whether each row is one of them.
absl::StatusOr<int64_t> CountClasses(const training::v1::DataSpec& spec, const Examples& train,
                                     const Examples& test, const std::vector<std::string>& labels) {
  const int64_t named = std::max<int64_t>(spec.labels_size(), std::ssize(labels));
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

// The rows as the network takes them: encoded, or their numbers as they are.
absl::StatusOr<Examples> ToExamples(const RawTable& raw, const std::optional<nn::Table>& table,
                                    const std::string& folder) {
  Examples examples;
  examples.count = raw.count;
  examples.classes = raw.classes;
  examples.values = raw.values;
  examples.input = table.has_value()
                       ? table->encoded()
                       : TensorSpec{nn::Table::kNumbers,
                                    DataType::kFp32,
                                    {Shape::kAny, static_cast<int64_t>(raw.number_columns)}};
  std::vector<float> numbers(raw.number_columns);
  std::vector<std::string_view> texts(raw.text_columns);
  std::vector<float> encoded(static_cast<size_t>(examples.input.shape[1]));
  examples.row_bytes = encoded.size() * sizeof(float);
  ASSIGN_OR_RETURN(SpillFile file, SpillFile::Create(folder));
  for (int64_t row = 0; row < raw.count; ++row) {
    raw.CopyRow(row, numbers, texts);
    if (table.has_value()) table->Encode(numbers, texts, encoded);
    const std::vector<float>& out = table.has_value() ? encoded : numbers;
    RETURN_IF_ERROR(file.Append({reinterpret_cast<const char*>(out.data()), examples.row_bytes}));
  }
  ASSIGN_OR_RETURN(examples.inputs, std::move(file).Map(SpillFile::Access::kAnywhere));
  return examples;
}

// Takes the test and the validation part out of the train part.
absl::Status Split(const training::v1::DataSpec& spec, const SplitInputs& inputs, uint64_t seed,
                   TrainingData& data) {
  if (!spec.has_test()) {
    ASSIGN_OR_RETURN(data.test_rows,
                     TakeShare(data.train_rows, spec.test_fraction(), spec.split(), inputs,
                               Random(seed, kTestStream), "spec.data.test_fraction"));
  }
  if (spec.validation_fraction() > 0) {
    ASSIGN_OR_RETURN(data.validation_rows,
                     TakeShare(data.train_rows, spec.validation_fraction(), spec.split(), inputs,
                               Random(seed, kValidationStream), "spec.data.validation_fraction"));
  }
  return absl::OkStatus();
}

// Pictures and what else has no columns: `read` reads a part.
template <class Read>
absl::Status OpenExamples(const training::v1::DataSpec& spec, uint64_t seed, const Read& read,
                          TrainingData& data) {
  data.labels.assign(spec.labels().begin(), spec.labels().end());
  ASSIGN_OR_RETURN(Examples train, read(spec.train(), "spec.data.train"));
  data.train = std::make_shared<const Examples>(std::move(train));
  data.test = data.train;
  data.train_rows = AllRows(data.train->count);
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
  }
  return Split(spec, {data.train->classes, {}}, seed, data);
}

// Rows are read by the rules of the spec, and encoded with the constants of the base.
absl::Status EncodeAs(const nn::ModelDescription& base, std::optional<nn::Table>& table) {
  constexpr char kField[] = "spec.data.columns";
  if (base.table.has_value() != table.has_value()) {
    return InvalidField(kField, table.has_value()
                                    ? "must be absent: the base takes numbers as they are"
                                    : "is required: the base has rules for the columns of a table");
  }
  if (!table.has_value()) return absl::OkStatus();
  const auto name = [](const nn::Table& in, size_t i) {
    if (i >= in.columns().size()) return std::string("none");
    // The only one, whatever it is called: that of a language model has no name in its data.
    if (in.tokenizer() != nullptr) return std::string("tokens");
    return fmt::format("{} ({})", in.columns()[i]->name(),
                       in.columns()[i]->is_text() ? "text" : "number");
  };
  const size_t count = std::max(table->columns().size(), base.table->columns().size());
  for (size_t i = 0; i < count; ++i) {
    if (name(*table, i) != name(*base.table, i)) {
      return InvalidField(kField, fmt::format("input column {} is {}, and the base's is {}", i,
                                              name(*table, i), name(*base.table, i)));
    }
    if (table->columns()[i]->mask() != base.table->columns()[i]->mask()) {
      return InvalidField(
          kField,
          fmt::format("input column {}, {}, must be masked as the base's is", i, name(*table, i)));
    }
  }
  table = base.table;
  return absl::OkStatus();
}

absl::Status OpenTable(const training::v1::DataSpec& spec, TargetKind targets, uint64_t seed,
                       FileFetcher fetch, const OpenDataOptions& options, TrainingData& data) {
  TableLayout layout;
  layout.labels.assign(spec.labels().begin(), spec.labels().end());
  const auto read =
      [&](const training::v1::Part& part,
          const std::string& field) -> absl::StatusOr<std::shared_ptr<const RawTable>> {
    ASSIGN_OR_RETURN(RawTable table, ReadTable(spec, part, field, targets, fetch, options, layout));
    return std::make_shared<const RawTable>(std::move(table));
  };
  ASSIGN_OR_RETURN(data.raw_train, read(spec.train(), "spec.data.train"));
  data.raw_test = data.raw_train;
  data.train_rows = AllRows(data.raw_train->count);
  if (spec.has_test()) {
    ASSIGN_OR_RETURN(data.raw_test, read(spec.test(), "spec.data.test"));
    data.test_rows = AllRows(data.raw_test->count);
  }
  data.labels = layout.labels;
  RETURN_IF_ERROR(Split(spec, {data.raw_train->classes, data.raw_train->split_cells}, seed, data));
  if (spec.columns_size() > 0) {
    ASSIGN_OR_RETURN(data.table,
                     FitTable(layout, *data.raw_train, spec.standardize(), data.train_rows));
  }
  if (options.base != nullptr) RETURN_IF_ERROR(EncodeAs(*options.base, data.table));
  ASSIGN_OR_RETURN(Examples train, ToExamples(*data.raw_train, data.table, options.folder));
  data.train = std::make_shared<const Examples>(std::move(train));
  data.test = data.train;
  if (data.raw_test == data.raw_train) return absl::OkStatus();
  ASSIGN_OR_RETURN(Examples test, ToExamples(*data.raw_test, data.table, options.folder));
  data.test = std::make_shared<const Examples>(std::move(test));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainingData> OpenData(const training::v1::DataSpec& spec, TargetKind targets,
                                      uint64_t seed, FileFetcher fetch,
                                      const OpenDataOptions& options) {
  TrainingData data;
  if (spec.format() == "text") {
    RETURN_IF_ERROR(OpenText(spec, fetch, options, data));
    return data;
  }
  if (training::IsTable(spec)) {
    RETURN_IF_ERROR(OpenTable(spec, targets, seed, fetch, options, data));
  } else {
    const auto read = [&](const training::v1::Part& part, const std::string& field) {
      return spec.format() == "images"
                 ? ReadImageExamples(spec.image(), part, field, fetch, options, data.labels)
                 : ReadIdxExamples(part, field, targets, fetch);
    };
    RETURN_IF_ERROR(OpenExamples(spec, seed, read, data));
  }
  data.outputs = 1;
  if (targets == TargetKind::kClass) {
    ASSIGN_OR_RETURN(data.outputs, CountClasses(spec, *data.train, *data.test, data.labels));
  }
  return data;
}

nn::ModelDescription DescribeModel(const training::Spec& spec, const TrainingData& data) {
  nn::ModelDescription description;
  description.task = training::TaskOf(spec.targets);
  description.input = data.train->input;
  description.table = data.table;
  if (spec.job.data().format() == "images") {
    description.pictures = ScalingOf(spec.job.data().image());
  }
  description.labels = data.labels;
  description.architecture = spec.architecture;
  const Tokenizer* const tokenizer = data.table.has_value() ? data.table->tokenizer() : nullptr;
  if (tokenizer != nullptr && spec.architecture != nullptr) {
    description.architecture = spec.architecture->ForTokens(tokenizer->size());
  }
  int64_t outputs = data.outputs;
  if (description.task == nn::Task::kMaskedLanguageModel && description.architecture != nullptr) {
    outputs = description.architecture->embedding_width();
  }
  description.output = nn::OutputOf(description.task, outputs);
  return description;
}

absl::StatusOr<std::vector<std::shared_ptr<const nn::Preprocessing>>> FitPreprocessing(
    const training::v1::DataSpec& spec, const TrainingData& data) {
  std::vector<std::shared_ptr<const nn::Preprocessing>> steps;
  if (data.table.has_value()) return steps;  // it does all of that, column by column
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
