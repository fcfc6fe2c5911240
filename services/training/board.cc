#include "services/training/board.h"

#include <algorithm>
#include <utility>

#include "common/proto_time/proto_time.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"

namespace slipway::training {
namespace {

// A condition variable cannot wait for ever and a day: its clock would overflow.
constexpr absl::Duration kLongest = absl::Hours(1);

QueuedJob Describe(const Job& job) {
  QueuedJob out;
  out.name = job.name;
  out.order = job.order;
  out.priority = job.priority;
  out.processes = std::max(1, job.spec.resources().processes());
  out.state = job.state;
  out.attempt = job.attempts;
  out.not_before = job.not_before;
  out.cancel_requested = job.cancel_requested;
  out.pause_requested = job.pause_requested;
  out.has_result = job.result.has_value();
  out.is_search = job.is_search();
  out.lacks_dataset = job.lacks_dataset();
  out.used = job.used;
  out.time_limit = ToDuration(job.spec.resources().time_limit());
  return out;
}

}  // namespace

Board::Board(Metrics& metrics)
    : attempts_(metrics.Counter("attempts_started_total", "Trainers that were launched")) {
  using v1::TrainingJob;
  const std::pair<TrainingJob::State, const char*> unfinished[] = {
      {TrainingJob::QUEUED, "queued"},
      {TrainingJob::RUNNING, "running"},
      {TrainingJob::PAUSED, "paused"}};
  for (const auto& [state, name] : unfinished) {
    unfinished_[state] = &metrics.Gauge("jobs", "Jobs that are not over", {{"state", name}});
  }
  const std::pair<TrainingJob::State, const char*> finished[] = {
      {TrainingJob::SUCCEEDED, "succeeded"},
      {TrainingJob::FAILED, "failed"},
      {TrainingJob::CANCELLED, "cancelled"}};
  for (const auto& [state, name] : finished) {
    finished_[state] =
        &metrics.Counter("jobs_finished_total", "Jobs that came to an end", {{"state", name}});
  }
}

void Board::Count(const QueuedJob* before, const QueuedJob& now) {
  const auto old_state = before == nullptr ? v1::TrainingJob::STATE_UNSPECIFIED : before->state;
  if (before != nullptr && now.attempt > before->attempt) attempts_.Increment();
  if (now.state == old_state) return;
  if (const auto gauge = unfinished_.find(old_state); gauge != unfinished_.end()) {
    gauge->second->Decrement();
  }
  if (const auto gauge = unfinished_.find(now.state); gauge != unfinished_.end()) {
    gauge->second->Increment();
  }
  if (const auto counter = finished_.find(now.state); counter != finished_.end()) {
    counter->second->Increment();
  }
}

void Board::Show(const Job& job) {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(job.name);
  QueuedJob shown = Describe(job);
  if (entry == entries_.end()) {
    // A job that was over and is taken off stays off.
    if (job.finished()) return;
    Count(nullptr, shown);
    entries_[job.name] = {job.last_sequence, std::move(shown)};
  } else {
    if (job.last_sequence <= entry->second.last_sequence) return;
    entry->second.last_sequence = job.last_sequence;
    // Progress alone is nothing to schedule by.
    if (shown == entry->second.job) return;
    Count(&entry->second.job, shown);
    entry->second.job = std::move(shown);
  }
  dirty_ = true;
  poked_.Signal();
}

void Board::Remove(const JobName& name) {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return;
  if (const auto gauge = unfinished_.find(entry->second.job.state); gauge != unfinished_.end()) {
    gauge->second->Decrement();
  }
  entries_.erase(entry);
}

std::vector<QueuedJob> Board::Jobs() const {
  MutexLock lock(mutex_);
  std::vector<QueuedJob> jobs;
  jobs.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) jobs.push_back(entry.job);
  return jobs;
}

bool Board::IsQueued(const JobName& name) const {
  MutexLock lock(mutex_);
  const auto entry = entries_.find(name);
  return entry != entries_.end() && entry->second.job.state == v1::TrainingJob::QUEUED &&
         !entry->second.job.cancel_requested;
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
