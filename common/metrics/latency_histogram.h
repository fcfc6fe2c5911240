#ifndef SLIPWAY_COMMON_METRICS_LATENCY_HISTOGRAM_H_
#define SLIPWAY_COMMON_METRICS_LATENCY_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "absl/time/time.h"

namespace slipway {

/// Latencies in buckets that grow by a fifth each, from 50 us to a minute: fine enough that two
/// percentiles can be compared. A value; one thread.
struct LatencyHistogram {
  static constexpr size_t kBuckets = 82;

  /// Calls by latency: bucket i holds those under UpperBound(i), the last one all others.
  std::array<int64_t, kBuckets> buckets = {};

  /// 50 us x 2^(i/4).
  static absl::Duration UpperBound(size_t i) {
    return absl::Microseconds(50) * std::exp2(static_cast<double>(i) / 4);
  }
  static size_t BucketOf(absl::Duration latency) {
    const double place = 4 * std::log2(absl::FDivDuration(latency, absl::Microseconds(50)));
    if (!(place >= 0)) return 0;  // also for a latency of 0
    return std::min(static_cast<size_t>(place) + 1, kBuckets - 1);
  }

  int64_t count() const {
    int64_t sum = 0;
    for (const int64_t bucket : buckets) sum += bucket;
    return sum;
  }

  /// The latency that a share of `quantile` of the calls stayed under, by a straight line within
  /// its bucket; 0 where there is no call.
  absl::Duration Quantile(double quantile) const {
    const double wanted = quantile * static_cast<double>(count());
    double below = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      const auto here = static_cast<double>(buckets[i]);
      if (here > 0 && below + here >= wanted) {
        const absl::Duration lower = i == 0 ? absl::ZeroDuration() : UpperBound(i - 1);
        return lower + (UpperBound(i) - lower) * ((wanted - below) / here);
      }
      below += here;
    }
    return absl::ZeroDuration();
  }

  /// Calls that took longer, as far as the buckets tell: those of the bucket that it lies in are
  /// not counted.
  int64_t CountAbove(absl::Duration latency) const {
    int64_t sum = 0;
    for (size_t i = BucketOf(latency) + 1; i < kBuckets; ++i) sum += buckets[i];
    return sum;
  }

  bool operator==(const LatencyHistogram&) const = default;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_METRICS_LATENCY_HISTOGRAM_H_
