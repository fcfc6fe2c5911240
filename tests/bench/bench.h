#ifndef SLIPWAY_TESTS_BENCH_BENCH_H_
#define SLIPWAY_TESTS_BENCH_BENCH_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/log/log.h"
#include "common/status/status.h"

namespace slipway {

/// What a benchmark's process begins with: it logs errors only, and has no setting that halves
/// BLAS' speed, so that the servers that it starts have none either.
inline absl::Status BeginBench(const std::string& name) {
  ::unsetenv("OPENBLAS_CORETYPE");
  ::unsetenv("OPENBLAS_L2_SIZE");
  LogConfig quiet;
  quiet.level = "error";
  return InitLogging(name, quiet);
}

/// The middle one; NaN of none.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? NAN : values[values.size() / 2];
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_BENCH_H_
