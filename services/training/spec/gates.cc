#include "services/training/spec/gates.h"

#include <algorithm>
#include <set>

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::training {
namespace {

constexpr GateMetric kGateMetrics[] = {
    {"accuracy", TargetKind::kClass, true},
    {"precision_macro", TargetKind::kClass, true},
    {"precision_micro", TargetKind::kClass, true},
    {"precision_weighted", TargetKind::kClass, true},
    {"recall_macro", TargetKind::kClass, true},
    {"recall_micro", TargetKind::kClass, true},
    {"recall_weighted", TargetKind::kClass, true},
    {"f1_macro", TargetKind::kClass, true},
    {"f1_micro", TargetKind::kClass, true},
    {"f1_weighted", TargetKind::kClass, true},
    {"roc_auc", TargetKind::kClass, true},
    {"pr_auc", TargetKind::kClass, true},
    {"log_loss", TargetKind::kClass, false},
    {"loss", TargetKind::kClass, false},
    {"r2", TargetKind::kReal, true},
    {"mse", TargetKind::kReal, false},
    {"mae", TargetKind::kReal, false},
    {"loss", TargetKind::kReal, false},
    {"accuracy", TargetKind::kToken, true},
    {"log_loss", TargetKind::kToken, false},
    {"perplexity", TargetKind::kToken, false},
    {"loss", TargetKind::kToken, false},
    {"accuracy", TargetKind::kMaskedToken, true},
    {"log_loss", TargetKind::kMaskedToken, false},
    {"perplexity", TargetKind::kMaskedToken, false},
    {"loss", TargetKind::kMaskedToken, false},
};

absl::Status Refuse(std::string_view reason) {
  return absl::FailedPreconditionError(fmt::format("no version is registered: {}", reason));
}

// Maps of protobuf have no order; verdicts have one.
MetricValues Sorted(const google::protobuf::Map<std::string, double>& values) {
  return {values.begin(), values.end()};
}

absl::StatusOr<double> Measured(const MetricValues& metrics, const std::string& name) {
  const auto metric = metrics.find(name);
  if (metric != metrics.end()) return metric->second;
  return Refuse(fmt::format("{} could not be measured on the test part", name));
}

absl::Status CheckBounds(std::string_view field, const MetricValues& bounds,
                         const MetricValues& metrics) {
  const bool least = field == "at_least";
  for (const auto& [name, bound] : bounds) {
    ASSIGN_OR_RETURN(const double value, Measured(metrics, name));
    // Written so that NaN misses.
    if (least ? value >= bound : value <= bound) continue;
    return Refuse(fmt::format("{} is {:.6g} on the test part, and spec.evaluation.{}.{} is {:.6g}",
                              name, value, field, name, bound));
  }
  return absl::OkStatus();
}

}  // namespace

std::span<const GateMetric> GateMetrics() { return kGateMetrics; }

bool HigherIsBetter(std::string_view metric) {
  return std::any_of(std::begin(kGateMetrics), std::end(kGateMetrics), [&](const GateMetric& gate) {
    return gate.name == metric && gate.higher_is_better;
  });
}

absl::Status CheckMetric(std::string_view field, std::string_view metric, TargetKind targets) {
  std::set<std::string_view> known;
  for (const GateMetric& gate : kGateMetrics) {
    if (gate.targets == targets) known.insert(gate.name);
  }
  if (metric.empty() || known.contains(metric)) return absl::OkStatus();
  return InvalidField(
      field, fmt::format("is no metric of this loss; must be one of {}", fmt::join(known, ", ")));
}

absl::Status CheckThresholds(const v1::EvaluationSpec& evaluation, const MetricValues& metrics) {
  RETURN_IF_ERROR(CheckBounds("at_least", Sorted(evaluation.at_least()), metrics));
  return CheckBounds("at_most", Sorted(evaluation.at_most()), metrics);
}

absl::Status CheckNoWorse(const v1::NoWorseThan& bound, const MetricValues& metrics,
                          const registry::v1::ModelVersion& held) {
  for (const auto& [name, margin] : Sorted(bound.margin())) {
    ASSIGN_OR_RETURN(const double value, Measured(metrics, name));
    const auto other = held.metrics().find(name);
    if (other == held.metrics().end()) {
      return Refuse(fmt::format("{}, which the alias {} holds, has no metric {} to compare with",
                                held.name(), bound.alias(), name));
    }
    const double worse = HigherIsBetter(name) ? other->second - value : value - other->second;
    if (worse <= margin) continue;
    return Refuse(
        fmt::format("{} is {:.6g}, and {:.6g} in {}, which the alias {} holds; "
                    "spec.evaluation.no_worse_than.margin.{} is {:.6g}",
                    name, value, other->second, held.name(), bound.alias(), name, margin));
  }
  return absl::OkStatus();
}

}  // namespace slipway::training
