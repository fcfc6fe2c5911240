#include "services/training/plan/propose.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "common/idx/idx.h"
#include "common/nn/column.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/spec.h"
#include "services/training/trainer/data/raw_table.h"
#include "services/training/trainer/data/table_reader.h"

namespace slipway::training {
namespace {

using nlohmann::json;

constexpr int kMostFiles = 16;
constexpr size_t kMostClasses = 20;  // of numbers that might be classes
constexpr size_t kMostOneHot = 32;
constexpr size_t kMostDistinct = 10'000;
constexpr int kBuckets = 64;
constexpr double kTestFraction = 0.2;
// Below this many rows a part to watch the training with costs more than it tells.
constexpr int64_t kRowsForValidation = 1000;
constexpr int64_t kFewRows = 1000;
constexpr int64_t kManyRows = 20'000;
// Steps after which small networks have learnt what they can.
constexpr int64_t kSteps = 1500;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool IsTestName(const std::string& path) {
  return Contains(path, "test") || Contains(path, "t10k");
}

// "csv", "jsonl", "parquet" or "", by the name of a file.
std::string_view FormatOf(std::string_view path) {
  if (path.ends_with(".parquet")) return "parquet";
  if (path.ends_with(".gz")) path.remove_suffix(3);
  for (const std::string_view format : {"csv", "jsonl"}) {
    if (path.size() > format.size() && path.ends_with(format) &&
        path[path.size() - format.size() - 1] == '.') {
      return format;
    }
  }
  return "";
}

template <class Message>
Message FromJson(const json& object) {
  Message out;
  // What is written below always fits.
  (void)google::protobuf::util::JsonStringToMessage(object.dump(), &out);
  return out;
}

// ---- Arrays. ----

struct Array {
  std::string path;
  IdxHeader header;
};

// The targets of some inputs: as many, and of the name that is most alike.
const Array* FindTargets(const Array& inputs, const std::vector<Array>& arrays) {
  const auto alike = [&](const Array& array) {
    return std::mismatch(array.path.begin(), array.path.end(), inputs.path.begin(),
                         inputs.path.end())
               .first -
           array.path.begin();
  };
  const Array* found = nullptr;
  for (const Array& array : arrays) {
    if (array.header.shape.rank() != 1 || array.header.shape[0] != inputs.header.shape[0]) continue;
    if (found == nullptr || alike(array) > alike(*found)) found = &array;
  }
  return found;
}

absl::Status ProposeArrays(const std::vector<Array>& arrays, Proposal& proposal) {
  const Array* train = nullptr;
  const Array* test = nullptr;
  for (const Array& array : arrays) {
    if (array.header.shape.rank() < 2) continue;
    const Array*& part = IsTestName(array.path) ? test : train;
    if (part != nullptr) {
      return InvalidField("spec.data", fmt::format("is required: {} and {} may both be what to "
                                                   "train on",
                                                   part->path, array.path));
    }
    part = &array;
  }
  if (train == nullptr) std::swap(train, test);
  const Array* const targets = train == nullptr ? nullptr : FindTargets(*train, arrays);
  if (targets == nullptr) {
    return InvalidField("spec.data", "is required: no array of targets fits the arrays of rows");
  }
  v1::DataSpec& data = *proposal.spec.mutable_data();
  data.set_format("idx");
  data.mutable_train()->set_inputs(train->path);
  data.mutable_train()->set_targets(targets->path);
  const Array* const test_targets = test == nullptr ? nullptr : FindTargets(*test, arrays);
  if (test_targets != nullptr) {
    data.mutable_test()->set_inputs(test->path);
    data.mutable_test()->set_targets(test_targets->path);
  } else {
    data.set_test_fraction(kTestFraction);
  }
  data.set_scale(255);
  data.set_standardize(true);
  proposal.reasons.push_back(
      fmt::format("data: {} has {} arrays of bytes, and {} a target for each; 0 to 255 becomes 0 "
                  "to 1, then mean 0 and deviation 1",
                  train->path, train->header.shape[0], targets->path));
  return absl::OkStatus();
}

// ---- Tables. ----

// What the cells of a column look like.
struct ColumnFacts {
  std::string name;
  size_t present = 0;
  size_t missing = 0;
  size_t numbers = 0;
  size_t whole_numbers = 0;
  size_t dates = 0;
  bool has_times = false;
  std::set<std::string, std::less<>> distinct;  // at most kMostDistinct

  bool all_numbers() const { return present > 0 && numbers == present; }
  bool all_dates() const { return present > 0 && dates == present; }
};

void LookAt(std::string_view cell, ColumnFacts& facts) {
  // As the trainer reads it.
  while (cell.starts_with(' ')) cell.remove_prefix(1);
  while (cell.ends_with(' ')) cell.remove_suffix(1);
  if (trainer::IsMissingNumber(cell)) {
    ++facts.missing;
    return;
  }
  ++facts.present;
  if (const auto number = trainer::ParseNumber(cell); number.has_value()) {
    ++facts.numbers;
    facts.whole_numbers += std::trunc(*number) == *number;
  } else if (nn::ParseDate(cell).has_value()) {
    ++facts.dates;
    facts.has_times = facts.has_times || Contains(cell, ":");
  }
  if (facts.distinct.size() < kMostDistinct && !facts.distinct.contains(cell)) {
    facts.distinct.emplace(cell);
  }
}

absl::StatusOr<std::vector<ColumnFacts>> LookAtColumns(const std::string& format,
                                                       const std::string& local,
                                                       const std::string& name) {
  ASSIGN_OR_RETURN(const auto reader, trainer::OpenTableFile(format, local, name));
  std::vector<ColumnFacts> columns(reader->columns().size());
  for (size_t i = 0; i < columns.size(); ++i) columns[i].name = reader->columns()[i];
  std::vector<std::string_view> cells;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader->Next(cells));
    if (!more) return columns;
    for (size_t i = 0; i < columns.size(); ++i) LookAt(cells[i], columns[i]);
  }
}

// The rule for an input, and why; a plain number needs none.
std::optional<json> RuleFor(const ColumnFacts& facts, std::string& why) {
  const std::string& name = facts.name;
  const auto ignore = [&](std::string_view reason) {
    why = reason;
    return json{{"name", name}, {"kind", "ignore"}};
  };
  if (facts.present == 0) return ignore("is empty");
  json rule = {{"name", name}};
  if (facts.all_numbers()) {
    const bool is_name = name == "id" || name == "Id" || name == "ID" || name == "index";
    if (is_name && facts.whole_numbers == facts.present) return ignore("only numbers the rows");
    if (facts.missing == 0) return std::nullopt;
    rule["missing"] = "median";
    why = fmt::format("misses {} numbers", facts.missing);
    return rule;
  }
  if (facts.all_dates()) {
    rule["kind"] = "date";
    rule["parts"] = json{"year", "month", "day", "weekday"};
    if (facts.has_times) rule["parts"].push_back("hour");
    if (facts.missing > 0) rule["missing"] = "mode";
    why = "holds dates";
    return rule;
  }
  if (facts.distinct.size() * 2 > facts.present && facts.distinct.size() > kMostOneHot) {
    return ignore("holds a text of its own in nearly each row");
  }
  rule["kind"] = "category";
  if (facts.distinct.size() > kMostOneHot) {
    rule["encoding"] = "hash";
    rule["buckets"] = kBuckets;
  }
  if (facts.missing > 0) {
    rule["missing"] = "constant";
    rule["constant"] = "missing";
  }
  why = fmt::format("holds {} different texts", facts.distinct.size());
  return rule;
}

absl::StatusOr<size_t> FindTarget(const std::vector<ColumnFacts>& columns, const std::string& asked,
                                  Proposal& proposal) {
  // The likeliest first.
  constexpr std::array<std::string_view, 8> kNames = {"target", "Target", "label",   "Label",
                                                      "class",  "y",      "outcome", "species"};
  const auto place = [&](std::string_view name) {
    return static_cast<size_t>(
        std::find_if(columns.begin(), columns.end(),
                     [&](const ColumnFacts& column) { return column.name == name; }) -
        columns.begin());
  };
  if (!asked.empty()) {
    if (place(asked) < columns.size()) return place(asked);
    return InvalidField("spec.data.target_column",
                        fmt::format("the table has no column \"{}\"", asked));
  }
  for (const std::string_view name : kNames) {
    if (place(name) == columns.size()) continue;
    proposal.reasons.push_back(fmt::format("target: the column \"{}\", by its name", name));
    return place(name);
  }
  proposal.reasons.push_back(fmt::format(
      "target: the last column, \"{}\"; name another in data.target_column", columns.back().name));
  return columns.size() - 1;
}

// Classes or numbers?
bool IsReal(const ColumnFacts& target) {
  return target.all_numbers() &&
         (target.whole_numbers < target.present || target.distinct.size() > kMostClasses);
}

absl::Status ProposeTable(const std::vector<std::string>& files, Sample& sample,
                          Proposal& proposal) {
  v1::DataSpec& data = *proposal.spec.mutable_data();
  data.set_format(std::string(FormatOf(files.front())));
  for (const std::string& file : files) {
    v1::Part& part =
        IsTestName(file) && files.size() > 1 ? *data.mutable_test() : *data.mutable_train();
    if (!part.inputs().empty() || FormatOf(file) != data.format()) {
      return InvalidField("spec.data", fmt::format("is required: {} and {} may both be what to "
                                                   "train on",
                                                   files.front(), file));
    }
    part.set_inputs(file);
  }
  RETURN_IF_ERROR(sample.Take(data, data.train(), "spec.data.train"));
  ASSIGN_OR_RETURN(const std::string local, sample.LocalPath(data.train().inputs()));
  const auto looked = LookAtColumns(data.format(), local, data.train().inputs());
  if (absl::IsInvalidArgument(looked.status())) {
    return InvalidField("spec.data.train.inputs", std::string(looked.status().message()));
  }
  RETURN_IF_ERROR(looked.status());
  const std::vector<ColumnFacts>& columns = *looked;
  ASSIGN_OR_RETURN(const size_t place, FindTarget(columns, data.target_column(), proposal));
  const ColumnFacts& target = columns[place];
  data.set_target_column(target.name);
  const bool real = IsReal(target);
  proposal.reasons.push_back(fmt::format("task: {}, since \"{}\" holds {} different {}",
                                         real ? "regression" : "classification", target.name,
                                         target.distinct.size(), real ? "numbers" : "values"));
  if (!proposal.spec.has_loss()) {
    *proposal.spec.mutable_loss() =
        FromJson<google::protobuf::Struct>({{"type", real ? "mse" : "cross_entropy"}});
  }
  data.set_standardize(true);
  if (target.missing > 0) {
    *data.add_columns() = FromJson<v1::ColumnSpec>({{"name", target.name}, {"missing", "drop"}});
    proposal.reasons.push_back(
        fmt::format("data: {} rows without a target are left out", target.missing));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i == place) continue;
    std::string why;
    const auto rule = RuleFor(columns[i], why);
    if (!rule.has_value()) continue;
    *data.add_columns() = FromJson<v1::ColumnSpec>(*rule);
    proposal.reasons.push_back(fmt::format("data: the column \"{}\" {}", columns[i].name, why));
  }
  if (data.has_test()) return absl::OkStatus();
  data.set_test_fraction(kTestFraction);
  if (!real) data.mutable_split()->set_method("stratified");
  proposal.reasons.push_back(
      fmt::format("data: no file is named for a test, so that {:.0f}% of the "
                  "rows are held out{}",
                  100 * kTestFraction, real ? "" : ", of each class"));
  return absl::OkStatus();
}

// ---- Networks. ----

struct Size {
  json architecture;
  json optimizer;
  json schedule;
  int batch_size;
  int64_t epochs;
  std::string reason;
};

int64_t EpochsFor(int64_t rows, int batch_size, int64_t least, int64_t most) {
  const int64_t per_epoch = std::max<int64_t>(1, rows / batch_size);
  return std::clamp((kSteps + per_epoch - 1) / per_epoch, least, most);
}

Size ForTable(const DataFacts& facts) {
  const int64_t rows = facts.train_rows;
  const int batch = rows < kFewRows ? 16 : rows < kManyRows ? 64 : 256;
  const json hidden = rows < kFewRows         ? json{32}
                      : rows < kManyRows      ? json{64, 64}
                      : rows < 10 * kManyRows ? json{128, 128}
                                              : json{256, 256, 256};
  double rate = rows < kFewRows ? 0.005 : 0.002;
  // The outputs have to get as far as the targets are.
  if (facts.target_size > 10) rate = std::min(0.05, rate * facts.target_size / 100 + rate);
  return {{{"type", "mlp"}, {"hidden", hidden}},
          {{"type", "adam"}, {"learning_rate", rate}, {"weight_decay", 1e-4}},
          {{"type", "cosine"}},
          batch,
          EpochsFor(rows, batch, 5, 100),
          fmt::format("architecture: {} rows of {} numbers: a small dense network, which learns "
                      "what there is without learning the rows by heart",
                      rows, facts.input.shape.Product(1))};
}

std::vector<Size> ForPictures(const DataFacts& facts) {
  const Shape& shape = facts.input.shape;
  const int64_t rows = facts.train_rows;
  const int64_t side = std::min(shape[shape.rank() - 1], shape[shape.rank() - 2]);
  const std::string what = fmt::format("architecture: {} pictures of {}", rows,
                                       fmt::join(std::span(shape.dims()).subspan(1), "x"));
  const int batch = rows < 5000 ? 32 : 128;
  std::vector<Size> sizes;
  if (rows >= kManyRows && side >= 16) {
    sizes.push_back({{{"type", "resnet"}, {"channels", {16, 32, 64}}, {"blocks", 1}},
                     {{"type", "adamw"}, {"learning_rate", 0.01}, {"weight_decay", 0.05}},
                     {{"type", "one_cycle"}, {"start_factor", 0.2}},
                     batch,
                     8,
                     what + ": enough for a residual network"});
  }
  json channels = json::array({16});
  for (int64_t left = side / 2; left >= 8 && channels.size() < 3; left /= 2) {
    channels.push_back(2 * channels.back().get<int>());
  }
  sizes.push_back({{{"type", "cnn"},
                    {"channels", channels},
                    {"kernel", 3},
                    {"batch_norm", true},
                    {"hidden", {128}}},
                   {{"type", "adam"}, {"learning_rate", 0.003}},
                   {{"type", "cosine"}, {"warmup_epochs", 0.2}},
                   batch,
                   EpochsFor(rows, batch, 4, 40),
                   what + ": a small convolutional network"});
  if (rows < 5000) sizes.back().architecture["dropout"] = 0.25;
  return sizes;
}

}  // namespace

absl::Status ProposeData(const registry::v1::Dataset& dataset, Sample& sample, Proposal& proposal) {
  v1::JobSpec& spec = proposal.spec;
  if (spec.model().empty()) spec.set_model(spec.dataset());
  if (spec.data().format().empty()) {
    std::vector<std::string> tables;
    std::vector<Array> arrays;
    if (dataset.files_size() > kMostFiles) {
      return InvalidField("spec.data",
                          fmt::format("is required: {} has {} files, and only of {} "
                                      "it is found out which is what",
                                      dataset.name(), dataset.files_size(), kMostFiles));
    }
    for (const auto& file : dataset.files()) {
      if (!FormatOf(file.path()).empty()) {
        tables.push_back(file.path());
        continue;
      }
      ASSIGN_OR_RETURN(const Sample::Beginning* beginning, sample.Read(file.path()));
      auto header = IdxHeader::Parse(beginning->content, file.path());
      if (header.ok()) arrays.push_back({file.path(), *std::move(header)});
    }
    if (tables.empty() && arrays.empty()) {
      return InvalidField(
          "spec.data",
          fmt::format("is required: {} has neither a table (.csv, .jsonl, .parquet) nor "
                      "arrays in the IDX format",
                      dataset.name()));
    }
    RETURN_IF_ERROR(tables.empty() ? ProposeArrays(arrays, proposal)
                                   : ProposeTable(tables, sample, proposal));
  }
  if (!spec.has_loss()) {
    *spec.mutable_loss() = FromJson<google::protobuf::Struct>({{"type", "cross_entropy"}});
    proposal.reasons.emplace_back(
        "task: classification; for numbers as targets say loss: {type: mse}");
  }
  return absl::OkStatus();
}

std::vector<Proposal> ProposeTraining(const Proposal& with_data, const DataFacts& facts) {
  const bool pictures = facts.input.shape.rank() > 2;
  std::vector<Proposal> proposals;
  for (const Size& size : pictures ? ForPictures(facts) : std::vector<Size>{ForTable(facts)}) {
    Proposal proposal = with_data;
    v1::JobSpec& spec = proposal.spec;
    *spec.mutable_architecture() = FromJson<google::protobuf::Struct>(size.architecture);
    proposal.reasons.push_back(size.reason);
    if (!spec.has_optimizer()) {
      *spec.mutable_optimizer() = FromJson<google::protobuf::Struct>(size.optimizer);
      if (!spec.has_schedule()) {
        *spec.mutable_schedule() = FromJson<google::protobuf::Struct>(size.schedule);
      }
    }
    v1::LoopSpec& loop = *spec.mutable_training();
    if (loop.batch_size() == 0) loop.set_batch_size(size.batch_size);
    if (loop.epochs() == 0) {
      loop.set_epochs(static_cast<int32_t>(size.epochs));
      proposal.reasons.push_back(fmt::format("training: {} epochs of {} steps", size.epochs,
                                             facts.train_rows / loop.batch_size()));
    }
    if (loop.seed() == 0) loop.set_seed(1);
    if (!pictures && facts.train_rows >= kRowsForValidation && !loop.has_early_stopping()) {
      if (spec.data().validation_fraction() == 0) spec.mutable_data()->set_validation_fraction(0.1);
      loop.mutable_early_stopping()->set_patience(std::max(3, loop.epochs() / 4));
      proposal.reasons.emplace_back(
          "training: ends early where the loss on a tenth of the rows no longer falls");
    }
    if (!pictures && facts.train_rows < kManyRows && spec.resources().threads() == 0) {
      spec.mutable_resources()->set_threads(1);
      proposal.reasons.emplace_back("resources: so small a network is no faster on more threads");
    }
    proposals.push_back(std::move(proposal));
  }
  return proposals;
}

}  // namespace slipway::training
