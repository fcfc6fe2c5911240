#ifndef SLIPWAY_SERVICES_TRAINING_PLAN_PLANNER_H_
#define SLIPWAY_SERVICES_TRAINING_PLAN_PLANNER_H_

#include <atomic>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/training/job.h"
#include "services/training/job_store.h"
#include "services/training/model_registry.h"
#include "services/training/objects/object_stores.h"
#include "services/training/trainer/base_version.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// How the jobs of this platform went, beside what StepTime says of them: real = factor * told.
struct SpeedFigures {
  double factor = 1;
  /// Hardly any job is faster or slower than these.
  double least = 1;
  double most = 1;
  /// In words: what the figures were taken from.
  std::string basis;
};

/// From finished jobs, those of the spec's architecture where there are any; without jobs, what is
/// safe to say of an unknown machine.
SpeedFigures CompareSpeeds(std::span<const Job> finished, const v1::JobSpec& spec);

/// Says what a training would take, and what to train on a dataset, by the beginnings of the
/// dataset's files (or objects) and by what such jobs have taken here. Trains nothing, keeps
/// nothing. Any thread.
class Planner {
 public:
  struct Options {
    /// A folder for files that live as long as a call.
    std::string scratch_dir;
    /// Each holds some ten megabytes, and a core for parts of a second.
    int max_at_once = 4;
  };

  /// They outlive this.
  Planner(ModelRegistry& registry, const ObjectStores& objects, JobStore& store, Options options);

  /// Errors: InvalidField (of the spec; of the data, as the trainer would say it),
  /// kResourceExhausted (too many plans at once), kNotFound, kUnavailable.
  absl::StatusOr<v1::TrainingPlan> Plan(const Principal& who,
                                        const v1::PlanTrainingJobRequest& request,
                                        absl::Time deadline);

 private:
  // The version that a spec goes on from, without its weights.
  absl::StatusOr<trainer::BaseVersion> OpenBase(const Principal& who, const std::string& version,
                                                absl::Time deadline);

  ModelRegistry& registry_;
  const ObjectStores& objects_;
  JobStore& store_;
  const Options options_;
  std::atomic<int> under_way_ = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_PLAN_PLANNER_H_
