#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_SPEC_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_SPEC_H_

#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "common/nn/architecture.h"
#include "common/nn/model_description.h"
#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "services/training/spec/loss.h"
#include "services/training/spec/objective.h"
#include "services/training/spec/optimizer.h"
#include "services/training/spec/schedule.h"
#include "slipway/training/v1/training.pb.h"

namespace google::protobuf {
class Struct;
class Value;
}  // namespace google::protobuf

namespace slipway::training {

/// LoopSpec.precision.
inline constexpr std::string_view kFloat32 = "float32";
inline constexpr std::string_view kBfloat16 = "bfloat16";

/// A JobSpec that was checked whole. The service makes one before it takes a job, the trainer
/// another before it runs one: the same code.
struct Spec {
  /// As it was handed in, with its defaults filled in (checkpoint.keep, resources.device, ...).
  v1::JobSpec job;
  /// Null where it is the base's.
  std::shared_ptr<const nn::Architecture> architecture;
  Loss loss;
  /// Of a text.
  Objective objective;
  /// What the loss compares with: data and objective say it, too.
  TargetKind targets = TargetKind::kClass;
  Optimizer optimizer;
  Schedule schedule;
  /// Zero: none given.
  absl::Duration time_limit = absl::ZeroDuration();
};

/// Checks `job` whole. Errors: one InvalidField with every fault, each named by its path
/// ("spec.optimizer.learning_rate: must be > 0, got -1; spec.training.epochs: ...").
/// What only the data can tell (does the architecture fit its shape?) is the trainer's to check.
absl::StatusOr<Spec> ParseSpec(const v1::JobSpec& job);

/// What a model does that is trained on such targets.
nn::Task TaskOf(TargetKind targets);

/// As JSON. Numbers without a fraction stay integers up to 2^53.
nlohmann::json ToJson(const google::protobuf::Struct& object);
nlohmann::json ToJson(const google::protobuf::Value& value);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_SPEC_H_
