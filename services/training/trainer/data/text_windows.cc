#include "services/training/trainer/data/text_windows.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>

#include "common/idx/gzip_reader.h"
#include "common/nn/model_description.h"
#include "common/text/utf8.h"
#include "fmt/format.h"
#include "services/training/trainer/data/fit_table.h"

namespace slipway::trainer {
namespace {

using training::v1::DataSpec;

// Each byte may become 16 of memory.
constexpr uint64_t kMaxBytes = uint64_t{256} << 20;
constexpr char kColumnName[] = "text";

absl::StatusOr<std::string> ReadText(const DataSpec& spec, const training::v1::Part& part,
                                     const std::string& field, FileFetcher fetch) {
  const auto read = [&]() -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const std::string local, fetch(part.inputs()));
    ASSIGN_OR_RETURN(GzipReader reader, GzipReader::Open(local, part.inputs()));
    return reader.ReadAll(kMaxBytes);
  };
  absl::StatusOr<std::string> text = read();
  if (absl::IsInvalidArgument(text.status())) {
    return InvalidField(field, std::string(text.status().message()));
  }
  RETURN_IF_ERROR(text.status());
  if (spec.tokenizer().type() == "byte") return text;
  if (const size_t broken = FindBrokenUtf8(*text); broken < text->size()) {
    return InvalidField(field, fmt::format("{}, byte {}: is not UTF-8", part.inputs(), broken));
  }
  return text;
}

// Takes about that share off the end of `text`: at a blank, or between two characters.
std::string_view TakeEnd(std::string_view& text, double share) {
  size_t at = text.size() - static_cast<size_t>(share * static_cast<double>(text.size()));
  const size_t blank = text.find_first_of(" \n", at);
  if (blank != text.npos) at = blank;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  const std::string_view end = text.substr(at);
  text.remove_suffix(end.size());
  return end;
}

absl::StatusOr<nn::Table> FitTo(std::string_view train, const training::v1::TokenizerSpec& rule,
                                bool masked) {
  nn::TextColumn column = FitTextColumn(rule, std::span(&train, 1), masked);
  if (column.tokenizer.unit != Tokenizer::Unit::kByte && column.tokenizer.vocabulary.empty()) {
    return InvalidField("spec.data.tokenizer.min_frequency", "leaves no token in the train part");
  }
  column.name = kColumnName;
  // What comes next depends on what is nearest.
  if (!masked) column.keep = nn::TextColumn::Keep::kLast;
  std::vector<std::shared_ptr<const nn::Column>> columns = {nn::MakeColumn(std::move(column))};
  return nn::Table(std::move(columns));
}

// The base's, which is to be what the spec says.
absl::StatusOr<nn::Table> TableOf(const nn::ModelDescription& base,
                                  const training::v1::TokenizerSpec& rule, nn::Task task) {
  if (base.task != task) {
    return InvalidField("spec.base.version",
                        task == nn::Task::kMaskedLanguageModel
                            ? "is no masked language model, which spec.objective needs"
                            : "is no language model, which a text needs");
  }
  const Tokenizer::Fields& fields = base.table->tokenizer()->fields();
  const auto* const unit =
      std::find_if(std::begin(Tokenizer::kUnits), std::end(Tokenizer::kUnits),
                   [&](const auto& each) { return each.value == fields.unit; });
  if (unit->name != rule.type() || base.table->width() != rule.max_length() ||
      fields.lowercase != rule.lowercase()) {
    return InvalidField(
        "spec.data.tokenizer",
        fmt::format("must be as the base's: type: {}, lowercase: {}, max_length: {}", unit->name,
                    fields.lowercase, base.table->width()));
  }
  return *base.table;
}

// Adds the rows of a part to `examples`, what goes in to `inputs`, and to `rows` which ones they
// are.
absl::Status AddRows(const Tokenizer& tokenizer, std::string_view text, const std::string& field,
                     Examples& examples, std::string& inputs, std::vector<int64_t>& rows) {
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  const auto length = examples.row_bytes / sizeof(float);
  // Of a row whose tokens are hidden nothing behind it is asked for.
  const bool masked = tokenizer.mask().has_value();
  const size_t behind = masked ? 0 : 1;
  if (ids.size() < length + behind) {
    return InvalidField(field, fmt::format("leaves {} tokens, and a row takes {}{}", ids.size(),
                                           length, masked ? "" : " and one behind them"));
  }
  const size_t count = (ids.size() - behind) / length;
  const std::vector<float> numbers(ids.begin(),
                                   ids.begin() + static_cast<ptrdiff_t>(count * length));
  inputs.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float));
  if (!masked) {
    examples.classes.insert(examples.classes.end(), ids.begin() + 1,
                            ids.begin() + 1 + static_cast<ptrdiff_t>(count * length));
  }
  rows.resize(count);
  std::iota(rows.begin(), rows.end(), examples.count);
  examples.count += static_cast<int64_t>(count);
  return absl::OkStatus();
}

}  // namespace

absl::Status OpenText(const DataSpec& spec, FileFetcher fetch, const OpenDataOptions& options,
                      TrainingData& data) {
  const std::string train_field = "spec.data.train.inputs";
  std::string test_field = "spec.data.test_fraction";
  ASSIGN_OR_RETURN(const std::string file, ReadText(spec, spec.train(), train_field, fetch));
  std::string_view train = file;
  std::string test_file;
  std::string_view test;
  if (spec.has_test()) {
    test_field = "spec.data.test.inputs";
    ASSIGN_OR_RETURN(test_file, ReadText(spec, spec.test(), test_field, fetch));
    test = test_file;
  } else {
    test = TakeEnd(train, spec.test_fraction());
  }
  const std::string_view validation = TakeEnd(train, spec.validation_fraction());

  const auto* const masked = std::get_if<training::MaskedToken>(&options.objective);
  if (options.base != nullptr) {
    const nn::Task task = training::TaskOf(training::TargetsOf(options.objective));
    ASSIGN_OR_RETURN(data.table, TableOf(*options.base, spec.tokenizer(), task));
  } else {
    ASSIGN_OR_RETURN(data.table, FitTo(train, spec.tokenizer(), masked != nullptr));
  }
  const Tokenizer& tokenizer = *data.table->tokenizer();
  data.outputs = tokenizer.size();

  Examples rows;
  rows.input = data.table->encoded();
  if (masked != nullptr) {
    rows.targets_per_row = masked->CountOf(data.table->width());
  } else {
    rows.targets_per_row = data.table->width();
    for (int32_t id = 0; id < tokenizer.size(); ++id) data.labels.push_back(tokenizer.NameOf(id));
  }
  rows.row_bytes = static_cast<size_t>(data.table->width()) * sizeof(float);
  Examples test_rows = rows;
  std::string inputs;
  RETURN_IF_ERROR(AddRows(tokenizer, train, train_field, rows, inputs, data.train_rows));
  if (spec.validation_fraction() > 0) {
    RETURN_IF_ERROR(AddRows(tokenizer, validation, "spec.data.validation_fraction", rows, inputs,
                            data.validation_rows));
  }
  rows.inputs = Buffer::Own(std::move(inputs));
  std::string test_inputs;
  RETURN_IF_ERROR(AddRows(tokenizer, test, test_field, test_rows, test_inputs, data.test_rows));
  test_rows.inputs = Buffer::Own(std::move(test_inputs));
  data.train = std::make_shared<const Examples>(std::move(rows));
  data.test = std::make_shared<const Examples>(std::move(test_rows));
  return absl::OkStatus();
}

}  // namespace slipway::trainer
