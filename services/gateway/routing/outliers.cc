#include "services/gateway/routing/outliers.h"

#include <algorithm>

#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

const std::vector<Outliers::Member>& Outliers::SetWorkers(
    const std::vector<std::shared_ptr<Worker>>& workers) {
  std::vector<Member> members;
  for (const std::shared_ptr<Worker>& worker : workers) {
    const auto known = std::ranges::find(members_, worker, &RoutedWorker::worker);
    members.push_back(known != members_.end() ? *known : std::make_shared<RoutedWorker>(worker));
  }
  members_ = std::move(members);
  // Of fewer workers fewer may be set aside: those that would come back first.
  while (2 * CountEjected() > members_.size()) {
    const auto first = std::ranges::min_element(members_, {}, [](const Member& member) {
      return member->ejected() ? member->until_ : absl::InfiniteDuration();
    });
    (*first)->ejected_ = false;
  }
  return members_;
}

bool Outliers::Record(RoutedWorker& worker, Result result, absl::Duration now) {
  bool ejected = false;
  if (now >= interval_ends_) {
    ejected = CompareAll(now);
    interval_ends_ = now + options_.interval;
  }
  worker.calls_ += 1;
  worker.failures_ += result == Result::kAnswered ? 0 : 1;
  if (result == Result::kAnswered) worker.failures_in_a_row_ = 0;
  if (result != Result::kFailed || worker.ejected()) return ejected;
  if (++worker.failures_in_a_row_ < options_.failures_in_a_row) return ejected;
  return Eject(worker, now) || ejected;
}

// At the end of an interval.
bool Outliers::CompareAll(absl::Duration now) {
  int64_t calls = 0;
  int64_t failures = 0;
  for (const Member& member : members_) {
    calls += member->calls_;
    failures += member->failures_;
  }
  bool ejected = false;
  for (const Member& member : members_) {
    const int64_t others = calls - member->calls_;
    const bool known = std::min(member->calls_, others) >= options_.min_calls;
    const auto share = [](int64_t some, int64_t all) {
      return static_cast<double>(some) / static_cast<double>(all);
    };
    if (known && !member->ejected() &&
        share(member->failures_, member->calls_) >
            share(failures - member->failures_, others) + options_.min_difference) {
      ejected = Eject(*member, now) || ejected;
    } else if (!member->ejected() && member->ejections_ > 0) {
      --member->ejections_;  // a good interval
    }
  }
  for (const Member& member : members_) member->calls_ = member->failures_ = 0;
  return ejected;
}

bool Outliers::Eject(RoutedWorker& worker, absl::Duration now) {
  if (2 * (CountEjected() + 1) > members_.size()) return false;
  ++worker.ejections_;
  worker.until_ = now + EjectionTime(worker);
  worker.failures_in_a_row_ = 0;
  worker.ejected_ = true;
  return true;
}

absl::Duration Outliers::EjectionTime(const RoutedWorker& worker) const {
  constexpr int kMaxDoublings = 16;
  const int doublings = std::min(worker.ejections_ - 1, kMaxDoublings);
  return std::min(options_.first_ejection * (1 << doublings), options_.last_ejection);
}

size_t Outliers::CountEjected() const {
  return static_cast<size_t>(
      std::ranges::count_if(members_, [](const Member& member) { return member->ejected(); }));
}

Outliers::Member Outliers::DueForProbe(const std::vector<Member>& workers, absl::Duration now) {
  for (const Member& member : workers) {
    if (!member->ejected() || now < member->until_ || now < member->probe_ends_) continue;
    member->probe_ends_ = now + options_.probe_timeout;
    return member;
  }
  return nullptr;
}

void Outliers::RecordProbe(RoutedWorker& worker, bool answered, absl::Duration now) {
  if (!worker.ejected()) return;
  worker.probe_ends_ = now;
  if (answered) {
    worker.ejected_ = false;
  } else {
    ++worker.ejections_;
    worker.until_ = now + EjectionTime(worker);
  }
}

}  // namespace slipway::gateway
