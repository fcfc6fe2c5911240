#include "common/runtime_settings/runtime_settings.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "common/proto_time/proto_time.h"
#include "fmt/format.h"

namespace slipway {
namespace {

using worker::v1::Batching;
using worker::v1::ResponseCache;
using worker::v1::RuntimeSettings;
using worker::v1::Sequences;

constexpr int64_t kMostRows = 65536;
constexpr int64_t kMostCalls = 1'000'000;
constexpr int64_t kMostInstances = 1024;
constexpr int kMostPriorities = 16;
constexpr int kMostPaddings = 4;
constexpr int64_t kMostAxes = 64;
constexpr int64_t kLastAxis = 15;
constexpr int64_t kLongestBucket = int64_t{1} << 32;
constexpr absl::Duration kLongestDelay = absl::Minutes(1);
constexpr absl::Duration kLongestTimeout = absl::Hours(24);
constexpr int64_t kMostSequences = 10'000'000;
constexpr int64_t kMostCacheBytes = int64_t{1} << 40;
constexpr absl::Duration kLongestCacheTime = absl::Hours(24 * 365);

absl::Status CheckRange(const std::string& field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(field, fmt::format("must be from {} to {}, got {}", least, most, value));
}

absl::Status CheckRange(const std::string& field, const google::protobuf::Duration& value,
                        absl::Duration least, absl::Duration most) {
  const absl::Duration duration = ToDuration(value);
  if (duration >= least && duration <= most) return absl::OkStatus();
  return InvalidField(field,
                      fmt::format("must be from {} to {}, got {}", absl::FormatDuration(least),
                                  absl::FormatDuration(most), absl::FormatDuration(duration)));
}

absl::Status CheckQueue(const Batching::Queue& queue, const std::string& field) {
  RETURN_IF_ERROR(CheckRange(field + ".max_calls", queue.max_calls(), 0, kMostCalls));
  if (queue.has_timeout()) {
    RETURN_IF_ERROR(
        CheckRange(field + ".timeout", queue.timeout(), absl::Microseconds(1), kLongestTimeout));
  }
  if (!Batching::Queue::Action_IsValid(queue.action())) {
    return InvalidField(field + ".action", "is none that there is");
  }
  if (queue.action() == Batching::Queue::DELAY && !queue.has_timeout()) {
    return InvalidField(field + ".action", "DELAY needs a timeout after which it is taken");
  }
  return absl::OkStatus();
}

absl::Status CheckAscending(const std::string& field,
                            const google::protobuf::RepeatedField<int64_t>& values, int64_t most) {
  int64_t last = 0;
  for (int i = 0; i < values.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", field, i);
    if (values[i] <= last) {
      return InvalidField(at, fmt::format("must be more than {}: sizes ascend", last));
    }
    RETURN_IF_ERROR(CheckRange(at, values[i], 1, most));
    last = values[i];
  }
  return absl::OkStatus();
}

absl::Status CheckPadding(const Batching& batching, const std::string& field) {
  if (batching.padding_size() == 0) return absl::OkStatus();
  if (batching.max_rows() == 1) {
    return InvalidField(field, "is for calls that run together, and max_rows is 1");
  }
  if (batching.padding_size() > kMostPaddings) {
    return InvalidField(field, fmt::format("must be at most {}", kMostPaddings));
  }
  std::set<std::pair<std::string, int>> seen;
  for (int i = 0; i < batching.padding_size(); ++i) {
    const Batching::Padding& padding = batching.padding(i);
    const std::string axes = fmt::format("{}[{}].axes", field, i);
    RETURN_IF_ERROR(CheckRange(axes, padding.axes_size(), 1, kMostAxes));
    for (int j = 0; j < padding.axes_size(); ++j) {
      const Batching::Padding::Axis& axis = padding.axes(j);
      const std::string at = fmt::format("{}[{}]", axes, j);
      if (axis.tensor().empty()) return InvalidField(at + ".tensor", "must not be empty");
      RETURN_IF_ERROR(CheckRange(at + ".axis", axis.axis(), 1, kLastAxis));
      if (!seen.emplace(axis.tensor(), axis.axis()).second)
        return InvalidField(at, "is there twice");
    }
    RETURN_IF_ERROR(
        CheckAscending(fmt::format("{}[{}].buckets", field, i), padding.buckets(), kLongestBucket));
  }
  return absl::OkStatus();
}

absl::Status CheckBatching(const Batching& batching, const std::string& field) {
  RETURN_IF_ERROR(CheckRange(field + ".max_rows", batching.max_rows(), 0, kMostRows));
  RETURN_IF_ERROR(CheckAscending(field + ".preferred_rows", batching.preferred_rows(),
                                 batching.max_rows() == 0 ? kMostRows : batching.max_rows()));
  if (batching.has_max_delay()) {
    RETURN_IF_ERROR(CheckRange(field + ".max_delay", batching.max_delay(), absl::ZeroDuration(),
                               kLongestDelay));
  }
  RETURN_IF_ERROR(
      CheckRange(field + ".max_instances", batching.max_instances(), 0, kMostInstances));
  if (batching.queues_size() > kMostPriorities) {
    return InvalidField(field + ".queues", fmt::format("must be at most {}", kMostPriorities));
  }
  for (int i = 0; i < batching.queues_size(); ++i) {
    RETURN_IF_ERROR(CheckQueue(batching.queues(i), fmt::format("{}.queues[{}]", field, i)));
  }
  RETURN_IF_ERROR(CheckRange(field + ".default_priority", batching.default_priority(), 0,
                             std::max(1, batching.queues_size())));
  return CheckPadding(batching, field + ".padding");
}

absl::Status CheckSequences(const Sequences& sequences, const std::string& field) {
  if (sequences.has_idle_timeout()) {
    RETURN_IF_ERROR(CheckRange(field + ".idle_timeout", sequences.idle_timeout(),
                               absl::Milliseconds(1), kLongestTimeout));
  }
  return CheckRange(field + ".max_sequences", sequences.max_sequences(), 0, kMostSequences);
}

absl::Status CheckResponseCache(const ResponseCache& cache, const std::string& field) {
  RETURN_IF_ERROR(CheckRange(field + ".max_bytes", cache.max_bytes(), 1, kMostCacheBytes));
  if (!cache.has_time_to_live()) return absl::OkStatus();
  return CheckRange(field + ".time_to_live", cache.time_to_live(), absl::Milliseconds(1),
                    kLongestCacheTime);
}

}  // namespace

absl::Status CheckRuntimeSettings(const RuntimeSettings& settings, std::string_view field) {
  if (!RuntimeSettings::Runtime_IsValid(settings.runtime())) {
    return InvalidField(fmt::format("{}.runtime", field), "is none that there is");
  }
  if (!RuntimeSettings::Precision_IsValid(settings.precision())) {
    return InvalidField(fmt::format("{}.precision", field), "is none that there is");
  }
  RETURN_IF_ERROR(CheckBatching(settings.batching(), fmt::format("{}.batching", field)));
  if (settings.has_response_cache()) {
    RETURN_IF_ERROR(
        CheckResponseCache(settings.response_cache(), fmt::format("{}.response_cache", field)));
  }
  return CheckSequences(settings.sequences(), fmt::format("{}.sequences", field));
}

bool IsVouchedFor(const registry::v1::ModelVersion& version) {
  using Version = registry::v1::ModelVersion;
  return version.origin() == Version::TRAINED || version.origin() == Version::IMPORTED;
}

}  // namespace slipway
