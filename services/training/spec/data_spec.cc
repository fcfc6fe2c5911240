#include "services/training/spec/data_spec.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/names/file_path.h"
#include "common/names/names.h"
#include "common/nn/column.h"
#include "common/tokenizer/tokenizer.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::training {
namespace {

constexpr int kMaxLabels = 100'000;
constexpr size_t kMaxLabelBytes = 256;
constexpr size_t kMaxColumnBytes = 1024;
constexpr int kMaxBuckets = 10'000;
constexpr double kMaxWidth = 1e30;
constexpr int kMaxImageSide = 4096;

void CheckSource(const v1::ObjectSource& source, Problems& problems) {
  if (source.store().empty()) {
    problems.Add("spec.data.source.store", "is required: a store that the operator has configured");
  } else {
    problems.Add(CheckSlug("spec.data.source.store", source.store()));
  }
  std::string prefix = source.prefix();
  if (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty()) problems.Add(CheckFilePath("spec.data.source.prefix", prefix));
}

void CheckPart(const std::string& path, const v1::Part& part, bool has_targets,
               Problems& problems) {
  const auto check = [&](const std::string& field, const std::string& file) {
    if (file.empty()) return problems.Add(field, "is required: a path of a file in the dataset");
    problems.Add(CheckFilePath(field, file));
  };
  check(path + ".inputs", part.inputs());
  if (has_targets) {
    check(path + ".targets", part.targets());
  } else if (!part.targets().empty()) {
    problems.Add(
        path + ".targets",
        "is for idx; in tables spec.data.target_column names the target, and the folder of "
        "an image is its class");
  }
}

void CheckLabels(const v1::DataSpec& data, Problems& problems) {
  if (data.labels_size() > kMaxLabels) {
    return problems.Add("spec.data.labels",
                        fmt::format("must be at most {}, got {}", kMaxLabels, data.labels_size()));
  }
  std::set<std::string_view> seen;
  for (int i = 0; i < data.labels_size(); ++i) {
    const std::string& label = data.labels(i);
    const std::string path = fmt::format("spec.data.labels[{}]", i);
    if (label.empty() || label.size() > kMaxLabelBytes) {
      problems.Add(path, fmt::format("must be 1 to {} bytes", kMaxLabelBytes));
    } else if (!seen.insert(label).second) {
      problems.Add(path, fmt::format("repeats \"{}\"", label));
    }
  }
}

constexpr std::string_view kFormats[] = {"idx", "csv", "jsonl", "parquet", "images", "text"};
constexpr std::string_view kFits[] = {"stretch", "crop"};
constexpr std::string_view kKinds[] = {"number", "category", "date", "text", "ignore"};
constexpr std::string_view kMissing[] = {"drop", "mean", "median", "mode", "constant"};
constexpr std::string_view kMissingTexts[] = {"drop", "mode", "constant"};
constexpr std::string_view kMethods[] = {"z_score", "iqr"};
constexpr std::string_view kActions[] = {"clip", "drop"};
constexpr std::string_view kScales[] = {"none", "standardize", "min_max", "robust"};
constexpr std::string_view kEncodings[] = {"one_hot", "ordinal", "hash"};
constexpr std::string_view kParts[] = {"year", "month", "day", "weekday", "hour", "minute"};
constexpr std::string_view kMasks[] = {"hash", "redact", "generalize"};
constexpr std::string_view kTokenizers[] = {"byte", "character", "word"};
constexpr std::string_view kSplits[] = {"random", "stratified", "group", "time"};

// One of `choices`, or left out.
void CheckChoice(const std::string& path, const std::string& value,
                 std::span<const std::string_view> choices, Problems& problems) {
  if (value.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  problems.Add(path, fmt::format("must be one of {}, got \"{}\"", fmt::join(choices, ", "), value));
}

void CheckSplit(const v1::DataSpec& data, Problems& problems) {
  const v1::SplitSpec& split = data.split();
  CheckChoice("spec.data.split.method", split.method(), kSplits, problems);
  const bool by_column = split.method() == "group" || split.method() == "time";
  if (by_column && !IsTable(data)) {
    problems.Add("spec.data.split.method", "goes by a column, and only tables have columns");
  } else if (by_column && split.column().empty()) {
    problems.Add("spec.data.split.column", "is required: what the split goes by");
  }
  if (data.has_split() && data.format() == "text") {
    problems.Add("spec.data.split", "must be absent: of a text the end is held out");
  }
  if (!by_column && !split.column().empty()) {
    problems.Add("spec.data.split.column", "is for the methods group and time");
  }
  if (split.method() == "group" && split.column() == data.target_column()) {
    problems.Add("spec.data.split.column", "must not be the target");
  }
}

void CheckImages(const v1::DataSpec& data, Problems& problems) {
  const bool images = data.format() == "images";
  if (images) {
    const v1::ImageSpec& image = data.image();
    problems.CheckRange("spec.data.image.height", image.height(), 1, kMaxImageSide);
    problems.CheckRange("spec.data.image.width", image.width(), 1, kMaxImageSide);
    CheckChoice("spec.data.image.fit", image.fit(), kFits, problems);
    if (image.channels() != 0 && image.channels() != 1 && image.channels() != 3) {
      problems.Add("spec.data.image.channels",
                   fmt::format("must be 1 or 3, got {}", image.channels()));
    }
  } else if (data.has_image()) {
    problems.Add("spec.data.image", "is for images");
  }
  if (!data.has_augment()) return;
  if (IsTable(data)) problems.Add("spec.data.augment", "is for pictures");
  problems.CheckRange("spec.data.augment.shift", data.augment().shift(), 0, kMaxImageSide);
  problems.CheckRange("spec.data.augment.crop", data.augment().crop(), 0.0, 1.0);
}

// What only some kinds of columns have.
void CheckOnlyFor(const std::string& path, std::string_view key, bool given, std::string_view kinds,
                  Problems& problems) {
  if (given) problems.Add(fmt::format("{}.{}", path, key), fmt::format("is for {} only", kinds));
}

void CheckOutliers(const std::string& path, const v1::OutlierSpec& outliers, Problems& problems) {
  CheckChoice(path + ".method", outliers.method(), kMethods, problems);
  CheckChoice(path + ".action", outliers.action(), kActions, problems);
  if (outliers.method().empty()) problems.Add(path + ".method", "is required: z_score or iqr");
  if (outliers.action().empty()) problems.Add(path + ".action", "is required: clip or drop");
  problems.CheckRange(path + ".limit", outliers.limit(), 0.0, 1e6);
}

void CheckConstant(const std::string& path, const v1::ColumnSpec& column, Problems& problems) {
  const bool is_text = IsText(column);
  const auto given = column.constant().kind_case();
  const bool fits = is_text ? !absl::StripAsciiWhitespace(column.constant().string_value()).empty()
                            : given == google::protobuf::Value::kNumberValue &&
                                  std::isfinite(column.constant().number_value());
  if (column.missing() != "constant") {
    CheckOnlyFor(path, "constant", column.has_constant(), "missing: constant", problems);
  } else if (!fits) {
    problems.Add(path + ".constant", is_text ? "must be a text" : "must be a finite number");
  } else if (column.kind() == "date" && !nn::ParseDate(column.constant().string_value())) {
    problems.Add(path + ".constant", "must be a date such as 2026-11-22");
  } else if (column.values_size() > 0 &&
             std::find(column.values().begin(), column.values().end(),
                       column.constant().string_value()) == column.values().end()) {
    problems.Add(path + ".constant", "must be one of values");
  }
}

void CheckCategory(const std::string& path, const v1::ColumnSpec& column, Problems& problems) {
  CheckChoice(path + ".encoding", column.encoding(), kEncodings, problems);
  const bool hash = column.encoding() == "hash";
  if (hash) problems.CheckRange(path + ".buckets", column.buckets(), 2, kMaxBuckets);
  CheckOnlyFor(path, "buckets", !hash && column.buckets() != 0, "encoding: hash", problems);
  CheckOnlyFor(path, "values", hash && column.values_size() > 0, "one_hot and ordinal", problems);
  std::set<std::string_view> seen;
  for (int i = 0; i < column.values_size(); ++i) {
    if (column.values(i).empty() || !seen.insert(column.values(i)).second) {
      problems.Add(fmt::format("{}.values[{}]", path, i), "must be a text that is there once");
    }
  }
}

// A mask leaves nothing of a value in the version: with hash there is a bucket, and no hash that
// guesses could be compared with.
void CheckMask(const std::string& path, const v1::ColumnSpec& column, Problems& problems) {
  const v1::MaskSpec& mask = column.mask();
  const std::string mask_path = path + ".mask";
  CheckChoice(mask_path + ".method", mask.method(), kMasks, problems);
  if (mask.method().empty()) {
    problems.Add(mask_path + ".method",
                 fmt::format("is required: one of {}", fmt::join(kMasks, ", ")));
  }
  const bool category = column.kind() == "category";
  const bool date = column.kind() == "date";
  const bool generalize = mask.method() == "generalize";
  if (column.kind() == "ignore") problems.Add(mask_path, "is for inputs only");
  if (mask.method() == "hash" && column.encoding() != "hash") {
    problems.Add(mask_path + ".method", "is for categories with encoding: hash");
  }
  if (mask.method() == "hash" && column.missing() == "mode") {
    problems.Add(path + ".missing", "must not be mode: the version would hold a hash");
  }
  if (mask.method() == "redact" && !category) {
    problems.Add(mask_path + ".method", "is for categories");
  }
  CheckOnlyFor(path, "values", mask.method() == "redact" && column.values_size() > 0,
               "cells that are not redacted", problems);
  if (generalize && category) {
    problems.CheckRange<int64_t>(mask_path + ".prefix", mask.prefix(), 1, nn::Mask::kMaxPrefix);
  } else {
    CheckOnlyFor(mask_path, "prefix", mask.prefix() != 0, "categories that are generalized",
                 problems);
  }
  if (generalize && date) {
    CheckChoice(mask_path + ".unit", mask.unit(), nn::Mask::kUnits, problems);
    if (mask.unit().empty()) problems.Add(mask_path + ".unit", "is required: year, month or day");
  } else {
    CheckOnlyFor(mask_path, "unit", !mask.unit().empty(), "dates that are generalized", problems);
  }
  if (generalize && !category && !date) {
    if (!(mask.width() > 0 && mask.width() <= kMaxWidth)) {
      problems.Add(mask_path + ".width", fmt::format("must be more than 0 and at most {}, got {}",
                                                     kMaxWidth, mask.width()));
    }
  } else {
    CheckOnlyFor(mask_path, "width", mask.width() != 0, "numbers that are generalized", problems);
  }
}

void CheckTokenizer(const std::string& path, const v1::TokenizerSpec& tokenizer,
                    Problems& problems) {
  CheckChoice(path + ".type", tokenizer.type(), kTokenizers, problems);
  if (tokenizer.type().empty()) {
    problems.Add(path + ".type",
                 fmt::format("is required; must be one of {}", fmt::join(kTokenizers, ", ")));
  }
  problems.CheckRange<int64_t>(path + ".max_length", tokenizer.max_length(), 1,
                               nn::TextColumn::kMaxLength);
  const bool fitted = tokenizer.type() != "byte";
  CheckOnlyFor(path, "vocab_size", !fitted && tokenizer.vocab_size() != 0, "characters and words",
               problems);
  CheckOnlyFor(path, "min_frequency", !fitted && tokenizer.min_frequency() != 0,
               "characters and words", problems);
  if (fitted && tokenizer.vocab_size() != 0) {
    problems.CheckRange<int64_t>(path + ".vocab_size", tokenizer.vocab_size(),
                                 Tokenizer::kFirstToken + 1, Tokenizer::kMaxSize);
  }
  if (tokenizer.min_frequency() < 0) {
    problems.Add(path + ".min_frequency",
                 fmt::format("must be at least 0, got {}", tokenizer.min_frequency()));
  }
}

void CheckColumn(const std::string& path, const v1::ColumnSpec& column, Problems& problems) {
  CheckChoice(path + ".kind", column.kind(), kKinds, problems);
  const bool category = column.kind() == "category";
  const bool date = column.kind() == "date";
  const bool text = column.kind() == "text";
  const bool number = column.kind().empty() || column.kind() == "number";
  if (number) {
    CheckChoice(path + ".missing", column.missing(), kMissing, problems);
  } else {
    CheckChoice(path + ".missing", column.missing(), kMissingTexts, problems);
  }
  CheckChoice(path + ".scale", column.scale(), kScales, problems);
  CheckConstant(path, column, problems);
  if (category) CheckCategory(path, column, problems);
  if (text) CheckTokenizer(path + ".tokenizer", column.tokenizer(), problems);
  if (column.has_outliers() && number) {
    CheckOutliers(path + ".outliers", column.outliers(), problems);
  }
  CheckOnlyFor(path, "mask", text && column.has_mask(), "numbers, categories and dates", problems);
  if (column.has_mask() && !text) CheckMask(path, column, problems);
  if (date && column.parts().empty()) {
    problems.Add(path + ".parts", fmt::format("is required: some of {}", fmt::join(kParts, ", ")));
  }
  for (int i = 0; i < column.parts_size(); ++i) {
    CheckChoice(fmt::format("{}.parts[{}]", path, i), column.parts(i), kParts, problems);
  }
  CheckOnlyFor(path, "missing", column.kind() == "ignore" && !column.missing().empty(), "inputs",
               problems);
  CheckOnlyFor(path, "outliers", !number && column.has_outliers(), "numbers", problems);
  CheckOnlyFor(path, "log", !number && column.log(), "numbers", problems);
  CheckOnlyFor(path, "scale", !number && !date && !column.scale().empty(), "numbers and dates",
               problems);
  CheckOnlyFor(path, "encoding", !category && !column.encoding().empty(), "categories", problems);
  CheckOnlyFor(path, "buckets", !category && column.buckets() != 0, "categories", problems);
  CheckOnlyFor(path, "values", !category && column.values_size() > 0, "categories", problems);
  CheckOnlyFor(path, "parts", !date && column.parts_size() > 0, "dates", problems);
  CheckOnlyFor(path, "tokenizer", !text && column.has_tokenizer(), "text", problems);
}

void CheckColumns(const v1::DataSpec& data, Problems& problems) {
  if (!IsTable(data)) {
    if (data.columns_size() > 0) problems.Add("spec.data.columns", "is for tables");
    if (data.drop_duplicates()) problems.Add("spec.data.drop_duplicates", "is for tables");
    return;
  }
  if (data.columns_size() > 0 && data.scale() > 0) {
    problems.Add("spec.data.scale", "must be absent where spec.data.columns says what to scale");
  }
  const auto inputs = std::count_if(
      data.columns().begin(), data.columns().end(), [&](const v1::ColumnSpec& column) {
        return column.kind() != "ignore" && column.name() != data.target_column();
      });
  std::set<std::string_view> names;
  for (int i = 0; i < data.columns_size(); ++i) {
    const v1::ColumnSpec& column = data.columns(i);
    const std::string path = fmt::format("spec.data.columns[{}]", i);
    if (column.kind() == "text" && inputs > 1) {
      problems.Add(path + ".kind", "must be the only input where it is text");
    }
    if (column.name().empty() || column.name().size() > kMaxColumnBytes) {
      problems.Add(path + ".name", fmt::format("must be 1 to {} bytes", kMaxColumnBytes));
    } else if (!names.insert(column.name()).second) {
      problems.Add(path + ".name", fmt::format("repeats \"{}\"", column.name()));
    }
    if (column.name() != data.target_column()) {
      CheckColumn(path, column, problems);
      continue;
    }
    v1::ColumnSpec other = column;
    other.clear_name();
    other.clear_missing();
    if (other.ByteSizeLong() > 0 || (!column.missing().empty() && column.missing() != "drop")) {
      problems.Add(path, "is the target: there may be missing: drop, and nothing else");
    }
  }
}

}  // namespace

absl::Status ForEachFile(
    const v1::DataSpec& data,
    absl::FunctionRef<absl::Status(std::string_view field, const std::string& path)> visit) {
  const std::pair<std::string_view, const std::string&> files[] = {
      {"spec.data.train.inputs", data.train().inputs()},
      {"spec.data.train.targets", data.train().targets()},
      {"spec.data.test.inputs", data.test().inputs()},
      {"spec.data.test.targets", data.test().targets()}};
  for (const auto& [field, path] : files) {
    if (!path.empty()) RETURN_IF_ERROR(visit(field, path));
  }
  return absl::OkStatus();
}

bool IsTable(const v1::DataSpec& data) {
  return data.format() == "csv" || data.format() == "jsonl" || data.format() == "parquet";
}

bool IsText(const v1::ColumnSpec& column) {
  return column.kind() == "category" || column.kind() == "date" || column.kind() == "text";
}

bool HasTokens(const v1::DataSpec& data) {
  return data.format() == "text" ||
         std::any_of(data.columns().begin(), data.columns().end(),
                     [](const v1::ColumnSpec& column) { return column.kind() == "text"; });
}

void CheckData(const v1::JobSpec& job, Problems& problems) {
  if (!job.has_data()) return problems.Add("spec.data", "is required");
  const v1::DataSpec& data = job.data();
  const bool idx = data.format() == "idx";
  const bool table = IsTable(data);
  const bool text = data.format() == "text";
  CheckChoice("spec.data.format", data.format(), kFormats, problems);
  if (data.format().empty()) {
    problems.Add("spec.data.format",
                 fmt::format("is required; must be one of {}", fmt::join(kFormats, ", ")));
  }
  if (std::find(std::begin(kFormats), std::end(kFormats), data.format()) != std::end(kFormats)) {
    if (data.has_train()) {
      CheckPart("spec.data.train", data.train(), idx, problems);
    } else {
      problems.Add("spec.data.train", "is required");
    }
    if (data.has_test()) CheckPart("spec.data.test", data.test(), idx, problems);
    if (table && data.target_column().empty()) {
      problems.Add("spec.data.target_column", "is required for tables: the column to predict");
    }
    if (data.target_column().size() > kMaxColumnBytes) {
      problems.Add("spec.data.target_column",
                   fmt::format("must be at most {} bytes", kMaxColumnBytes));
    }
    if (!table && !data.target_column().empty()) {
      problems.Add("spec.data.target_column",
                   "is for tables; in idx the targets are a file, of images the folders");
    }
    if (text) CheckTokenizer("spec.data.tokenizer", data.tokenizer(), problems);
    if (text && data.labels_size() > 0) {
      problems.Add("spec.data.labels", "names classes, and a text has tokens");
    }
    if (!text && data.has_tokenizer()) {
      problems.Add("spec.data.tokenizer", "is for text; a column of text has one of its own");
    }
  }
  if (data.has_source()) CheckSource(data.source(), problems);
  problems.CheckRange("spec.data.validation_fraction", data.validation_fraction(), 0.0, 0.5);
  problems.CheckRange("spec.data.test_fraction", data.test_fraction(), 0.0, 0.5);
  if (data.has_test() && data.test_fraction() > 0) {
    problems.Add("spec.data.test_fraction", "must be absent where spec.data.test is given");
  }
  if (!data.has_test() && data.test_fraction() == 0) {
    problems.Add("spec.data.test",
                 "is required, or spec.data.test_fraction: a version is registered with what it "
                 "scores on data that training never saw");
  }
  problems.CheckRange("spec.data.scale", data.scale(), 0.0, 1e12);
  CheckLabels(data, problems);
  CheckImages(data, problems);
  CheckSplit(data, problems);
  CheckColumns(data, problems);
}

void CheckDataFits(const v1::DataSpec& data, TargetKind targets, Problems& problems) {
  if (targets != TargetKind::kReal) return;
  if (data.format() == "images") {
    problems.Add("spec.data.format", "has classes (folders), and this loss has none");
  }
  if (data.labels_size() > 0) {
    problems.Add("spec.data.labels", "names classes, and this loss has none");
  }
  if (data.split().method() == "stratified") {
    problems.Add("spec.data.split.method", "goes by classes, and this loss has none");
  }
}

}  // namespace slipway::training
