#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_JOB_STORE_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_JOB_STORE_H_

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "services/training/job_store.h"

namespace slipway::training {

/// A JobStore in memory, without thinning. Writes can be made to fail. Any thread.
class FakeJobStore final : public JobStore {
 public:
  /// From now on every write fails with this; OK: none does.
  void FailWrites(absl::Status status) {
    MutexLock lock(mutex_);
    write_error_ = std::move(status);
  }

  /// The next change is kept, and yet its caller hears kUnavailable: the connection broke.
  void LoseNextAnswer() {
    MutexLock lock(mutex_);
    lose_answer_ = true;
  }

  absl::StatusOr<Job> Insert(const Job& job, const Effects& effects,
                             int64_t max_unfinished) override {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(write_error_);
    if (closed_.contains(job.name.tenant)) return NotFound(TenantName{job.name.tenant}.ToString());
    int64_t unfinished = 0;
    for (const auto& [name, kept] : jobs_) {
      if (name.tenant != job.name.tenant) continue;
      if (!job.request_id.empty() && kept.request_id == job.request_id) return kept;
      unfinished += !kept.finished();
    }
    if (jobs_.contains(job.name)) {
      return absl::AlreadyExistsError(fmt::format("{} exists already", job.name.ToString()));
    }
    if (unfinished >= max_unfinished) return absl::ResourceExhaustedError("too many jobs");
    Job& kept = jobs_[job.name] = job;
    kept.order = ++orders_;
    Keep(kept.name, effects);
    return kept;
  }

  absl::StatusOr<Job> Get(const JobName& name) override {
    MutexLock lock(mutex_);
    const auto job = jobs_.find(name);
    if (job == jobs_.end()) return NotFound(name.ToString());
    return job->second;
  }

  absl::StatusOr<std::optional<Job>> FindByRequestId(std::string_view tenant,
                                                     std::string_view request_id) override {
    MutexLock lock(mutex_);
    for (const auto& [name, job] : jobs_) {
      if (name.tenant == tenant && job.request_id == request_id) return job;
    }
    return std::nullopt;
  }

  absl::StatusOr<std::vector<Job>> List(std::string_view tenant, int64_t before,
                                        int limit) override {
    return Select(limit, /*newest_first=*/true, [&](const Job& job) {
      return job.name.tenant == tenant && !job.is_trial() && job.order < before;
    });
  }

  absl::StatusOr<std::vector<Job>> ListTrials(const JobName& search) override {
    return Select(1 << 30, /*newest_first=*/false, [&](const Job& job) {
      return job.name.tenant == search.tenant && job.search == search.id;
    });
  }

  absl::StatusOr<std::vector<Job>> ListSucceeded(int limit) override {
    return Select(limit, /*newest_first=*/true,
                  [](const Job& job) { return job.state == v1::TrainingJob::SUCCEEDED; });
  }

  absl::StatusOr<std::vector<Job>> ListUnfinished() override {
    return Select(1 << 30, /*newest_first=*/false, [](const Job& job) { return !job.finished(); });
  }

  absl::StatusOr<Job> Update(const JobName& name,
                             absl::FunctionRef<absl::Status(Job&, Effects&)> change) override {
    MutexLock lock(mutex_);
    const auto kept = jobs_.find(name);
    if (kept == jobs_.end()) return NotFound(name.ToString());
    Job job = kept->second;
    Effects effects;
    RETURN_IF_ERROR(change(job, effects));
    RETURN_IF_ERROR(write_error_);
    kept->second = job;
    Keep(name, effects);
    if (std::exchange(lose_answer_, false)) return absl::UnavailableError("the answer was lost");
    return job;
  }

  absl::StatusOr<std::vector<v1::Event>> ListEvents(const JobName& name, int64_t after,
                                                    int limit) override {
    MutexLock lock(mutex_);
    std::vector<v1::Event> out;
    for (const v1::Event& event : events_[name]) {
      if (event.sequence() > after && static_cast<int>(out.size()) < limit) out.push_back(event);
    }
    return out;
  }

  absl::StatusOr<std::vector<v1::UsageEvent>> ListUsage(int64_t after_cursor, int limit) override {
    MutexLock lock(mutex_);
    std::vector<v1::UsageEvent> out;
    for (const v1::UsageEvent& usage : usage_) {
      if (usage.cursor() > after_cursor && static_cast<int>(out.size()) < limit) {
        out.push_back(usage);
      }
    }
    return out;
  }

  absl::StatusOr<std::vector<JobName>> CloseTenant(const std::string& tenant) override {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(write_error_);
    closed_.insert(tenant);
    std::vector<JobName> names;
    for (const auto& [name, job] : jobs_) {
      if (name.tenant == tenant) names.push_back(name);
    }
    return names;
  }

  absl::Status RemoveTenant(const std::string& tenant) override {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(write_error_);
    std::erase_if(jobs_, [&](const auto& entry) { return entry.first.tenant == tenant; });
    std::erase_if(events_, [&](const auto& entry) { return entry.first.tenant == tenant; });
    return absl::OkStatus();
  }

 private:
  template <class Filter>
  std::vector<Job> Select(int limit, bool newest_first, const Filter& filter) {
    MutexLock lock(mutex_);
    std::vector<Job> out;
    for (const auto& [name, job] : jobs_) {
      if (filter(job)) out.push_back(job);
    }
    std::sort(out.begin(), out.end(), [&](const Job& a, const Job& b) {
      return newest_first ? a.order > b.order : a.order < b.order;
    });
    if (static_cast<int>(out.size()) > limit) out.resize(static_cast<size_t>(limit));
    return out;
  }

  void Keep(const JobName& name, const Effects& effects) REQUIRES(mutex_) {
    auto& events = events_[name];
    events.insert(events.end(), effects.events.begin(), effects.events.end());
    if (effects.usage.has_value()) {
      usage_.push_back(*effects.usage);
      usage_.back().set_cursor(static_cast<int64_t>(usage_.size()));
    }
  }

  Mutex mutex_;
  absl::Status write_error_ GUARDED_BY(mutex_);
  bool lose_answer_ GUARDED_BY(mutex_) = false;
  int64_t orders_ GUARDED_BY(mutex_) = 0;
  std::map<JobName, Job> jobs_ GUARDED_BY(mutex_);
  std::set<std::string> closed_ GUARDED_BY(mutex_);
  std::map<JobName, std::vector<v1::Event>> events_ GUARDED_BY(mutex_);
  std::vector<v1::UsageEvent> usage_ GUARDED_BY(mutex_);
};

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_JOB_STORE_H_
