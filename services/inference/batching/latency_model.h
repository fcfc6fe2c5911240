#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_LATENCY_MODEL_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_LATENCY_MODEL_H_

#include <algorithm>

#include "absl/time/time.h"

namespace slipway::worker {

/// How long a run of n rows takes: fixed + n * each, fitted to what was seen by least squares that
/// forget (each new run takes a sixteenth of the weight). Where rows differ in length, n counts
/// their positions. A value, without a clock.
class LatencyModel {
 public:
  /// After so long without a run the fit is not believed any more: whoever refuses calls for what
  /// was slow once must find out that it no longer is.
  static constexpr absl::Duration kTrust = absl::Seconds(1);

  void Observe(double n, absl::Duration took, absl::Duration now);

  /// 0 where nothing is known.
  absl::Duration Predict(double n, absl::Duration now) const;

  /// Whether a run is expected to take less than `limit`; no where nothing is known.
  bool IsWithin(absl::Duration limit, double n, absl::Duration now) const {
    return Trusted(now) && Predict(n, now) < limit;
  }

  /// What a run costs however few rows it has; 0 where nothing is known.
  absl::Duration Fixed(absl::Duration now) const;

 private:
  bool Trusted(absl::Duration now) const {
    return weight_ > 0 && now - observed_ <= std::max(kTrust, last_);
  }
  void Fit();

  // Weighted sums over what was seen: 1, n, t, n * n, n * t (t in seconds).
  double weight_ = 0;
  double rows_ = 0;
  double time_ = 0;
  double rows_rows_ = 0;
  double rows_time_ = 0;
  // The line through them.
  double fixed_ = 0;
  double each_ = 0;
  absl::Duration observed_;
  absl::Duration last_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_LATENCY_MODEL_H_
