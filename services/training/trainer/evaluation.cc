#include "services/training/trainer/evaluation.h"

#include <algorithm>
#include <cmath>

#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::trainer {
namespace {

constexpr int64_t kBatch = 512;
// That are held at once; each step of a text has some for all tokens.
constexpr int64_t kMaxScores = int64_t{1} << 25;

}  // namespace

std::optional<double> Score::accuracy() const {
  if (classes.has_value()) return classes->accuracy();
  if (tokens.has_value()) return tokens->accuracy();
  return std::nullopt;
}

std::map<std::string, double> Score::Report(const std::vector<std::string>& labels) const {
  std::map<std::string, double> metrics = classes  ? classes->Report(labels)
                                          : tokens ? tokens->Report()
                                                   : numbers.Report();
  metrics["loss"] = loss;
  return metrics;
}

absl::StatusOr<Score> Evaluate(Learner& learner, nn::Task task, int64_t outputs,
                               const Examples& examples, const std::vector<int64_t>& rows,
                               const BatchChange& change) {
  Score score;
  score.rows = std::ssize(rows);
  if (task == nn::Task::kClassification) score.classes.emplace(outputs);
  if (task == nn::Task::kLanguageModel || task == nn::Task::kMaskedLanguageModel) {
    score.tokens.emplace();
  }
  const int64_t batch_size =
      std::clamp(kMaxScores / (outputs * examples.targets_per_row), int64_t{1}, kBatch);
  Batch batch;
  for (int64_t first = 0; first < score.rows; first += batch_size) {
    const int64_t size = std::min(batch_size, score.rows - first);
    Gather(examples, rows, first, size, batch);
    if (change != nullptr) change(first, batch);
    ASSIGN_OR_RETURN(const Judgement judgement, learner.Judge(batch));
    score.loss += judgement.loss * static_cast<double>(size) / static_cast<double>(score.rows);
    if (score.classes.has_value()) {
      score.classes->Add(judgement.scores, batch.classes);
    } else if (score.tokens.has_value()) {
      score.tokens->Add(judgement.log_loss, judgement.right, std::ssize(batch.classes));
    } else {
      score.numbers.Add(judgement.scores, batch.values);
    }
  }
  return score;
}

absl::Status CheckFinite(const std::map<std::string, double>& metrics) {
  for (const auto& [name, value] : metrics) {
    if (std::isfinite(value)) continue;
    return absl::FailedPreconditionError(
        fmt::format("no version is registered: {} is no finite number on the test part", name));
  }
  return absl::OkStatus();
}

std::string PrintEvaluation(const Score& score, const std::map<std::string, double>& metrics,
                            const std::vector<std::string>& labels) {
  nlohmann::ordered_json object = {{"rows", score.rows}, {"metrics", metrics}};
  if (score.classes.has_value()) {
    object["labels"] = labels;
    object["confusion_matrix"] = score.classes->ConfusionMatrix();
  }
  return object.dump(2) + "\n";
}

}  // namespace slipway::trainer
