#include "services/inference/sequences/sequence_table.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

absl::Status Unknown(const std::string& id) {
  return absl::FailedPreconditionError(
      fmt::format("sequence {} is not known: it has not been started, has ended, was idle for too "
                  "long, or its worker is gone; start one (sequence_start)",
                  id));
}

}  // namespace

void SequenceTable::ForgetIdle(absl::Duration now) {
  while (!idle_.empty()) {
    const auto sequence = sequences_.find(idle_.front());
    if (now - sequence->second.idle_since < settings_.idle_timeout) return;
    sequences_.erase(sequence);
    idle_.pop_front();
  }
}

TensorBatch SequenceTable::StatesFor(const SequenceStep& step, const Sequence& sequence) const {
  return step.start ? layout_.zeros() : *sequence.states;
}

void SequenceTable::Enter(const SequenceStep& step, Begin begin) {
  absl::StatusOr<TensorBatch> states;
  {
    MutexLock lock(mutex_);
    ForgetIdle(clock_.Monotonic());
    auto found = sequences_.find(step.id);
    if (found == sequences_.end() && !step.start) {
      states = Unknown(step.id);
    } else if (found == sequences_.end() && sequences_.size() >= settings_.max_sequences) {
      states = absl::UnavailableError(
          fmt::format("{} sequences are under way, which is all that the model may have here; end "
                      "one or try again later",
                      settings_.max_sequences));
    } else {
      if (found == sequences_.end()) found = sequences_.try_emplace(step.id).first;
      Sequence& sequence = found->second;
      if (!sequence.busy) {
        states = StatesFor(step, sequence);
        if (sequence.states) idle_.erase(sequence.place);
        sequence.busy = true;
      } else if (sequence.line.size() < kMaxWaiting) {
        sequence.line.push_back({step, std::move(begin)});
        return;
      } else {
        states = absl::UnavailableError(
            fmt::format("{} calls of sequence {} wait already", kMaxWaiting, step.id));
      }
    }
  }
  begin(std::move(states));
}

SequenceTable::Next SequenceTable::Leave(const SequenceStep& step,
                                         std::optional<TensorBatch> states) {
  std::vector<Waiting> refused;
  std::optional<Waiting> next;
  TensorBatch next_states;
  {
    MutexLock lock(mutex_);
    const auto found = sequences_.find(step.id);
    Sequence& sequence = found->second;
    if (states) {
      if (step.end) {
        sequence.states.reset();
      } else {
        sequence.states = std::move(states);
      }
    }
    while (!sequence.line.empty() && !next) {
      Waiting waiting = std::move(sequence.line.front());
      sequence.line.pop_front();
      if (waiting.step.start || sequence.states) {
        next_states = StatesFor(waiting.step, sequence);
        next = std::move(waiting);
      } else {
        refused.push_back(std::move(waiting));
      }
    }
    if (!next) {
      if (sequence.states) {
        sequence.busy = false;
        sequence.idle_since = clock_.Monotonic();
        sequence.place = idle_.insert(idle_.end(), step.id);
      } else {
        sequences_.erase(found);
      }
    }
  }
  return [refused = std::move(refused), next = std::move(next),
          next_states = std::move(next_states)]() mutable {
    for (Waiting& waiting : refused) waiting.begin(Unknown(waiting.step.id));
    if (next) next->begin(std::move(next_states));
  };
}

size_t SequenceTable::size() const {
  MutexLock lock(mutex_);
  return sequences_.size();
}

}  // namespace slipway::worker
