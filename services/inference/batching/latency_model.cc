#include "services/inference/batching/latency_model.h"

#include <algorithm>

namespace slipway::worker {
namespace {

constexpr double kForget = 15.0 / 16;
// Below this spread of sizes (a variance, in rows) there is no slope to be seen.
constexpr double kLeastSpread = 0.05;

}  // namespace

void LatencyModel::Observe(double n, absl::Duration took, absl::Duration now) {
  const double t = absl::ToDoubleSeconds(took);
  weight_ = weight_ * kForget + 1;
  rows_ = rows_ * kForget + n;
  time_ = time_ * kForget + t;
  rows_rows_ = rows_rows_ * kForget + n * n;
  rows_time_ = rows_time_ * kForget + n * t;
  observed_ = now;
  last_ = took;
  Fit();
}

void LatencyModel::Fit() {
  const double mean_rows = rows_ / weight_;
  const double mean_time = time_ / weight_;
  const double spread = rows_rows_ / weight_ - mean_rows * mean_rows;
  if (spread >= kLeastSpread) {
    each_ = (rows_time_ / weight_ - mean_rows * mean_time) / spread;
  } else if (each_ <= 0) {
    each_ = mean_time / mean_rows;
  }
  // The line goes through the mean, and neither part can be less than nothing.
  each_ = std::clamp(each_, 0.0, mean_time / mean_rows);
  fixed_ = mean_time - each_ * mean_rows;
}

absl::Duration LatencyModel::Predict(double n, absl::Duration now) const {
  if (!Trusted(now)) return absl::ZeroDuration();
  return absl::Seconds(fixed_ + each_ * n);
}

absl::Duration LatencyModel::Fixed(absl::Duration now) const {
  return Trusted(now) ? absl::Seconds(fixed_) : absl::ZeroDuration();
}

}  // namespace slipway::worker
