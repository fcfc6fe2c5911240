#include "services/inference/batching_settings.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

constexpr int64_t kMostRows = 65536;
constexpr int64_t kMostCalls = 1'000'000;
constexpr int kMostPriorities = 16;
constexpr absl::Duration kLongestDelay = absl::Minutes(1);
constexpr absl::Duration kLongestTimeout = absl::Hours(24);

absl::Status CheckRange(const std::string& field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be from {} to {}, got {}", least, most, value));
}

absl::StatusOr<absl::Duration> ParseDuration(const std::string& field,
                                             const google::protobuf::Duration& value,
                                             absl::Duration most) {
  const absl::Duration duration = absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
  if (duration >= absl::ZeroDuration() && duration <= most) return duration;
  return InvalidField(field, fmt::format("must be from 0s to {}", absl::FormatDuration(most)));
}

absl::StatusOr<QueuePolicy> ParseQueue(const v1::Batching::Queue& settings, QueuePolicy queue,
                                       const std::string& field) {
  if (settings.max_calls() != 0) {
    RETURN_IF_ERROR(CheckRange(field + ".max_calls", settings.max_calls(), 1, kMostCalls));
    queue.max_calls = static_cast<size_t>(settings.max_calls());
  }
  if (settings.has_timeout()) {
    ASSIGN_OR_RETURN(queue.timeout,
                     ParseDuration(field + ".timeout", settings.timeout(), kLongestTimeout));
  }
  switch (settings.action()) {
    case v1::Batching::Queue::REJECT:
      queue.action = QueuePolicy::Action::kReject;
      return queue;
    case v1::Batching::Queue::DELAY:
      queue.action = QueuePolicy::Action::kDelay;
      return queue;
    default:
      return InvalidField(field + ".action", "is none that this worker knows");
  }
}

}  // namespace

absl::StatusOr<BatchPolicy> ParseBatching(const v1::Batching& settings, BatchPolicy defaults,
                                          std::string_view field) {
  BatchPolicy policy = std::move(defaults);
  const auto below = [&](std::string_view name) { return fmt::format("{}.{}", field, name); };
  if (settings.max_rows() != 0) {
    RETURN_IF_ERROR(CheckRange(below("max_rows"), settings.max_rows(), 1, kMostRows));
    policy.max_rows = settings.max_rows();
  }
  int64_t last = 0;
  for (int i = 0; i < settings.preferred_rows_size(); ++i) {
    const int64_t rows = settings.preferred_rows(i);
    const int64_t most = policy.max_rows == 0 ? kMostRows : policy.max_rows;
    RETURN_IF_ERROR(CheckRange(below(fmt::format("preferred_rows[{}]", i)), rows, last + 1, most));
    policy.preferred_rows.push_back(rows);
    last = rows;
  }
  if (settings.has_max_delay()) {
    ASSIGN_OR_RETURN(policy.max_delay,
                     ParseDuration(below("max_delay"), settings.max_delay(), kLongestDelay));
  }
  RETURN_IF_ERROR(CheckRange(below("max_instances"), settings.max_instances(), 0, 1024));
  policy.max_instances = settings.max_instances();
  RETURN_IF_ERROR(CheckRange(below("queues"), settings.queues_size(), 0, kMostPriorities));
  const QueuePolicy queue = policy.queues[0];
  if (settings.queues_size() > 0) policy.queues.clear();
  for (int i = 0; i < settings.queues_size(); ++i) {
    ASSIGN_OR_RETURN(QueuePolicy parsed,
                     ParseQueue(settings.queues(i), queue, below(fmt::format("queues[{}]", i))));
    policy.queues.push_back(parsed);
  }
  RETURN_IF_ERROR(CheckRange(below("default_priority"), settings.default_priority(), 0,
                             static_cast<int64_t>(policy.queues.size())));
  policy.default_priority = std::max(0, settings.default_priority() - 1);
  return policy;
}

}  // namespace slipway::worker
