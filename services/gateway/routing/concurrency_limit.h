#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_CONCURRENCY_LIMIT_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_CONCURRENCY_LIMIT_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace slipway::gateway {

/// How many calls of an endpoint may be under way at once, learned from how long they take: the
/// gradient of Netflix' concurrency-limits ("Performance Under Load", 2018; GradientLimit), as
///
///   limit = limit * clamp(tolerance * at_rest / quickest, 0.5, 1) + sqrt(limit)
///
/// after each window. `quickest` is the least that an answer took in the window: while a queue
/// stands somewhere all of them wait, and where requests differ in size the small ones tell. Where
/// a queue has only begun to grow, what waits tells sooner: the calls under way over the answers a
/// second (Little's law), with some slack. `at_rest` is `quickest` with next to nothing under way.
/// It is looked for again now and then by letting next to nothing in, but only while calls are
/// refused anyway. A window in which calls were dropped takes a tenth off. The limit moves only
/// while it is what limits.
///
/// Pure: time is an argument and never goes back. One thread at a time.
class ConcurrencyLimit {
 public:
  struct Options {
    /// Of each worker. The least keeps it busy; the most bounds what waits where nothing is known.
    double least = 2;
    double first = 128;
    double most = 1024;
    /// A full batch takes some six times as long as a single row (docs/performance.md), and while
    /// one runs the next one waits.
    double tolerance = 12;
    /// By Little's law all calls tell, large ones too.
    double slack = 4;
    absl::Duration window = absl::Milliseconds(100);
    int64_t window_calls = 10;
    /// Between two looks at `at_rest` under overload; longer for slow models, which such a look
    /// costs more.
    absl::Duration look_again = absl::Seconds(30);
    double look_again_calls = 200;
  };

  /// What a call brings back when it leaves.
  struct Entry {
    absl::Duration time;
    int in_flight = 0;  ///< with it
  };
  enum class End {
    kAnswered,
    kDropped,  ///< the worker had no room for it, or not in time
    kOther,    ///< tells nothing of how long calls take
  };

  ConcurrencyLimit() : ConcurrencyLimit(Options()) {}
  explicit ConcurrencyLimit(const Options& options) : options_(options), limit_(options.first) {}

  void SetWorkers(int workers);

  /// Nothing where it is full. What is done in the `background`, or is less urgent, has half of the
  /// room.
  std::optional<Entry> Enter(absl::Duration now, bool background = false);
  void Leave(const Entry& entry, End end, absl::Duration now);

  /// The least that a call takes that is let in now, from the quickest answer of the last while; 0
  /// where nothing is known.
  absl::Duration Expected(absl::Duration now) const;

  /// As it holds now.
  double limit() const { return looking_ ? Least() : limit_; }
  int in_flight() const { return in_flight_; }

 private:
  struct Window {
    absl::Duration begin;
    int64_t answers = 0;
    int64_t drops = 0;
    int64_t refusals = 0;
    int max_in_flight = 0;  // of those that ended: when they came or when they went
    double in_flight_seconds = 0;
    absl::Duration quickest = absl::InfiniteDuration();
  };

  double Least() const { return options_.least * workers_; }
  double Most() const { return options_.most * workers_; }
  void Close(absl::Duration now);
  void Adjust(const Window& window);
  /// To be called before in_flight_ changes.
  void Advance(absl::Duration now);

  const Options options_;
  int workers_ = 1;
  int in_flight_ = 0;
  double limit_;
  Window window_;
  absl::Duration now_;
  absl::Duration at_rest_ = absl::InfiniteDuration();
  // Letting next to nothing in, to see how long a call takes at rest.
  bool looking_ = false;
  absl::Duration looks_at_ = absl::ZeroDuration();
  // The window before this one.
  absl::Duration last_quickest_ = absl::InfiniteDuration();
  absl::Duration last_closed_ = -absl::InfiniteDuration();
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_CONCURRENCY_LIMIT_H_
