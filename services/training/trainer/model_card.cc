#include "services/training/trainer/model_card.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::trainer {
namespace {

constexpr size_t kShownLabels = 50;
constexpr size_t kShownColumns = 100;

// Text of the data or the spec as a cell of a Markdown table.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r') {
      out += ' ';
      continue;
    }
    if (std::string_view("\\`*_[]<>|#").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

class Card {
 public:
  template <class... Args>
  void Line(fmt::format_string<Args...> text, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), text, std::forward<Args>(args)...);
    text_ += '\n';
  }
  std::string Take() && { return std::move(text_); }

 private:
  std::string text_;
};

void AddUse(const nn::ModelDescription& description, Card& card) {
  card.Line("\n## Intended use\n");
  switch (description.task) {
    case nn::Task::kClassification:
      card.Line("Tells which class a row belongs to.");
      break;
    case nn::Task::kRegression:
      card.Line("Predicts a number for a row.");
      break;
    case nn::Task::kLanguageModel:
      card.Line("Tells which token comes behind a text.");
      break;
    case nn::Task::kMaskedLanguageModel:
      card.Line(
          "Turns a text into numbers (an embedding), by which texts are compared; another version "
          "may go on from it.");
      break;
  }
  for (const TensorSpec& input : description.inputs()) {
    card.Line("- takes `{}` {} {}", input.name, DataTypeName(input.dtype), input.shape.ToString());
  }
  card.Line("- gives `{}` {} {}", description.output.name, DataTypeName(description.output.dtype),
            description.output.shape.ToString());
  const std::vector<std::string>& labels = description.labels;
  if (labels.empty()) return;
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(kShownLabels, labels.size()); ++i) {
    shown.push_back(Escaped(labels[i]));
  }
  card.Line("- {}: {}{}", description.task == nn::Task::kLanguageModel ? "tokens" : "classes",
            fmt::join(shown, ", "),
            labels.size() > kShownLabels ? fmt::format(" and {} more", labels.size() - kShownLabels)
                                         : "");
}

void AddColumns(const nlohmann::ordered_json& columns, Card& card) {
  card.Line("\n| Column | Kind | Missing in training | Range in training |\n|---|---|---|---|");
  for (size_t i = 0; i < std::min(kShownColumns, columns.size()); ++i) {
    const auto& column = columns[i];
    const std::string range =
        column.contains("min")      ? fmt::format("{:.6g} to {:.6g}", column["min"].get<double>(),
                                                  column["max"].get<double>())
        : column.contains("values") ? fmt::format("{} values", column["values"].get<int64_t>())
                                    : "";
    card.Line("| {} | {} | {} | {} |", Escaped(column["name"].get<std::string>()),
              column["kind"].get<std::string>(), column["missing"]["train"].get<int64_t>(), range);
  }
  if (columns.size() > kShownColumns) {
    card.Line("\n{} more columns are in `data-report.json`.", columns.size() - kShownColumns);
  }
}

void AddData(const training::v1::JobSpec& job, const std::string& digest, const DataReport& data,
             Card& card) {
  card.Line("\n## Data\n");
  card.Line("Dataset `{}`{}.", job.dataset(), digest.empty() ? "" : ", " + digest);
  const auto& rows = data.facts["rows"];
  card.Line("Rows: {} to train on, {} to watch the training with, {} held out for the test.",
            rows["train"].get<int64_t>(), rows["validation"].get<int64_t>(),
            rows["test"].get<int64_t>());
  if (data.facts.contains("columns")) AddColumns(data.facts["columns"], card);
}

void AddMetrics(const std::map<std::string, double>& metrics, Card& card) {
  card.Line("\n## Metrics\n\nOf the test part, which the training never saw.\n");
  card.Line("| Metric | Value |\n|---|---|");
  for (const auto& [name, value] : metrics) {
    card.Line("| {} | {:.4f} |", Escaped(name), value);
  }
}

void AddLimits(const training::v1::JobSpec& job, const DataReport& data, Card& card) {
  card.Line("\n## Limits\n");
  card.Line(
      "- Rows unlike those above (other ranges, values that the training never saw) were not "
      "measured.");
  card.Line("- Nobody has measured how the model treats groups of people.");
  if (job.evaluation().at_least().empty() && job.evaluation().at_most().empty()) {
    card.Line("- No bound was set for its metrics.");
  }
  for (const std::string& warning : data.warnings) card.Line("- Warning: {}.", Escaped(warning));
}

}  // namespace

std::string WriteModelCard(const training::Spec& spec, const nn::ModelDescription& description,
                           const std::string& dataset_digest, const DataReport& data,
                           const std::map<std::string, double>& metrics) {
  const training::v1::JobSpec& job = spec.job;
  Card card;
  card.Line("# {}\n", job.model());
  card.Line(
      "A network of type `{}`, trained from {} for {} epochs of batches of {} with seed {}. What "
      "it "
      "was trained with is in full in `architecture.json` and the job's spec.",
      description.architecture->ToJson().value("type", ""),
      job.has_base() ? fmt::format("`{}`", job.base().version()) : "scratch",
      job.training().epochs(), job.training().batch_size(), job.training().seed());
  AddUse(description, card);
  AddData(job, dataset_digest, data, card);
  AddMetrics(metrics, card);
  AddLimits(job, data, card);
  return std::move(card).Take();
}

}  // namespace slipway::trainer
