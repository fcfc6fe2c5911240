#include "services/training/board.h"

#include <algorithm>
#include <utility>

namespace slipway::training {
namespace {

// A condition variable cannot wait for ever and a day: its clock would overflow.
constexpr absl::Duration kLongest = absl::Hours(1);

QueuedJob Describe(const Job& job) {
  QueuedJob out;
  out.name = job.name;
  out.order = job.order;
  out.priority = job.priority;
  out.state = job.state;
  out.attempt = job.attempts;
  out.not_before = job.not_before;
  out.cancel_requested = job.cancel_requested;
  out.has_result = job.result.has_value();
  out.used = job.used;
  const auto& limit = job.spec.resources().time_limit();
  out.time_limit = absl::Seconds(limit.seconds()) + absl::Nanoseconds(limit.nanos());
  return out;
}

}  // namespace

void Board::Show(const Job& job) {
  MutexLock lock(mutex_);
  auto entry = entries_.find(job.name);
  if (entry == entries_.end()) {
    // A job that was over and is taken off stays off.
    if (job.finished()) return;
    entry = entries_.try_emplace(job.name).first;
  } else if (job.last_sequence <= entry->second.last_sequence) {
    return;
  }
  entry->second.last_sequence = job.last_sequence;
  QueuedJob shown = Describe(job);
  // Progress alone is nothing to schedule by.
  if (shown == entry->second.job) return;
  entry->second.job = std::move(shown);
  dirty_ = true;
  poked_.Signal();
}

void Board::Remove(const JobName& name) {
  MutexLock lock(mutex_);
  entries_.erase(name);
}

std::vector<QueuedJob> Board::Jobs() const {
  MutexLock lock(mutex_);
  std::vector<QueuedJob> jobs;
  jobs.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) jobs.push_back(entry.job);
  return jobs;
}

void Board::Poke() {
  MutexLock lock(mutex_);
  dirty_ = true;
  poked_.Signal();
}

void Board::Wait(absl::Duration timeout) {
  MutexLock lock(mutex_);
  if (!dirty_) poked_.WaitFor(mutex_, absl::ToChronoNanoseconds(std::min(timeout, kLongest)));
  dirty_ = false;
}

}  // namespace slipway::training
