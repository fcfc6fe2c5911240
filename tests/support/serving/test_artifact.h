#ifndef SLIPWAY_TESTS_SUPPORT_SERVING_TEST_ARTIFACT_H_
#define SLIPWAY_TESTS_SUPPORT_SERVING_TEST_ARTIFACT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/nn/model_description.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway {

/// A servable artifact; those that are made here are of our own format, without LibTorch: random
/// weights by a seed.
struct TestArtifact {
  std::string format = "slipway";
  std::string description;  // architecture.json
  std::string weights;      // model.safetensors, or by the next name
  std::string weights_file = "model.safetensors";
  /// The weights, row-major, by parameter.
  std::map<std::string, std::vector<float>> parameters;
  slipway::registry::v1::Signature signature;
};

/// Weights start as training would have them, so that values keep their size through the layers;
/// statistics are between 0.1 and 0.6.
TestArtifact MakeTestArtifact(const nn::ModelDescription& description, uint64_t seed);

/// `architecture` is JSON as in a job spec. The model takes `input` FP32 [-1, row...] and gives
/// "probabilities" FP32 [-1, classes].
TestArtifact MakeTestArtifact(const std::string& architecture, const std::string& input,
                              const std::vector<int64_t>& row, int64_t classes, uint64_t seed);

/// x FP32 [-1, 4] -> one hidden layer of 8 (ReLU) -> 3 classes.
TestArtifact SmallMlp(uint64_t seed);

/// What SmallMlp(seed) answers for one row, worked out here number by number.
std::vector<float> SmallMlpAnswer(const TestArtifact& artifact, const std::vector<float>& row);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SERVING_TEST_ARTIFACT_H_
