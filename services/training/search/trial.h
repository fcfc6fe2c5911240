#ifndef SLIPWAY_SERVICES_TRAINING_SEARCH_TRIAL_H_
#define SLIPWAY_SERVICES_TRAINING_SEARCH_TRIAL_H_

#include "common/proto_time/proto_time.h"
#include "services/training/job.h"
#include "services/training/search/search.h"

namespace slipway::training {

/// A trial's job as its search looks at it.
inline TrialSoFar ToTrialSoFar(const Job& trial, const Search& search) {
  return {.index = trial.trial.index(),
          .rung = trial.trial.rung(),
          .over = trial.finished(),
          .metric = MetricOf(trial, search.metric()),
          .time = trial.finished() ? trial.used : ToDuration(trial.spec.resources().time_limit())};
}

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SEARCH_TRIAL_H_
