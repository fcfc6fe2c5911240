#include "services/controller/local_worker_pool.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <utility>

#include "common/log/log.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "services/controller/worker_exit.h"
#include "services/controller/worker_life.h"

namespace slipway::controller {

namespace {

// What a worker that was killed has left would look like one that listens.
void RemoveStaleSocket(std::string_view address) {
  static constexpr std::string_view kUnix = "unix:";
  if (!address.starts_with(kUnix)) return;
  std::error_code ignored;
  std::filesystem::remove(address.substr(kUnix.size()), ignored);
}

}  // namespace

struct LocalWorkerPool::State {
  struct Worker : WorkerLife {
    // Null until the launcher has answered.
    std::shared_ptr<Process> process;
  };

  State(const Clock& clock_in, absl::Duration healthy, std::function<void()> changed_in)
      : clock(clock_in), healthy_after(healthy), changed(std::move(changed_in)) {}

  // The worker has ended; `incarnation` says which of its processes.
  void Ended(int index, int64_t incarnation, const std::string& how);

  const Clock& clock;
  const absl::Duration healthy_after;
  const std::function<void()> changed;
  Mutex mutex;
  std::vector<Worker> workers GUARDED_BY(mutex);
  bool shut_down GUARDED_BY(mutex) = false;
};

void LocalWorkerPool::State::Ended(int index, int64_t incarnation, const std::string& how) {
  {
    MutexLock lock(mutex);
    Worker& worker = workers[static_cast<size_t>(index)];
    if (!worker.running || worker.incarnation != incarnation) return;
    worker.End(how, clock.Monotonic(), healthy_after);
    worker.process = nullptr;
    // Nobody is left to be told.
    if (shut_down) return;
  }
  changed();
}

LocalWorkerPool::LocalWorkerPool(Options options, ProcessLauncher& launcher, const Clock& clock,
                                 std::function<void()> changed)
    : options_(std::move(options)),
      launcher_(launcher),
      state_(std::make_shared<State>(clock, options_.healthy_after, std::move(changed))) {
  MutexLock lock(state_->mutex);
  state_->workers.resize(
      static_cast<size_t>(options_.workers + options_.isolated_workers + (options_.spare ? 1 : 0)));
}

LocalWorkerPool::~LocalWorkerPool() { Shutdown(absl::ZeroDuration()); }

std::vector<WorkerProcess> LocalWorkerPool::Workers() const {
  const absl::Duration now = state_->clock.Monotonic();
  std::vector<WorkerProcess> processes;
  MutexLock lock(state_->mutex);
  for (int index = 0; index < std::ssize(state_->workers); ++index) {
    const State::Worker& worker = state_->workers[static_cast<size_t>(index)];
    processes.push_back(worker.Describe({options_.name, index}, now, options_.healthy_after));
    if (worker.running) processes.back().address = options_.address(index);
  }
  return processes;
}

void LocalWorkerPool::Start(int index, const std::string& owner) {
  int64_t incarnation = 0;
  {
    MutexLock lock(state_->mutex);
    State::Worker& worker = state_->workers[static_cast<size_t>(index)];
    if (worker.running || state_->shut_down) return;
    worker.Begin(owner, state_->clock.Monotonic());
    incarnation = worker.incarnation;
  }
  const std::string name = WorkerId{options_.name, index}.ToString();
  RemoveStaleSocket(options_.address(index));
  absl::StatusOr<std::unique_ptr<Process>> process =
      launcher_.Launch(options_.spec(index, owner),
                       [state = state_, index, incarnation, name](const ProcessExit& exit) {
                         Log(exit.ok() ? Severity::kInfo : Severity::kWarning, "worker_exited",
                             {{"worker", name}, {"exit", exit.ToString()}});
                         state->Ended(index, incarnation, HowItEnded(exit));
                       });
  if (!process.ok()) {
    Log(Severity::kError, "worker_start_failed", {{"worker", name}, {"error", process.status()}});
    state_->Ended(index, incarnation, std::string(process.status().message()));
    return;
  }
  Log(Severity::kInfo, "worker_started", {{"worker", name}, {"pid", (*process)->pid()}});
  MutexLock lock(state_->mutex);
  State::Worker& worker = state_->workers[static_cast<size_t>(index)];
  // It may have ended already.
  if (!worker.running || worker.incarnation != incarnation) return;
  worker.process = *std::move(process);
  if (state_->shut_down) worker.process->Kill();
}

void LocalWorkerPool::Stop(int index, const std::string& reason) {
  std::shared_ptr<Process> process;
  {
    MutexLock lock(state_->mutex);
    State::Worker& worker = state_->workers[static_cast<size_t>(index)];
    if (!worker.running) return;
    worker.stop_reason = fmt::format("it was stopped: {}", reason);
    process = worker.process;
  }
  if (process != nullptr) process->Kill();
}

void LocalWorkerPool::Retire(int index) {
  std::shared_ptr<Process> process;
  {
    MutexLock lock(state_->mutex);
    State::Worker& worker = state_->workers[static_cast<size_t>(index)];
    if (!worker.running || worker.retired || worker.process == nullptr) return;
    worker.retired = true;
    process = worker.process;
  }
  // One that does not end falls silent, and is killed then.
  process->Signal(SIGTERM).IgnoreError();
}

void LocalWorkerPool::Shutdown(absl::Duration grace) {
  std::vector<std::shared_ptr<Process>> processes;
  {
    MutexLock lock(state_->mutex);
    state_->shut_down = true;
    for (const State::Worker& worker : state_->workers) {
      if (worker.process != nullptr) processes.push_back(worker.process);
    }
  }
  const absl::Duration deadline = state_->clock.Monotonic() + grace;
  for (const auto& process : processes) {
    // What cannot be told to stop is killed below.
    process->Signal(SIGTERM).IgnoreError();
  }
  for (const auto& process : processes) {
    const absl::Duration left = deadline - state_->clock.Monotonic();
    if (!process->Wait(std::max(left, absl::ZeroDuration())).ok()) process->Kill();
  }
}

}  // namespace slipway::controller
