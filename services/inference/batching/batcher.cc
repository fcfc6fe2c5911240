#include "services/inference/batching/batcher.h"

#include <sys/prctl.h>

#include <algorithm>
#include <utility>

#include "services/inference/batching/batch_tensors.h"
#include "services/inference/batching/batch_trace.h"

namespace slipway::worker {
namespace {

constexpr unsigned long kTimerSlackNanoseconds = 1000;

// Delays here are shorter than the slack that timers have by default. No promise: where it is
// refused, batches are a little later.
void WakeExactly() { prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds); }

// Until when the batch is worth running: whoever waits longest.
absl::Duration DeadlineOf(const Batch& batch) {
  absl::Duration deadline = -absl::InfiniteDuration();
  for (const BatchCallPtr& call : batch.calls) deadline = std::max(deadline, call->deadline);
  return deadline;
}

void Refuse(std::vector<DroppedCall> dropped) {
  for (DroppedCall& one : dropped) one.call->Finish(std::move(one.why));
}

// The outputs of each call.
absl::StatusOr<std::vector<TensorBatch>> RunTogether(const Batch& batch, const Clock& clock,
                                                     absl::Duration start, RunTimes& times) {
  const LoadedModel& model = *batch.queue->model();
  const absl::Time deadline = clock.Now() + (DeadlineOf(batch) - start);
  absl::Duration last = start;
  const auto lap = [&] {
    const absl::Duration now = clock.Monotonic();
    return now - std::exchange(last, now);
  };
  if (batch.calls.size() == 1 && batch.lengths == batch.calls[0]->lengths) {
    absl::StatusOr<TensorBatch> outputs = model.Run(batch.calls[0]->inputs(), deadline);
    times.infer = lap();
    RETURN_IF_ERROR(outputs.status());
    std::vector<TensorBatch> one;
    one.push_back(*std::move(outputs));
    return one;
  }
  std::vector<const TensorBatch*> inputs;
  std::vector<int64_t> rows;
  for (const BatchCallPtr& call : batch.calls) {
    inputs.push_back(&call->inputs());
    rows.push_back(call->rows);
  }
  const Padding& padding = batch.queue->padding();
  ASSIGN_OR_RETURN(const TensorBatch together, Gather(inputs, padding, batch.lengths));
  times.input = lap();
  const absl::StatusOr<TensorBatch> outputs = model.Run(together, deadline);
  times.infer = lap();
  RETURN_IF_ERROR(outputs.status());
  ASSIGN_OR_RETURN(std::vector<TensorBatch> apart, Scatter(*outputs, rows));
  for (size_t i = 0; i < apart.size(); ++i) {
    RETURN_IF_ERROR(CutBack(apart[i], padding, batch.lengths, batch.calls[i]->lengths));
  }
  times.output = lap();
  return apart;
}

}  // namespace

Batcher::Batcher(Options options, const Clock& clock)
    : clock_(clock),
      answer_together_(std::move(options.answer_together)),
      scheduler_(std::move(options.weights)),
      free_(options.instances) {
  for (int i = 0; i < options.instances; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { Serve(stop); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { EndLongWaits(stop); });
}

Batcher::~Batcher() {
  for (std::jthread& thread : threads_) thread.request_stop();
  {
    MutexLock lock(mutex_);
    changed_.SignalAll();
    expiry_changed_.SignalAll();
  }
  threads_.clear();
}

bool Batcher::Submit(ModelQueue& queue, BatchCallPtr call) {
  BatchScheduler::Turn turn;
  absl::Status refused;
  bool wake = false;
  bool expires_first = false;
  bool waits_for_model = false;
  {
    MutexLock lock(mutex_);
    const absl::Duration now = clock_.Monotonic();
    const bool alone = free_ > 0 && scheduler_.empty();
    refused = scheduler_.Push(queue, call, now, turn.dropped);
    if (refused.ok()) {
      if (alone && queue.IsQuick(kQuick, now)) turn = TakeTurn(now);
      // A thread that waits for this batch to fill looks by itself, at its time.
      const absl::Duration ready = queue.ReadyAt(now);
      wake = (ready <= now || ready < alarm_) && queue.may_start() && WakeOne();
      expires_first = queue.ExpiresAt() < expiry_;
      if (expires_first) expiry_ = queue.ExpiresAt();
      waits_for_model = !queue.has_model();
    }
  }
  if (wake) changed_.Signal();
  if (expires_first) expiry_changed_.Signal();
  if (!refused.ok()) call->Finish(refused);
  Do(std::move(turn));
  return !waits_for_model;
}

std::shared_ptr<const LoadedModel> Batcher::TakeModel(ModelQueue& queue) {
  MutexLock lock(mutex_);
  return queue.TakeModel();
}

void Batcher::SetModel(ModelQueue& queue, std::shared_ptr<const LoadedModel> model) {
  MutexLock lock(mutex_);
  queue.SetModel(std::move(model), clock_.Monotonic());
  if (WakeOne()) changed_.Signal();
}

void Batcher::Clear(ModelQueue& queue, const absl::Status& why) {
  std::vector<DroppedCall> dropped;
  {
    MutexLock lock(mutex_);
    scheduler_.Clear(queue, why, dropped);
  }
  Refuse(std::move(dropped));
}

bool Batcher::has_model(const ModelQueue& queue) const {
  MutexLock lock(mutex_);
  return queue.has_model();
}

absl::Duration Batcher::last_used(const ModelQueue& queue) const {
  MutexLock lock(mutex_);
  return queue.last_used();
}

bool Batcher::WakeOne() {
  if (free_ == 0 || scheduler_.empty() || sleeping_ <= woken_) return false;
  ++woken_;
  return true;
}

void Batcher::HoldUntil(ModelQueue& queue, size_t calls) {
  MutexLock lock(mutex_);
  queue.HoldUntil(calls);
  changed_.SignalAll();
}

size_t Batcher::waiting(const ModelQueue& queue) const {
  MutexLock lock(mutex_);
  return queue.waiting();
}

BatchScheduler::Turn Batcher::TakeTurn(absl::Duration now) {
  BatchScheduler::Turn turn;
  if (free_ == 0) return turn;
  turn = scheduler_.Next(now);
  if (turn.batch.queue != nullptr) --free_;
  return turn;
}

BatchScheduler::Turn Batcher::AwaitTurn(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  for (;;) {
    const absl::Duration now = clock_.Monotonic();
    BatchScheduler::Turn turn = TakeTurn(now);
    if (turn.batch.queue != nullptr || !turn.dropped.empty() || stop.stop_requested()) {
      // What is left is for the next thread, to run or to wait for.
      if (WakeOne()) changed_.Signal();
      return turn;
    }
    ++sleeping_;
    if (turn.ask_again == absl::InfiniteDuration()) {
      changed_.Wait(mutex_);
    } else {
      alarm_ = std::min(alarm_, turn.ask_again);
      changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(turn.ask_again - now));
      alarm_ = absl::InfiniteDuration();
    }
    --sleeping_;
    woken_ = std::max(0, woken_ - 1);
  }
}

void Batcher::Serve(const std::stop_token& stop) {
  WakeExactly();
  while (!stop.stop_requested()) Do(AwaitTurn(stop));
}

void Batcher::EndLongWaits(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<DroppedCall> dropped;
    {
      MutexLock lock(mutex_);
      const absl::Duration now = clock_.Monotonic();
      expiry_ = scheduler_.Expire(now, dropped);
      if (dropped.empty() && !stop.stop_requested()) {
        if (expiry_ == absl::InfiniteDuration()) {
          expiry_changed_.Wait(mutex_);
        } else {
          expiry_changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(expiry_ - now));
        }
      }
    }
    Refuse(std::move(dropped));
  }
}

void Batcher::Do(BatchScheduler::Turn turn) {
  Refuse(std::move(turn.dropped));
  if (turn.batch.queue != nullptr) RunBatch(std::move(turn.batch));
}

void Batcher::RunBatch(Batch batch) {
  const absl::Duration start = clock_.Monotonic();
  RunTimes times;
  absl::StatusOr<std::vector<TensorBatch>> outputs = RunTogether(batch, clock_, start, times);
  batch.calls[0]->ReportRun(batch.rows, times);
  // One bad row must not fail the others: each has another try, alone.
  const bool again = !outputs.ok() && batch.calls.size() > 1;
  TraceBatch(batch, start, times, outputs.status(), again, clock_);
  bool wake = false;
  {
    // Before the calls are answered: the last of them may take its model along.
    MutexLock lock(mutex_);
    scheduler_.Ran(batch, times.total(), start + times.total());
    if (again) scheduler_.PutBack(batch);
    ++free_;
    wake = WakeOne();
  }
  if (wake) changed_.Signal();
  if (again) return;
  const auto answer = [&] {
    for (size_t i = 0; i < batch.calls.size(); ++i) {
      BatchCall& call = *batch.calls[i];
      if (!outputs.ok()) {
        call.Finish(outputs.status());
        continue;
      }
      const double share = static_cast<double>(call.rows) / static_cast<double>(batch.rows);
      call.Finish(CallAnswer{.outputs = std::move((*outputs)[i]),
                             .queued = start - call.arrived,
                             .times = times,
                             .compute = times.infer * share});
    }
  };
  if (answer_together_ && batch.calls.size() > 1) {
    answer_together_(answer);
  } else {
    answer();
  }
}

}  // namespace slipway::worker
