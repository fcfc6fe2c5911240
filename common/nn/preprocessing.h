#ifndef SLIPWAY_COMMON_NN_PREPROCESSING_H_
#define SLIPWAY_COMMON_NN_PREPROCESSING_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/fields/kinds.h"
#include "common/nn/network_builder.h"
#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::nn {

/// One step from raw inputs to what an architecture takes, with the constants that were fitted on
/// the training part. It is a part of the network: a served version takes raw rows, so that
/// training and serving cannot differ. Each kind is one file in preprocessing/ and one line in
/// preprocessing.cc. Immutable.
class Preprocessing {
 public:
  virtual ~Preprocessing() = default;
  virtual nlohmann::ordered_json ToJson() const = 0;

  /// Adds its layers after `input`, which is FP32. Errors: InvalidField below `path`.
  virtual absl::StatusOr<ValueId> Append(NetworkBuilder& builder, const std::string& name,
                                         ValueId input, const std::string& path) const = 0;
};

/// {"type": "rescale", "divisor": 255}. Errors: InvalidField below `path`.
absl::StatusOr<std::unique_ptr<const Preprocessing>> ParsePreprocessing(const nlohmann::json& spec,
                                                                        const std::string& path);

std::span<const Kind<Preprocessing>* const> Preprocessings();

/// x / divisor.
std::unique_ptr<const Preprocessing> MakeRescale(double divisor);

/// (x - mean) / deviation: one of each for all numbers, or one for each of the last dimension.
std::unique_ptr<const Preprocessing> MakeStandardize(std::vector<double> mean,
                                                     std::vector<double> deviation);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_PREPROCESSING_H_
