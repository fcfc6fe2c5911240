#ifndef SLIPWAY_TESTS_BENCH_SERVING_BARE_MODEL_H_
#define SLIPWAY_TESTS_BENCH_SERVING_BARE_MODEL_H_

#include <memory>
#include <string>

#include "services/inference/model_runtime.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/temp_dir.h"

namespace slipway {

/// A model in one of the worker's runtimes and nothing around it: what a batch costs when nobody
/// serves it. One thread. What goes wrong ends the program.
class BareModel {
 public:
  /// "torch" or "openvino".
  BareModel(const std::string& runtime, const TestArtifact& artifact);

  /// Microseconds of this process's CPU that a row takes in runs of `rows` rows of BenchInput().
  double MicrosPerRow(int64_t rows);

 private:
  TempDir dir_;
  std::unique_ptr<worker::ModelRuntime> runtime_;
  std::shared_ptr<const worker::LoadedModel> model_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_BARE_MODEL_H_
