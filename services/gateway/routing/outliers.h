#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_OUTLIERS_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_OUTLIERS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace slipway::gateway {

class Worker;

/// A worker behind one endpoint, and how that endpoint's calls of it have gone. Any thread may read
/// `ejected`; the rest belongs to the endpoint's Outliers.
class RoutedWorker {
 public:
  explicit RoutedWorker(std::shared_ptr<Worker> of) : worker(std::move(of)) {}

  const std::shared_ptr<Worker> worker;

  /// It is passed over while another one can be asked.
  bool ejected() const { return ejected_.load(std::memory_order_relaxed); }

 private:
  friend class Outliers;
  std::atomic<bool> ejected_ = false;
  int failures_in_a_row_ = 0;
  // In this interval.
  int64_t calls_ = 0;
  int64_t failures_ = 0;
  // Ejections of late, and when the newest one is over.
  int ejections_ = 0;
  absl::Duration until_;
  absl::Duration probe_ends_ = -absl::InfiniteDuration();
};

/// Sets workers of one endpoint aside that fail where others do not: after some failures in a row,
/// or where far more of an interval's calls failed than of the others'. Never more than half of
/// them: where most fail, it is not them. A worker comes back once a probe has been answered, each
/// time after twice the time. After Envoy's outlier detection, which lets a caller's call be the
/// probe; here it is a copy of one.
///
/// Pure: time is an argument and never goes back. One thread at a time.
class Outliers {
 public:
  struct Options {
    int failures_in_a_row = 5;
    /// A worker is compared with the others after each interval with so many calls of both.
    absl::Duration interval = absl::Seconds(10);
    int64_t min_calls = 50;
    /// So much larger its share of failed calls has to be.
    double min_difference = 0.25;
    absl::Duration first_ejection = absl::Seconds(5);
    absl::Duration last_ejection = absl::Minutes(5);
    /// A probe that was not heard of for so long is lost.
    absl::Duration probe_timeout = absl::Seconds(30);
  };
  using Member = std::shared_ptr<RoutedWorker>;

  enum class Result {
    kAnswered,
    /// It could not be reached, or failed by its own fault.
    kFailed,
    /// Too late, which may be its caller's haste: counts in the comparison alone.
    kLate,
  };

  Outliers() : Outliers(Options()) {}
  explicit Outliers(const Options& options) : options_(options) {}

  /// The endpoint's workers from now on; those that stay keep what is known of them.
  const std::vector<Member>& SetWorkers(const std::vector<std::shared_ptr<Worker>>& workers);

  /// How a call of the worker ended. True where that has set it aside.
  bool Record(RoutedWorker& worker, Result result, absl::Duration now);

  /// One of `workers` whose time is over: it is to be sent a copy of a call, and RecordProbe() told
  /// how that went. Null where there is none.
  Member DueForProbe(const std::vector<Member>& workers, absl::Duration now);
  void RecordProbe(RoutedWorker& worker, bool answered, absl::Duration now);

 private:
  bool Eject(RoutedWorker& worker, absl::Duration now);
  absl::Duration EjectionTime(const RoutedWorker& worker) const;
  size_t CountEjected() const;
  bool CompareAll(absl::Duration now);

  const Options options_;
  std::vector<Member> members_;
  absl::Duration interval_ends_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_OUTLIERS_H_
