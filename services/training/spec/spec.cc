#include "services/training/spec/spec.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fields/kinds.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/struct.pb.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/base_spec.h"
#include "services/training/spec/data_spec.h"
#include "services/training/spec/gates.h"
#include "services/training/spec/problems.h"

namespace slipway::training {
namespace {

using nlohmann::json;

constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53
constexpr int kMaxEpochs = 100'000;
constexpr int kMaxBatchSize = 1 << 20;
constexpr int kMaxAccumulate = 1 << 16;
constexpr int kMaxThreads = 1024;
constexpr int kMaxProcesses = 64;
constexpr int kMaxKeptCheckpoints = 1000;
constexpr int kDefaultKeptCheckpoints = 2;
constexpr int kDefaultRecordedSamples = 32;
constexpr double kDefaultDivergenceFactor = 10;
constexpr int kDefaultDivergenceSteps = 200;
constexpr int kMaxRecordedSamples = 1024;
constexpr absl::Duration kMaxTimeLimit = absl::Hours(24 * 30);

void CheckRequiredSlug(std::string_view path, const std::string& id, Problems& problems) {
  if (id.empty()) {
    problems.Add(path, "is required");
  } else {
    problems.Add(CheckSlug(path, id));
  }
}

void CheckLoop(const v1::JobSpec& job, Problems& problems) {
  const v1::LoopSpec& loop = job.training();
  problems.CheckRange("spec.training.epochs", loop.epochs(), 1, kMaxEpochs);
  problems.CheckRange("spec.training.batch_size", loop.batch_size(), 1, kMaxBatchSize);
  problems.CheckRange<double>("spec.training.clip_norm", loop.clip_norm(), 0, 1e12);
  problems.CheckRange<double>("spec.training.clip_value", loop.clip_value(), 0, 1e12);
  if (loop.clip_norm() > 0 && loop.clip_value() > 0) {
    problems.Add("spec.training.clip_value",
                 "must be absent where spec.training.clip_norm is given");
  }
  problems.CheckRange("spec.training.accumulate", loop.accumulate(), 0, kMaxAccumulate);
  problems.CheckRange<double>("spec.training.l1", loop.l1(), 0, 1);
  if (!(loop.ema_decay() >= 0 && loop.ema_decay() < 1)) {
    problems.Add("spec.training.ema_decay",
                 fmt::format("must be at least 0 and less than 1, got {}", loop.ema_decay()));
  }
  const v1::DivergenceSpec& divergence = loop.divergence();
  if (divergence.factor() != 0 && !(divergence.factor() > 1 && divergence.factor() <= 1e12)) {
    problems.Add("spec.training.divergence.factor",
                 fmt::format("must be 0 or more than 1, got {}", divergence.factor()));
  }
  problems.CheckRange("spec.training.divergence.steps", divergence.steps(), 0, 1 << 30);
  if (!loop.precision().empty() && loop.precision() != kFloat32 && loop.precision() != kBfloat16) {
    problems.Add("spec.training.precision", fmt::format("must be one of {}, {}, got \"{}\"",
                                                        kFloat32, kBfloat16, loop.precision()));
  }
  if (!loop.has_early_stopping()) return;
  problems.CheckRange("spec.training.early_stopping.patience", loop.early_stopping().patience(), 1,
                      kMaxEpochs);
  problems.CheckRange<double>("spec.training.early_stopping.min_delta",
                              loop.early_stopping().min_delta(), 0, 1e12);
  if (job.data().validation_fraction() == 0) {
    problems.Add("spec.training.early_stopping",
                 "needs spec.data.validation_fraction: it looks at the validation loss");
  }
}

// `targets` are the loss's, where that is known.
void CheckCheckpoints(const v1::JobSpec& job, std::optional<TargetKind> targets,
                      Problems& problems) {
  const v1::CheckpointSpec& checkpoint = job.checkpoint();
  problems.CheckRange("spec.checkpoint.every_steps", checkpoint.every_steps(), 0, 1 << 30);
  problems.CheckRange("spec.checkpoint.keep", checkpoint.keep(), 0, kMaxKeptCheckpoints);
  problems.CheckRange("spec.checkpoint.keep_best", checkpoint.keep_best(), 0, kMaxKeptCheckpoints);
  if (targets.has_value()) {
    problems.Add(CheckMetric("spec.checkpoint.metric", checkpoint.metric(), *targets));
  }
  if (checkpoint.keep_best() > 0 && job.data().validation_fraction() == 0) {
    problems.Add("spec.checkpoint.keep_best",
                 "needs spec.data.validation_fraction: epochs are compared on that part");
  }
  if (checkpoint.keep_best() == 0 && (checkpoint.register_best() || !checkpoint.metric().empty())) {
    problems.Add(
        checkpoint.register_best() ? "spec.checkpoint.register_best" : "spec.checkpoint.metric",
        "needs spec.checkpoint.keep_best");
  }
  if (checkpoint.register_best() && job.training().has_early_stopping()) {
    problems.Add("spec.checkpoint.register_best",
                 "must be absent where spec.training.early_stopping is given, which registers the "
                 "best epoch by its loss");
  }
}

// What does not go with a step that takes all rows, or that is more than its gradient.
void CheckStep(const v1::JobSpec& job, const Optimizer& optimizer, Problems& problems) {
  const v1::LoopSpec& loop = job.training();
  if (TakesAllRows(optimizer) && job.resources().processes() > 1) {
    problems.Add("spec.resources.processes", "must be 1: a step of spec.optimizer takes all rows");
  }
  const auto refuse = [&](std::string_view field, bool given, std::string_view why) {
    if (given) problems.Add(fmt::format("spec.training.{}", field), why);
  };
  refuse("accumulate", loop.accumulate() > 1 && TakesAllRows(optimizer),
         "must be absent: a step of spec.optimizer takes all rows");
  if (!std::holds_alternative<Lbfgs>(optimizer)) return;
  constexpr std::string_view kWhy =
      "must be absent: lbfgs compares losses, to which the gradients must belong";
  refuse("clip_norm", loop.clip_norm() > 0, kWhy);
  refuse("clip_value", loop.clip_value() > 0, kWhy);
  refuse("l1", loop.l1() > 0, kWhy);
  refuse(
      "precision", loop.precision() == kBfloat16,
      "must be float32: lbfgs compares losses that are nearer each other than bfloat16 can tell");
}

void CheckResources(const v1::JobSpec& job, Problems& problems) {
  const v1::ResourceSpec& resources = job.resources();
  if (!resources.pool().empty()) {
    problems.Add(CheckSlug("spec.resources.pool", resources.pool()));
  }
  problems.CheckRange("spec.resources.threads", resources.threads(), 0, kMaxThreads);
  problems.CheckRange("spec.resources.processes", resources.processes(), 0, kMaxProcesses);
  if (resources.processes() > 1 && 2 * resources.processes() > job.training().batch_size()) {
    problems.Add(
        "spec.resources.processes",
        fmt::format("must leave each process two rows of spec.training.batch_size, which is "
                    "{}, got {}",
                    job.training().batch_size(), resources.processes()));
  }
  if (resources.processes() > 1 && resources.device() == "cuda") {
    problems.Add("spec.resources.processes", "must be 1 on spec.resources.device cuda");
  }
  if (resources.device() != "cpu" && resources.device() != "cuda") {
    problems.Add("spec.resources.device",
                 fmt::format("must be one of cpu, cuda, got \"{}\"", resources.device()));
  }
}

absl::Duration CheckTimeLimit(const v1::ResourceSpec& resources, Problems& problems) {
  if (!resources.has_time_limit()) return absl::ZeroDuration();
  const absl::Duration limit = ToDuration(resources.time_limit());
  if (limit < absl::Seconds(1) || limit > kMaxTimeLimit) {
    problems.Add("spec.resources.time_limit",
                 fmt::format("must be between 1s and {:.0f}s, got {}s",
                             absl::ToDoubleSeconds(kMaxTimeLimit), absl::ToDoubleSeconds(limit)));
  }
  return limit;
}

enum class Bound { kAtLeast, kAtMost, kMargin };

// Bounds of metrics; `targets` are the loss's, where that is known.
void CheckBounds(std::string_view field, Bound kind,
                 const google::protobuf::Map<std::string, double>& bounds,
                 std::optional<TargetKind> targets, Problems& problems) {
  const auto may_be_set = [&](const GateMetric& metric) {
    if (targets.has_value() && metric.targets != *targets) return false;
    return kind == Bound::kMargin || metric.higher_is_better == (kind == Bound::kAtLeast);
  };
  // A proto map has no order; errors have one.
  for (const auto& [metric, bound] : std::map<std::string, double>(bounds.begin(), bounds.end())) {
    const std::string path = fmt::format("spec.evaluation.{}.{}", field, metric);
    std::set<std::string_view> known;
    for (const GateMetric& gate : GateMetrics()) {
      if (may_be_set(gate)) known.insert(gate.name);
    }
    if (!known.contains(metric)) {
      problems.Add(path, fmt::format("is no metric of this loss{}; must be one of {}",
                                     kind == Bound::kAtLeast  ? " that is better when higher"
                                     : kind == Bound::kAtMost ? " that is better when lower"
                                                              : "",
                                     fmt::join(known, ", ")));
    } else if (kind == Bound::kAtLeast && !(bound <= 1 && std::isfinite(bound))) {
      problems.Add(path, fmt::format("must be at most 1, got {}", bound));
    } else if (kind != Bound::kAtLeast && !(bound >= 0 && std::isfinite(bound))) {
      problems.Add(path, fmt::format("must be at least 0, got {}", bound));
    }
  }
}

void CheckEvaluation(const v1::EvaluationSpec& evaluation, std::optional<TargetKind> targets,
                     Problems& problems) {
  problems.CheckRange("spec.evaluation.recorded_samples", evaluation.recorded_samples(), 0,
                      kMaxRecordedSamples);
  CheckBounds("at_least", Bound::kAtLeast, evaluation.at_least(), targets, problems);
  CheckBounds("at_most", Bound::kAtMost, evaluation.at_most(), targets, problems);
  if (!evaluation.has_no_worse_than()) return;
  const v1::NoWorseThan& other = evaluation.no_worse_than();
  CheckRequiredSlug("spec.evaluation.no_worse_than.alias", other.alias(), problems);
  if (other.margin().empty()) {
    problems.Add("spec.evaluation.no_worse_than.margin",
                 "is required: metrics, and by how much each may be worse");
  }
  CheckBounds("no_worse_than.margin", Bound::kMargin, other.margin(), targets, problems);
}

// The architectures that take tokens, by name.
std::vector<std::string_view> TakersOfTokens() {
  std::vector<std::string_view> types;
  for (const auto* kind : nn::Architectures()) {
    const auto architecture = kind->parse(json::object(), "");
    if (architecture.ok() && (*architecture)->ForTokens(1) != nullptr) types.push_back(kind->type);
  }
  return types;
}

// Builds it for some tokens.
absl::Status CheckLearns(const Objective& objective, const nn::Architecture& architecture) {
  constexpr int64_t kTokens = 3;
  constexpr char kField[] = "spec.architecture";
  const auto tokens = architecture.ForTokens(kTokens);
  if (tokens == nullptr) return absl::OkStatus();  // which is a fault of its own
  nn::NetworkBuilder builder;
  const nn::ValueId ids = builder.Input({"ids", DataType::kInt64, {Shape::kAny, kTokens}});
  if (std::holds_alternative<MaskedToken>(objective)) {
    return tokens->BuildMaskedLanguageModel(builder, ids, kField).status();
  }
  return tokens->BuildLanguageModel(builder, ids, kTokens, kField).status();
}

// `objective` is absent where it is wrong itself.
void CheckTakesData(const v1::DataSpec& data, const std::optional<Objective>& objective,
                    const nn::Architecture& architecture, Problems& problems) {
  const bool tokens = HasTokens(data);
  if (tokens && architecture.takes_ids()) {
    problems.Add("spec.architecture.vocabulary",
                 "must be absent: the tokenizer says how many tokens there are");
  } else if (tokens && architecture.ForTokens(1) == nullptr) {
    problems.Add("spec.architecture.type", fmt::format("takes no text; must be one of {}",
                                                       fmt::join(TakersOfTokens(), ", ")));
  }
  if (data.format() == "text" && objective.has_value()) {
    problems.Add(CheckLearns(*objective, architecture));
  }
  const bool scaled = data.scale() > 0;
  if ((tokens || architecture.takes_ids()) && (scaled || data.standardize())) {
    problems.Add(scaled ? "spec.data.scale" : "spec.data.standardize",
                 "must be absent: the inputs are ids of tokens");
  }
}

template <class Variant>
std::optional<Variant> ParseKindOf(const std::string& path, bool present,
                                   const google::protobuf::Struct& object, Problems& problems) {
  if (!present) {
    problems.Add(path, "is required");
    return std::nullopt;
  }
  auto parsed = ParseVariant<Variant>(training::ToJson(object), path);
  problems.Add(parsed.status());
  if (!parsed.ok()) return std::nullopt;
  return *std::move(parsed);
}

}  // namespace

json ToJson(const google::protobuf::Struct& object) {
  json out = json::object();
  for (const auto& [key, value] : object.fields()) out[key] = ToJson(value);
  return out;
}

absl::StatusOr<Spec> ParseSpec(const v1::JobSpec& job) {
  Spec spec;
  spec.job = job;
  if (spec.job.resources().device().empty()) spec.job.mutable_resources()->set_device("cpu");
  if (spec.job.checkpoint().keep() == 0) {
    spec.job.mutable_checkpoint()->set_keep(kDefaultKeptCheckpoints);
  }
  v1::DivergenceSpec& divergence = *spec.job.mutable_training()->mutable_divergence();
  if (!divergence.has_factor()) divergence.set_factor(kDefaultDivergenceFactor);
  if (divergence.steps() == 0) divergence.set_steps(kDefaultDivergenceSteps);
  if (!spec.job.evaluation().has_recorded_samples()) {
    spec.job.mutable_evaluation()->set_recorded_samples(kDefaultRecordedSamples);
  }

  Problems problems;
  if (job.has_search()) problems.Add("spec.search", "must be absent here: this is one training");
  CheckRequiredSlug("spec.model", job.model(), problems);
  if (!job.data().has_source() || !job.dataset().empty()) {
    CheckRequiredSlug("spec.dataset", job.dataset(), problems);
  }
  CheckData(job, problems);
  if (job.has_base()) CheckBase(job, problems);
  std::optional<Objective> objective = Objective();
  if (job.has_objective()) {
    objective = ParseKindOf<Objective>("spec.objective", true, job.objective(), problems);
    if (job.data().format() != "text") {
      problems.Add("spec.objective", "is for spec.data.format text: other data have targets");
    }
  }
  if (!job.has_architecture()) {
    if (!job.has_base()) problems.Add("spec.architecture", "is required");
  } else {
    auto parsed = nn::ParseArchitecture(ToJson(job.architecture()), "spec.architecture");
    problems.Add(parsed.status());
    if (parsed.ok()) spec.architecture = *std::move(parsed);
    if (parsed.ok()) CheckTakesData(job.data(), objective, *spec.architecture, problems);
  }
  const auto loss = ParseKindOf<Loss>("spec.loss", job.has_loss(), job.loss(), problems);
  const auto optimizer =
      ParseKindOf<Optimizer>("spec.optimizer", job.has_optimizer(), job.optimizer(), problems);
  if (job.has_schedule()) {
    auto schedule = ParseSchedule(ToJson(job.schedule()), "spec.schedule");
    problems.Add(schedule.status());
    if (schedule.ok()) spec.schedule = *std::move(schedule);
  }
  CheckLoop(job, problems);
  if (optimizer.has_value()) CheckStep(job, *optimizer, problems);
  CheckResources(spec.job, problems);
  spec.time_limit = CheckTimeLimit(job.resources(), problems);
  std::optional<TargetKind> targets;
  if (loss.has_value()) targets = TargetsOf(*loss);
  if (loss.has_value() && job.data().format() == "text") {
    targets = std::nullopt;
    if (objective.has_value()) targets = TargetsOf(*objective);
    if (!std::holds_alternative<CrossEntropy>(*loss) && !std::holds_alternative<Focal>(*loss)) {
      problems.Add("spec.loss.type", "must be cross_entropy or focal for a text: it has tokens");
    }
  }
  if (targets.has_value()) CheckDataFits(job.data(), *targets, problems);
  CheckCheckpoints(job, targets, problems);
  CheckEvaluation(job.evaluation(), targets, problems);
  if (!job.alias().empty()) problems.Add(CheckSlug("spec.alias", job.alias()));
  RETURN_IF_ERROR(problems.Done());

  spec.loss = *loss;
  spec.objective = *objective;
  spec.targets = *targets;
  spec.optimizer = *optimizer;
  return spec;
}

json ToJson(const google::protobuf::Value& value) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kBoolValue:
      return value.bool_value();
    case google::protobuf::Value::kNumberValue: {
      const double number = value.number_value();
      if (std::trunc(number) == number && std::abs(number) <= kMaxExactInteger) {
        return static_cast<int64_t>(number);
      }
      return number;
    }
    case google::protobuf::Value::kStringValue:
      return value.string_value();
    case google::protobuf::Value::kStructValue:
      return ToJson(value.struct_value());
    case google::protobuf::Value::kListValue: {
      json list = json::array();
      for (const auto& item : value.list_value().values()) list.push_back(ToJson(item));
      return list;
    }
    case google::protobuf::Value::kNullValue:
    case google::protobuf::Value::KIND_NOT_SET:
      break;
  }
  return nullptr;
}

nn::Task TaskOf(TargetKind targets) {
  switch (targets) {
    case TargetKind::kClass:
      return nn::Task::kClassification;
    case TargetKind::kReal:
      return nn::Task::kRegression;
    case TargetKind::kToken:
      return nn::Task::kLanguageModel;
    case TargetKind::kMaskedToken:
      return nn::Task::kMaskedLanguageModel;
  }
  return {};
}

}  // namespace slipway::training
