#ifndef SLIPWAY_SERVICES_TRAINING_SEARCH_SEARCH_H_
#define SLIPWAY_SERVICES_TRAINING_SEARCH_SEARCH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "google/protobuf/struct.pb.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/spec.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// `spec.search`, checked: which trials there are. Pure: the same spec gives the same trials, so
/// that a search goes on after a restart. Immutable; any thread.
///
/// A trial is known by its index (the values of its fields) and its rung. Successive halving
/// (https://arxiv.org/abs/1502.07943) begins each rung's trials anew, since a learning rate's
/// schedule ends with the epochs.
class Search {
 public:
  /// Checks `spec` whole: every value of every field gives a spec that ParseSpec takes. Errors:
  /// InvalidField.
  static absl::StatusOr<Search> Parse(const v1::JobSpec& spec);

  /// With its defaults filled in, as Spec::job.
  const v1::JobSpec& job() const { return job_; }

  int rungs() const { return static_cast<int>(rungs_.size()); }
  /// How many trials a rung has.
  int trials(int rung) const { return rungs_[static_cast<size_t>(rung)].trials; }
  int all_trials() const;
  int parallel() const;
  /// Infinite where the budget has none.
  absl::Duration time_budget() const;
  /// Zero: none. Of one trial.
  absl::Duration time_limit() const { return time_limit_; }

  /// "validation_loss", by which trials are compared.
  std::string metric() const;
  bool higher_is_better() const;

  /// What a trial runs: neither a search nor an alias, nor a bound to keep, all of which are the
  /// search's.
  v1::JobSpec SpecOf(int index, int rung) const;
  /// By path.
  std::map<std::string, google::protobuf::Value> ValuesOf(int index) const;

 private:
  struct Rung {
    int trials = 0;
    int epochs = 0;  // 0: the spec's
  };

  nlohmann::json ValueOf(int index, int field) const;
  absl::StatusOr<v1::JobSpec> With(const std::map<int, nlohmann::json>& values) const;

  v1::JobSpec job_;
  nlohmann::json base_;                               // of all trials
  std::vector<nlohmann::json::json_pointer> places_;  // of each field
  std::vector<std::vector<nlohmann::json>> choices_;  // of each field; empty: any of its range
  std::vector<Rung> rungs_;
  absl::Duration time_limit_ = absl::ZeroDuration();
};

/// A trial as far as it has got.
struct TrialSoFar {
  int index = 0;
  int rung = 0;
  bool over = false;
  /// Absent where it has no result.
  std::optional<double> metric;
  /// What it took, or, while it is not over, may take.
  absl::Duration time = absl::ZeroDuration();
};

struct NewTrial {
  int index = 0;
  int rung = 0;
  /// Zero: no limit but the platform's.
  absl::Duration time_limit = absl::ZeroDuration();

  bool operator==(const NewTrial&) const = default;
};

/// What to do next.
struct SearchStep {
  std::vector<NewTrial> begin;
  /// No trial is under way, and none follows.
  bool done = false;
};

SearchStep NextTrials(const Search& search, std::span<const TrialSoFar> trials);

/// The place in `trials` of the best one in the highest rung that has a result; absent where none
/// has.
std::optional<size_t> BestTrial(const Search& search, std::span<const TrialSoFar> trials);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SEARCH_SEARCH_H_
