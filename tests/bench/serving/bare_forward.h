#ifndef SLIPWAY_TESTS_BENCH_SERVING_BARE_FORWARD_H_
#define SLIPWAY_TESTS_BENCH_SERVING_BARE_FORWARD_H_

#include <memory>
#include <string>
#include <vector>

#include "tests/support/serving/test_artifact.h"

namespace slipway {

/// A model in LibTorch and nothing around it: what a call to it costs when nobody serves it. One
/// thread.
class BareForward {
 public:
  /// `shape` is one call's input, batch first.
  BareForward(const TestArtifact& artifact, const std::vector<int64_t>& shape);
  ~BareForward();

  /// Runs it `count` times on the input that the callers send.
  void Run(int count);

  /// What it gives for this input.
  std::vector<float> Answer(const std::vector<float>& input);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_BARE_FORWARD_H_
