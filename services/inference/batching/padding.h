#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_PADDING_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_PADDING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "services/inference/batching/batch_call.h"
#include "services/inference/batching/batch_policy.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// The dimensions that a model's calls may have at different lengths in one batch: PaddingRules
/// that were found in its signature. Immutable.
class Padding {
 public:
  /// No call is padded to more than so many times the positions that it brings.
  static constexpr double kMostTimes = 2;

  /// Where a dimension is in the signature.
  struct Place {
    size_t tensor = 0;
    size_t axis = 0;
    /// Which one it is.
    size_t dimension = 0;
    /// Bytes of one element; of an input.
    std::string fill;
  };

  /// Nothing is padded.
  Padding() = default;
  /// Errors: InvalidField below `field`: a tensor that the model has not, an axis that is fixed, a
  /// value that is none of the tensor's type or differs along its axes, an output that could not be
  /// cut back.
  static absl::StatusOr<Padding> Make(const std::vector<PaddingRule>& rules,
                                      const Signature& signature, std::string_view field);

  bool empty() const { return buckets_.empty(); }
  const std::vector<Place>& inputs() const { return inputs_; }
  const std::vector<Place>& outputs() const { return outputs_; }

  /// How long a call's inputs are in each dimension. Empty where they cannot be padded: two of them
  /// differ in one, or are empty.
  std::vector<int64_t> LengthsOf(const TensorBatch& inputs) const;

  /// What a call of these lengths is padded to when it runs alone: the next buckets, or nothing
  /// where that would be more than kMostTimes.
  std::vector<int64_t> RoundUp(const std::vector<int64_t>& lengths) const;

  /// Is it a dimension of the input that is padded?
  bool Pads(size_t input, size_t axis) const;

 private:
  // By dimension.
  std::vector<std::vector<int64_t>> buckets_;
  std::vector<Place> inputs_;
  std::vector<Place> outputs_;
};

/// What the calls of one batch are padded to: in each dimension, the longest of what they would be
/// padded to alone. A value.
class CommonLengths {
 public:
  /// May the call, which has the same dimensions, join? Not where it, or one that is in, would be
  /// padded to more than Padding::kMostTimes the positions that it brings. Once it may not it never
  /// may.
  bool Admits(const BatchCall& call) const;
  void Add(const BatchCall& call);

  const std::vector<int64_t>& lengths() const { return lengths_; }
  /// Of one row; 1 where nothing is padded.
  double positions() const;

 private:
  std::vector<int64_t> lengths_;
  // The fewest that a call brings; before there is one, 0.
  double fewest_ = 0;
};

/// Positions of a row of these lengths: their product. No overflow, whatever a caller sends.
double PositionsOf(const std::vector<int64_t>& lengths);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_PADDING_H_
