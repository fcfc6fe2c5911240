#ifndef SLIPWAY_TESTS_SUPPORT_SOAK_USAGE_SOAK_H_
#define SLIPWAY_TESTS_SUPPORT_SOAK_USAGE_SOAK_H_

#include <cstdint>
#include <string>
#include <vector>

namespace slipway::gateway {

struct UsageSoakOptions {
  int64_t calls = 0;
  /// kill -9, spread evenly over the calls, of one gateway after the other.
  int kills = 0;
  int gateways = 2;
  int callers = 16;
};

struct UsageSoakResult {
  int64_t answered = 0;  ///< Calls whose caller got its whole answer.
  int64_t rows = 0;      ///< In all gateways' ledgers.
  int64_t marked = 0;    ///< Of these, marked as broken by a kill.
  int64_t summed = 0;    ///< What the sums by the hour count.
  /// What is wrong, at most a few of each kind; empty: each answered call has exactly one row, and
  /// each row without an answer is marked.
  std::vector<std::string> faults;
};

/// Calls real gateway processes, each with its own database, while they are killed and started
/// again, and then compares what callers saw with the ledgers.
UsageSoakResult RunUsageSoak(const UsageSoakOptions& options);

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_SOAK_USAGE_SOAK_H_
