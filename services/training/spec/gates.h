#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_GATES_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_GATES_H_

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/training/spec/target_kind.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"

// What a trained version is held to before it is registered. The trainer and the service hold it
// to the same: a version that stays below is not even uploaded, and no trainer can talk itself
// past its spec.
namespace slipway::training {

/// A metric that spec.evaluation may set a bound for.
struct GateMetric {
  std::string_view name;
  TargetKind targets;
  bool higher_is_better;
};

/// All of them.
std::span<const GateMetric> GateMetrics();

/// Whether more of it is better; false for "" (the loss) and for what is no metric.
bool HigherIsBetter(std::string_view metric);

/// OK where `metric` is one of a loss with these targets, or empty. Errors: InvalidField.
absl::Status CheckMetric(std::string_view field, std::string_view metric, TargetKind targets);

using MetricValues = std::map<std::string, double>;

/// OK where `metrics` keep the bounds at_least and at_most. Errors: kFailedPrecondition, for the
/// job's owner: the first bound that is missed, or that nothing was measured for.
absl::Status CheckThresholds(const v1::EvaluationSpec& evaluation, const MetricValues& metrics);

/// OK where `metrics` are no worse than those of `held`, the version that the spec's alias holds
/// now, by more than the margin of each. Errors: kFailedPrecondition, as above.
absl::Status CheckNoWorse(const v1::NoWorseThan& bound, const MetricValues& metrics,
                          const registry::v1::ModelVersion& held);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_GATES_H_
