#ifndef SLIPWAY_SERVICES_INFERENCE_SEQUENCES_SEQUENCE_TABLE_H_
#define SLIPWAY_SERVICES_INFERENCE_SEQUENCES_SEQUENCE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/inference/model_runtime.h"
#include "services/inference/sequences/state_layout.h"

namespace slipway::worker {

/// What a deployment says of its model's sequences. A value.
struct SequenceSettings {
  /// A sequence that no call came for is forgotten after this.
  absl::Duration idle_timeout = absl::Seconds(60);
  /// At once; 0: kMostByDefault, or as many as there is room for.
  size_t max_sequences = 0;

  static constexpr size_t kMostByDefault = 4096;
  bool operator==(const SequenceSettings&) const = default;
};

/// What a call says of the sequence that it belongs to.
struct SequenceStep {
  /// The caller's; empty: none. A number and a text of the same digits differ.
  std::string id;
  bool start = false;
  bool end = false;
};

/// The sequences of one model version of one deployment, and the states that each has come to. The
/// calls of a sequence go one after the other, in the order in which they entered; between
/// sequences there is no order. Any thread.
class SequenceTable {
 public:
  /// What a sequence counts beside its states.
  static constexpr int64_t kSequenceBytes = 512;
  /// Further calls of one sequence are refused.
  static constexpr size_t kMaxWaiting = 64;

  /// Called once, under no lock: with the states that the call is to run on, or why it cannot.
  using Begin = absl::AnyInvocable<void(absl::StatusOr<TensorBatch> states)>;
  /// What the end of a call brings about for those that waited for it.
  using Next = absl::AnyInvocable<void()>;

  /// `settings.max_sequences` is not 0 here. The clock outlives the table.
  SequenceTable(StateLayout layout, const SequenceSettings& settings, const Clock& clock)
      : layout_(std::move(layout)), settings_(settings), clock_(clock) {}

  const StateLayout& layout() const { return layout_; }
  const SequenceSettings& settings() const { return settings_; }

  /// Has the call begin at its turn, which may be now, or on the thread that ends the call before
  /// it. Errors that it begins with: kFailedPrecondition (no start, and the sequence is not known:
  /// never started, ended, idle for too long, or lost), kUnavailable (too many sequences, or too
  /// many calls of this one wait). One that begins with states must Leave().
  void Enter(const SequenceStep& step, Begin begin);

  /// The call is over. `states`: what it has come to; none: it failed, and the sequence stays as it
  /// was before it. What is returned is to be called once the call is answered.
  Next Leave(const SequenceStep& step, std::optional<TensorBatch> states);

  /// Those that are known; and what they take, about.
  size_t size() const;
  int64_t bytes() const {
    return static_cast<int64_t>(size()) * (kSequenceBytes + layout_.bytes());
  }

 private:
  struct Waiting {
    SequenceStep step;
    Begin begin;
  };
  struct Sequence {
    // None before the first call has succeeded.
    std::optional<TensorBatch> states;
    // While a call is under way: those behind it.
    bool busy = false;
    std::deque<Waiting> line;
    // Otherwise: since when, and its place in idle_.
    absl::Duration idle_since;
    std::list<std::string>::iterator place;
  };

  void ForgetIdle(absl::Duration now) REQUIRES(mutex_);
  /// What the sequence's next call runs on.
  TensorBatch StatesFor(const SequenceStep& step, const Sequence& sequence) const;

  const StateLayout layout_;
  const SequenceSettings settings_;
  const Clock& clock_;

  mutable Mutex mutex_;
  std::unordered_map<std::string, Sequence> sequences_ GUARDED_BY(mutex_);
  // Ids of those that are not busy, the longest idle first.
  std::list<std::string> idle_ GUARDED_BY(mutex_);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SEQUENCES_SEQUENCE_TABLE_H_
