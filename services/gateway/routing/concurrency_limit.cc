#include "services/gateway/routing/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace slipway::gateway {
namespace {

// A window is closed with few answers, too, once it is so old; and what it showed holds for so
// long.
constexpr absl::Duration kOld = absl::Seconds(1);
// Of the answers. Fewer are a burst, and looking would refuse more.
constexpr double kManyRefused = 0.1;

}  // namespace

void ConcurrencyLimit::SetWorkers(int workers) {
  workers = std::max(workers, 1);
  if (workers == workers_) return;
  // Each goes on with the share that it had.
  limit_ = std::max(Least(), limit_) * workers / workers_;
  workers_ = workers;
}

void ConcurrencyLimit::Advance(absl::Duration now) {
  if (in_flight_ > 0) window_.in_flight_seconds += in_flight_ * absl::ToDoubleSeconds(now - now_);
  now_ = now;
}

std::optional<ConcurrencyLimit::Entry> ConcurrencyLimit::Enter(absl::Duration now,
                                                               bool background) {
  const double room = background ? limit() / 2 : limit();
  if (in_flight_ + 1 > room) {
    window_.refusals += background ? 0 : 1;
    return std::nullopt;
  }
  Advance(now);
  ++in_flight_;
  return Entry{now, in_flight_};
}

void ConcurrencyLimit::Leave(const Entry& entry, End end, absl::Duration now) {
  Advance(now);
  const int in_flight = in_flight_--;
  if (end == End::kOther) return;
  window_.max_in_flight = std::max({window_.max_in_flight, entry.in_flight, in_flight});
  if (end == End::kDropped) {
    ++window_.drops;
  } else {
    ++window_.answers;
    window_.quickest = std::min(window_.quickest, now - entry.time);
  }
  const absl::Duration age = now - window_.begin;
  if (age >= kOld || (age >= options_.window && window_.answers >= options_.window_calls)) {
    Close(now);
  }
}

void ConcurrencyLimit::Close(absl::Duration now) {
  const Window window = window_;
  window_ = {.begin = now};
  if (window.answers > 0) {
    last_quickest_ = window.quickest;
    last_closed_ = now;
    if (window.max_in_flight <= Least()) {
      at_rest_ = window.quickest;
      looking_ = false;
    }
    at_rest_ = std::min(at_rest_, window.quickest);
  }
  if (looking_) return;
  Adjust(window);
  if (static_cast<double>(window.refusals) > kManyRefused * static_cast<double>(window.answers) &&
      now >= looks_at_ && window.answers > 0) {
    looking_ = true;
    looks_at_ = now + std::max(options_.look_again, options_.look_again_calls * window.quickest);
  }
}

void ConcurrencyLimit::Adjust(const Window& window) {
  // Is it what limits?
  if (2 * window.max_in_flight < limit_) return;
  if (window.drops > 0) {
    limit_ *= 0.9;
  } else if (window.answers > 0) {
    const double mean_seconds = window.in_flight_seconds / static_cast<double>(window.answers);
    const double taken =
        std::max({absl::ToDoubleSeconds(window.quickest), mean_seconds / options_.slack, 1e-9});
    const double gradient = options_.tolerance * absl::ToDoubleSeconds(at_rest_) / taken;
    limit_ = limit_ * std::clamp(gradient, 0.5, 1.0) + std::sqrt(limit_);
  }
  limit_ = std::clamp(limit_, Least(), Most());
}

absl::Duration ConcurrencyLimit::Expected(absl::Duration now) const {
  if (in_flight_ == 0) return absl::ZeroDuration();
  absl::Duration least = absl::InfiniteDuration();
  if (now - window_.begin <= kOld) least = window_.quickest;
  if (now - last_closed_ <= kOld) least = std::min(least, last_quickest_);
  return least == absl::InfiniteDuration() ? absl::ZeroDuration() : least;
}

}  // namespace slipway::gateway
