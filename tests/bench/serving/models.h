#ifndef SLIPWAY_TESTS_BENCH_SERVING_MODELS_H_
#define SLIPWAY_TESTS_BENCH_SERVING_MODELS_H_

#include <cstdint>
#include <vector>

#include "tests/support/serving/test_artifact.h"

namespace slipway {

/// The small tabular model: 32 numbers -> 64 -> 32 -> 10 classes, 4.5 thousand weights.
inline TestArtifact BenchMlp() {
  return MakeTestArtifact(R"({"type": "mlp", "hidden": [64, 32]})", "x", {32}, 10, 1);
}
inline const std::vector<int64_t> kMlpShape = {1, 32};

/// The small picture model: 28 x 28 -> 2 convolutions -> 10 classes.
inline TestArtifact BenchCnn() {
  return MakeTestArtifact(R"({"type": "cnn", "channels": [32, 64]})", "x", {28, 28}, 10, 1);
}
inline const std::vector<int64_t> kCnnShape = {1, 28, 28};

/// Element `i` of what callers send.
inline float BenchInput(int64_t i) { return static_cast<float>(i % 17) / 16; }

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_MODELS_H_
