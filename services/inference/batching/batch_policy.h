#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_POLICY_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace slipway::worker {

/// How calls of one priority wait.
struct QueuePolicy {
  /// What happens to a call that has waited for `timeout`: it is refused, or it lets everything of
  /// its priority and above go first.
  enum class Action { kReject, kDelay };

  /// Further ones are refused.
  size_t max_calls = 1024;
  absl::Duration timeout = absl::InfiniteDuration();
  Action action = Action::kReject;

  bool operator==(const QueuePolicy&) const = default;
};

/// A dimension that calls may have at different lengths and run together all the same. A value.
struct PaddingRule {
  /// Where it is in an input, which is filled up with `value`, or in an output, which is cut back.
  struct Axis {
    std::string tensor;
    int axis = 1;
    double value = 0;
    bool operator==(const Axis&) const = default;
  };
  std::vector<Axis> axes;
  /// Lengths to pad to, ascending. Beyond them, and without them: the longest call's.
  std::vector<int64_t> buckets = {};

  bool operator==(const PaddingRule&) const = default;
};

/// How a model's calls are put together. A value.
struct BatchPolicy {
  /// Rows of one run; 1: calls run alone; 0: what is measured to be best when the model is loaded.
  /// A call that brings more by itself runs alone.
  int64_t max_rows = 32;
  /// Sizes that the model runs best at, ascending: as soon as the smallest can be formed nothing is
  /// waited for, and the largest that can be formed is run.
  std::vector<int64_t> preferred_rows = {};
  /// The longest that a call waits for others to join while an instance is free. Less is waited
  /// where waiting cannot pay (ModelQueue::ReadyAt).
  absl::Duration max_delay = absl::Milliseconds(1);
  /// Runs at once; 0: as many as the worker has threads for.
  int max_instances = 0;
  /// By priority, the most urgent first; never empty.
  std::vector<QueuePolicy> queues = {QueuePolicy{}};
  /// For calls that name none; an index into `queues`.
  int default_priority = 0;
  /// Calls run together where they differ in these dimensions only.
  std::vector<PaddingRule> padding = {};

  bool operator==(const BatchPolicy&) const = default;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_POLICY_H_
