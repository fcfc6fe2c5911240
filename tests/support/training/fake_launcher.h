#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_LAUNCHER_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_LAUNCHER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "services/training/launcher.h"

namespace slipway::training {

/// Trainers that do what the test says. Any thread.
class FakeLauncher final : public Launcher {
 public:
  struct Launched {
    v1::Attempt attempt;
    absl::Duration lifetime;
    OnEnd on_end;
    bool stopped = false;
    bool killed = false;
    bool ended = false;
  };

  /// The next launches fail with this; OK: none does.
  void FailLaunches(absl::Status status) {
    MutexLock lock(mutex_);
    launch_error_ = std::move(status);
  }

  /// Trainers end as soon as they are asked to stop (or killed).
  void ObeyStops() {
    MutexLock lock(mutex_);
    obey_ = true;
  }

  /// Waits for an attempt to be launched.
  v1::Attempt WaitForLaunch(const std::string& job, int attempt) {
    return WaitFor(job, attempt, [](const Launched&) { return true; }).attempt;
  }
  void WaitForStop(const std::string& job, int attempt) {
    WaitFor(job, attempt, [](const Launched& launched) { return launched.stopped; });
  }
  void WaitForKill(const std::string& job, int attempt) {
    WaitFor(job, attempt, [](const Launched& launched) { return launched.killed; });
  }
  void WaitForDiscard(const std::string& job) {
    MutexLock lock(mutex_);
    while (!discarded_.contains(job)) changed_.Wait(mutex_);
  }

  /// The trainer of an attempt is gone.
  void End(const std::string& job, int attempt, TrainerEnd end) {
    OnEnd on_end;
    {
      MutexLock lock(mutex_);
      Launched& launched = launched_.at({job, attempt});
      if (std::exchange(launched.ended, true)) return;
      on_end = launched.on_end;
    }
    on_end(std::move(end));
  }

  size_t launches() const {
    MutexLock lock(mutex_);
    return launched_.size();
  }

  absl::StatusOr<std::unique_ptr<Trainer>> Launch(v1::Attempt attempt, const std::string&,
                                                  absl::Duration lifetime, OnEnd on_end) override {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(launch_error_);
    const Key key{attempt.job(), attempt.attempt()};
    launched_[key] = Launched{std::move(attempt), lifetime, std::move(on_end)};
    changed_.SignalAll();
    return std::make_unique<FakeTrainer>(*this, key);
  }

  absl::Status Discard(const JobName& job) override {
    MutexLock lock(mutex_);
    discarded_.insert(job.ToString());
    changed_.SignalAll();
    return absl::OkStatus();
  }

  absl::Status DiscardAllBut(const std::vector<JobName>& jobs) override {
    MutexLock lock(mutex_);
    kept_at_start_ = jobs;
    return absl::OkStatus();
  }
  std::vector<JobName> kept_at_start() const {
    MutexLock lock(mutex_);
    return kept_at_start_;
  }

 private:
  using Key = std::pair<std::string, int>;

  class FakeTrainer final : public Trainer {
   public:
    FakeTrainer(FakeLauncher& launcher, Key key) : launcher_(launcher), key_(std::move(key)) {}
    void Stop() override { launcher_.Mark(key_, &Launched::stopped); }
    void Kill() override { launcher_.Mark(key_, &Launched::killed); }

   private:
    FakeLauncher& launcher_;
    const Key key_;
  };

  template <class Condition>
  Launched WaitFor(const std::string& job, int attempt, const Condition& condition) {
    MutexLock lock(mutex_);
    for (;;) {
      const auto launched = launched_.find({job, attempt});
      if (launched != launched_.end() && condition(launched->second)) return launched->second;
      changed_.Wait(mutex_);
    }
  }

  void Mark(const Key& key, bool Launched::*what) {
    bool obey = false;
    {
      MutexLock lock(mutex_);
      launched_.at(key).*what = true;
      obey = obey_;
      changed_.SignalAll();
    }
    if (obey) End(key.first, key.second, {"the trainer was asked to stop", true, false, {}});
  }

  mutable Mutex mutex_;
  CondVar changed_;
  bool obey_ GUARDED_BY(mutex_) = false;
  absl::Status launch_error_ GUARDED_BY(mutex_);
  std::map<Key, Launched> launched_ GUARDED_BY(mutex_);
  std::set<std::string> discarded_ GUARDED_BY(mutex_);
  std::vector<JobName> kept_at_start_ GUARDED_BY(mutex_);
};

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_FAKE_LAUNCHER_H_
