#ifndef SLIPWAY_TESTS_E2E_LOAD_H_
#define SLIPWAY_TESTS_E2E_LOAD_H_

#include <map>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {

/// Callers that predict one after the other, from construction until Finish(); each leaves a pause
/// after an answer, so that the platform has room for other work.
class Load {
 public:
  struct Result {
    int64_t failed = 0;
    std::string first_failure;
    /// Answers by the version that gave them.
    std::map<std::string, int64_t> by_version;
    /// Of the answers, in the order of their ends.
    std::vector<absl::Duration> latencies;
  };

  /// `world` outlives the load.
  Load(const World& world, const std::string& deployment, int callers,
       absl::Duration pause = absl::Milliseconds(10));

  /// Waits for `more` answers from now on.
  bool WaitForMore(size_t more) const;

  /// What was answered since the beginning, or since the last time.
  Result Take();

  /// Ends it.
  Result Finish();

 private:
  void Run(const World& world, const std::string& deployment, absl::Duration pause,
           const std::stop_token& stop);

  mutable Mutex mutex_;
  Result result_ GUARDED_BY(mutex_);
  size_t answered_ GUARDED_BY(mutex_) = 0;
  std::vector<std::jthread> callers_;
};

}  // namespace slipway::e2e

#endif  // SLIPWAY_TESTS_E2E_LOAD_H_
