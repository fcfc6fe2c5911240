#include "services/inference/batching/model_queue.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "fmt/format.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

// How often a full queue is searched for calls that nobody waits for.
constexpr absl::Duration kSweepPause = absl::Milliseconds(5);
// How much longer than the model alone takes the calls ahead are expected to take: there are other
// models, and the reading and answering. A queue that is half as long keeps the instances as busy.
constexpr int kCaution = 2;
// How fast a crowd that has left is forgotten, a run.
constexpr double kCrowdStays = 0.9;

bool HasFreeShapes(const Signature& signature) {
  return std::ranges::any_of(signature.inputs, [](const TensorSpec& spec) {
    const std::vector<int64_t>& dims = spec.shape.dims();
    return dims.size() > 1 && std::find(dims.begin() + 1, dims.end(), Shape::kAny) != dims.end();
  });
}

absl::Status Late() {
  return absl::DeadlineExceededError("the deadline passed before the model could run");
}

absl::Status Gone() { return absl::CancelledError("the caller has gone"); }

}  // namespace

ModelQueue::ModelQueue(BatchPolicy policy, std::string tenant,
                       std::shared_ptr<const LoadedModel> model, absl::Duration now,
                       Padding padding)
    : policy_(std::move(policy)),
      tenant_(std::move(tenant)),
      model_(std::move(model)),
      reads_inputs_(model_ != nullptr),
      batches_(policy_.max_rows > 1 && (model_ == nullptr || TakesBatches(model_->signature()))),
      shapes_differ_(model_ != nullptr && HasFreeShapes(model_->signature())),
      padding_(std::move(padding)),
      levels_(policy_.queues.size()),
      newest_(now) {}

void ModelQueue::Describe(BatchCall& call) const {
  call.priority = std::clamp(call.priority, 0, static_cast<int>(levels_.size()) - 1);
  if (reads_inputs_) ReadInputs(call);
  call.padded = padding_.RoundUp(call.lengths);
  call.work = static_cast<double>(call.rows) * PositionsOf(call.padded);
}

void ModelQueue::ReadInputs(BatchCall& call) const {
  call.single = !batches_;
  if (!batches_) return;
  call.rows = call.inputs()[0].shape()[0];
  if (!shapes_differ_) return;
  call.lengths = padding_.LengthsOf(call.inputs());
  // What cannot be padded runs as it is, and the model says what it thinks of it.
  if (call.lengths.empty() && !padding_.empty()) call.single = true;
  for (size_t i = 0; i < call.inputs().size(); ++i) {
    const std::vector<int64_t>& dims = call.inputs()[i].shape().dims();
    for (size_t axis = 1; axis < dims.size(); ++axis) {
      if (!padding_.Pads(i, axis)) call.shape.push_back(dims[axis]);
    }
  }
}

double ModelQueue::WorkOf(int64_t rows) const {
  const auto n = static_cast<double>(rows);
  return rows_waiting_ == 0 ? n : n * work_waiting_ / static_cast<double>(rows_waiting_);
}

bool ModelQueue::WouldBeLate(const BatchCall& call, absl::Duration now) const {
  if (call.deadline == absl::InfiniteDuration()) return false;
  int64_t ahead = rows_running_ / 2;
  for (int i = 0; i <= call.priority; ++i) ahead += levels_[static_cast<size_t>(i)].rows;
  const int64_t side_by_side = std::max(1, running_) * policy_.max_rows;
  absl::Duration wait = latency_.Predict(WorkOf(policy_.max_rows), now) * (ahead / side_by_side);
  const int64_t rest = std::min(ahead % side_by_side, policy_.max_rows);
  if (rest > 0) wait += latency_.Predict(WorkOf(rest), now);
  return now + kCaution * wait + latency_.Predict(call.work, now) > call.deadline;
}

absl::Status ModelQueue::Push(BatchCallPtr& call, absl::Duration now,
                              std::vector<DroppedCall>& dropped) {
  Describe(*call);
  if (now >= call->deadline) return Late();
  // Where nothing is under way nobody is in its way, and what is learned of a slow run is learned
  // anew.
  if (!(empty() && running_ == 0) && WouldBeLate(*call, now)) {
    return absl::UnavailableError("too much waits already to answer before the deadline");
  }
  Level& level = levels_[static_cast<size_t>(call->priority)];
  const size_t limit = policy_.queues[static_cast<size_t>(call->priority)].max_calls;
  const auto is_full = [&] { return level.line.size() + level.delayed.size() >= limit; };
  if (is_full() && now - swept_ >= kSweepPause) {
    Sweep(now, dropped);
  }
  if (is_full()) {
    return absl::UnavailableError(
        fmt::format("the model's queue is full: {} calls wait, try again later", limit));
  }
  newest_ = now;
  Added(*call);
  level.line.push_back(std::move(call));
  return absl::OkStatus();
}

void ModelQueue::Added(const BatchCall& call) {
  ++waiting_;
  rows_waiting_ += call.rows;
  work_waiting_ += call.work;
  levels_[static_cast<size_t>(call.priority)].rows += call.rows;
  earliest_deadline_ = std::min(earliest_deadline_, call.deadline);
}

void ModelQueue::Removed(const BatchCall& call) {
  --waiting_;
  rows_waiting_ -= call.rows;
  work_waiting_ -= call.work;
  levels_[static_cast<size_t>(call.priority)].rows -= call.rows;
}

void ModelQueue::Drop(BatchCallPtr call, absl::Status why, std::vector<DroppedCall>& dropped) {
  Removed(*call);
  dropped.push_back({std::move(call), std::move(why)});
}

void ModelQueue::Sweep(absl::Duration now, std::vector<DroppedCall>& dropped) {
  swept_ = now;
  earliest_deadline_ = absl::InfiniteDuration();
  for (Level& level : levels_) {
    for (Line* line : level.lines()) {
      std::erase_if(*line, [&](BatchCallPtr& call) {
        const bool late = now >= call->deadline;
        if (late || call->Abandoned()) {
          Drop(std::move(call), late ? Late() : Gone(), dropped);
          return true;
        }
        earliest_deadline_ = std::min(earliest_deadline_, call->deadline);
        return false;
      });
    }
  }
}

const BatchCall* ModelQueue::First() const {
  for (const Level& level : levels_) {
    for (const Line* line : level.lines()) {
      if (!line->empty()) return line->front().get();
    }
  }
  return nullptr;
}

absl::Duration ModelQueue::oldest() const {
  absl::Duration oldest = absl::InfiniteDuration();
  for (const Level& level : levels_) {
    for (const Line* line : level.lines()) {
      if (!line->empty()) oldest = std::min(oldest, line->front()->arrived);
    }
  }
  return oldest;
}

int64_t ModelQueue::RowsOfFirst(int64_t enough) const {
  const BatchCall& first = *First();
  if (first.single) return first.rows;
  if (!shapes_differ_ && padding_.empty()) return std::min(rows_waiting_, enough);
  int64_t rows = 0;
  CommonLengths lengths;
  for (const Level& level : levels_) {
    for (const Line* line : level.lines()) {
      for (const BatchCallPtr& call : *line) {
        if (call->single || call->shape != first.shape || !lengths.Admits(*call)) continue;
        lengths.Add(*call);
        rows += call->rows;
        if (rows >= enough) return enough;
      }
    }
  }
  return rows;
}

int64_t ModelQueue::RowsToTake() const {
  const int64_t there = RowsOfFirst(policy_.max_rows);
  int64_t best = policy_.max_rows;
  for (const int64_t preferred : policy_.preferred_rows) {
    if (preferred <= there) best = preferred;
  }
  return best;
}

absl::Duration ModelQueue::ReadyAt(absl::Duration now) const {
  if (empty() || waiting_ < hold_) return absl::InfiniteDuration();
  const BatchCall& first = *First();
  if (first.single || !batches_ || policy_.max_delay <= absl::ZeroDuration()) return now;
  const int64_t full =
      policy_.preferred_rows.empty() ? policy_.max_rows : policy_.preferred_rows.front();
  const int64_t rows = RowsOfFirst(full);
  if (rows >= full || static_cast<double>(rows + rows_running_) >= crowd_) return now;
  absl::Duration ready = oldest() + policy_.max_delay;
  ready = std::min(ready, newest_ + latency_.Fixed(now) / rows);
  // Twice, since a prediction is none of the longest.
  ready = std::min(ready, first.deadline - 2 * latency_.Predict(WorkOf(rows), now));
  return ready - now < kShortestWait ? now : ready;
}

absl::Duration ModelQueue::ExpiresAt() const {
  if (empty()) return absl::InfiniteDuration();
  absl::Duration first = earliest_deadline_;
  for (size_t i = 0; i < levels_.size(); ++i) {
    if (levels_[i].line.empty()) continue;
    first = std::min(first, levels_[i].line.front()->arrived + policy_.queues[i].timeout);
  }
  return first;
}

void ModelQueue::Expire(absl::Duration now, std::vector<DroppedCall>& dropped) {
  if (now >= earliest_deadline_) Sweep(now, dropped);
  for (size_t i = 0; i < levels_.size(); ++i) {
    Level& level = levels_[i];
    const QueuePolicy& queue = policy_.queues[i];
    while (!level.line.empty() && level.line.front()->arrived + queue.timeout <= now) {
      BatchCallPtr call = std::move(level.line.front());
      level.line.pop_front();
      if (queue.action == QueuePolicy::Action::kDelay) {
        level.delayed.push_back(std::move(call));
        continue;
      }
      Drop(std::move(call), absl::UnavailableError("the call waited too long"), dropped);
    }
  }
}

// A batch while it is put together.
class ModelQueue::Batch {
 public:
  enum class Fit { kJoins, kOtherShape, kNoMore };

  explicit Batch(int64_t max_rows) : max_rows_(max_rows) {}

  Fit Try(const BatchCall& call, const LatencyModel& latency, absl::Duration now) const {
    if (calls.empty()) return Fit::kJoins;
    if (calls[0]->single) return Fit::kNoMore;
    if (call.single || call.shape != calls[0]->shape) return Fit::kOtherShape;
    if (!lengths_.Admits(call)) return Fit::kOtherShape;
    if (rows_ + call.rows > max_rows_) return Fit::kNoMore;
    CommonLengths lengths = lengths_;
    lengths.Add(call);
    const double work = static_cast<double>(rows_ + call.rows) * lengths.positions();
    const absl::Duration ends = now + latency.Predict(work, now);
    const bool late = ends > std::min(deadline_, call.deadline);
    return late ? Fit::kNoMore : Fit::kJoins;
  }

  void Add(BatchCallPtr call) {
    rows_ += call->rows;
    lengths_.Add(*call);
    deadline_ = std::min(deadline_, call->deadline);
    calls.push_back(std::move(call));
  }

  std::vector<BatchCallPtr> calls;
  int64_t rows() const { return rows_; }

 private:
  const int64_t max_rows_;
  int64_t rows_ = 0;
  CommonLengths lengths_;
  absl::Duration deadline_ = absl::InfiniteDuration();
};

std::vector<BatchCallPtr> ModelQueue::Take(absl::Duration now, std::vector<DroppedCall>& dropped) {
  hold_ = 0;
  crowd_ = std::max(crowd_ * kCrowdStays, static_cast<double>(rows_waiting_ + rows_running_));
  Batch batch(empty() ? 0 : RowsToTake());
  bool more = true;
  for (Level& level : levels_) {
    for (Line* line : level.lines()) {
      // What joins or leaves is mostly at the front, where it costs nothing to take out.
      for (auto it = line->begin(); more && it != line->end();) {
        BatchCall& call = **it;
        // One that cannot be in time any more only takes time from the others.
        const absl::Duration ends =
            batch.calls.empty() && waiting_ > 1 ? now + latency_.Predict(call.work, now) : now;
        const bool late = ends >= call.deadline;
        if (late || call.Abandoned()) {
          Drop(std::move(*it), late ? Late() : Gone(), dropped);
          it = line->erase(it);
          continue;
        }
        const Batch::Fit fit = batch.Try(call, latency_, now);
        more = fit != Batch::Fit::kNoMore;
        if (fit == Batch::Fit::kJoins) {
          Removed(call);
          batch.Add(std::move(*it));
          it = line->erase(it);
        } else {
          ++it;
        }
      }
    }
  }
  if (!batch.calls.empty()) {
    ++running_;
    rows_running_ += batch.rows();
  }
  return std::move(batch.calls);
}

void ModelQueue::Ran(int64_t rows, double work, absl::Duration took, absl::Duration now) {
  --running_;
  rows_running_ -= rows;
  latency_.Observe(work, took, now);
}

std::shared_ptr<const LoadedModel> ModelQueue::TakeModel() {
  if (!has_model_ || !empty() || running_ > 0) return nullptr;
  has_model_ = false;
  return std::move(model_);
}

void ModelQueue::SetModel(std::shared_ptr<const LoadedModel> model, absl::Duration now) {
  model_ = std::move(model);
  has_model_ = true;
  newest_ = std::max(newest_, now);
}

void ModelQueue::Clear(const absl::Status& why, std::vector<DroppedCall>& dropped) {
  for (Level& level : levels_) {
    for (Line* line : level.lines()) {
      for (BatchCallPtr& call : *line) Drop(std::move(call), why, dropped);
      line->clear();
    }
  }
}

void ModelQueue::PutBack(std::vector<BatchCallPtr> calls) {
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    (*call)->single = true;
    Added(**call);
    levels_[static_cast<size_t>((*call)->priority)].again.push_front(std::move(*call));
  }
}

}  // namespace slipway::worker
