#ifndef SLIPWAY_SERVICES_INFERENCE_MODEL_STATISTICS_H_
#define SLIPWAY_SERVICES_INFERENCE_MODEL_STATISTICS_H_

#include <cstdint>
#include <map>

#include "absl/time/time.h"

namespace slipway::worker {

/// How often something happened, and how long it took in all.
struct TimeSum {
  int64_t count = 0;
  absl::Duration time;

  void Add(absl::Duration one, int64_t times = 1) {
    count += times;
    time += one * times;
  }
};

/// What a loaded model has done so far, in the terms of the Open Inference Protocol's statistics
/// extension. A value; since the model was loaded.
struct ModelStatistics {
  /// Batches of one size.
  struct Batch {
    TimeSum compute_input;
    TimeSum compute_infer;
    TimeSum compute_output;
  };

  /// Rows that were answered (a call brings one or more), and runs of the model.
  int64_t inference_count = 0;
  int64_t execution_count = 0;
  /// When the last run ended; InfinitePast: none yet.
  absl::Time last_inference = absl::InfinitePast();

  /// Calls, from their admission to their answer.
  TimeSum success;
  TimeSum fail;
  /// Calls that ran, until they were started.
  TimeSum queue;
  /// The same calls: gathering their batch's inputs, its run, and handing the outputs out. Each
  /// call of a batch counts the batch's whole time.
  TimeSum compute_input;
  TimeSum compute_infer;
  TimeSum compute_output;

  /// Calls that a cache answered, until their answers were written; they are in `success`, and in
  /// `queue` without a wait. Those that it could not: the looking and the keeping.
  TimeSum cache_hit;
  TimeSum cache_miss;

  /// Runs, by how many rows they had.
  std::map<int64_t, Batch> batches;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_MODEL_STATISTICS_H_
