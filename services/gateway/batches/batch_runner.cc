#include "services/gateway/batches/batch_runner.h"

#include <optional>
#include <utility>

#include "common/log/log.h"

namespace slipway::gateway {

BatchRunner::BatchRunner(const BatchRun::Parts& parts, const Settings& settings)
    : parts_(parts), settings_(settings) {}

BatchRunner::~BatchRunner() { Stop(); }

void BatchRunner::Start() {
  for (int i = 0; i < settings_.threads; ++i) threads_.emplace_back([this] { Loop(); });
}

void BatchRunner::Wake() { wake_.Signal(); }

void BatchRunner::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    for (BatchRun* run : running_) run->Stop();
  }
  wake_.SignalAll();
  threads_.clear();
}

absl::StatusOr<bool> BatchRunner::RunNext() {
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(std::optional<BatchWork> work,
                   parts_.store.Take(now, now + parts_.options.lease));
  if (!work) return false;
  BatchRun run(parts_, *std::move(work));
  {
    MutexLock lock(mutex_);
    running_.insert(&run);
    if (stopping_) run.Stop();
  }
  absl::Status status = run.Run();
  {
    MutexLock lock(mutex_);
    running_.erase(&run);
  }
  // Another replica has it, and this one has written nothing since.
  if (absl::IsAborted(status)) {
    Log(Severity::kInfo, "batch_lost", {{"error", status}});
    return true;
  }
  RETURN_IF_ERROR(status);
  return true;
}

void BatchRunner::Loop() {
  bool failing = false;
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (stopping_) return;
    }
    const absl::StatusOr<bool> ran = RunNext();
    if (!ran.ok() && !failing) {
      Log(Severity::kWarning, "batches_not_run", {{"error", ran.status()}});
    }
    failing = !ran.ok();
    if (ran.ok() && *ran) continue;
    MutexLock lock(mutex_);
    if (!stopping_) wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(settings_.poll));
  }
}

}  // namespace slipway::gateway
