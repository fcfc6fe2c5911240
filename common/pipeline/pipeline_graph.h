#ifndef SLIPWAY_COMMON_PIPELINE_PIPELINE_GRAPH_H_
#define SLIPWAY_COMMON_PIPELINE_PIPELINE_GRAPH_H_

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/pipeline/condition.h"
#include "common/signature/signature.h"
#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::pipeline {

/// Artifact.format of a version that is a pipeline.
inline constexpr std::string_view kFormat = "pipeline";

/// How a pipeline is run. A value.
struct Plan {
  /// A tensor: `index` of the outputs of step `step`, or of the pipeline's own inputs.
  struct Place {
    static constexpr int kInputs = -1;
    int step = kInputs;
    size_t index = 0;
  };
  /// For each row the first that has the row.
  using Wire = std::vector<Place>;
  struct Step {
    std::string name;
    std::string model_version;
    /// In the order of its signature.
    std::vector<Wire> inputs;
    std::optional<Condition> when;
    /// What `when` asks of.
    Place asked;
  };
  Signature signature;
  std::vector<Step> steps;
  /// Of the steps: each comes after those that it takes something from.
  std::vector<size_t> order;
  /// In the order of the signature.
  std::vector<Wire> outputs;
};

/// A pipeline as it is written down, whose form is right: names, wires, conditions, no ring,
/// nothing that is not used, a value for every row of every output. What the tensors are only the
/// steps' signatures tell. A value.
class PipelineGraph {
 public:
  static constexpr int kMaxSteps = 32;
  static constexpr int kMaxTensors = 64;
  static constexpr size_t kMaxNameBytes = 256;
  /// That differ in more than being negated.
  static constexpr size_t kMaxTests = 8;

  /// Errors: InvalidField below `field` ("model_version.pipeline").
  static absl::StatusOr<PipelineGraph> Parse(const registry::v1::Pipeline& pipeline,
                                             std::string_view field);

  /// With what each step takes and gives, in the order of the definition. A free dimension fits a
  /// fixed one (but for dimension 0), and is looked at when the tensor is there. Errors:
  /// InvalidField as Parse(): an input that is not wired or does not exist, an output that does not
  /// exist, types and shapes that do not fit.
  absl::StatusOr<Plan> Bind(std::span<const Signature> signatures) const;

 private:
  struct Source {
    int step = Plan::Place::kInputs;
    std::string tensor;
  };
  using Wire = std::vector<Source>;
  struct Step {
    std::string name;
    std::string model_version;
    std::map<std::string, Wire> inputs = {};
    std::optional<Condition> when = std::nullopt;
    Source asked = {};
  };
  class Parser;
  class Binder;

  std::string field_;
  std::vector<std::string> inputs_;
  std::vector<Step> steps_;
  std::map<std::string, Wire> outputs_;
  std::vector<size_t> order_;
};

}  // namespace slipway::pipeline

#endif  // SLIPWAY_COMMON_PIPELINE_PIPELINE_GRAPH_H_
