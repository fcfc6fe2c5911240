#ifndef SLIPWAY_SERVICES_INFERENCE_SEQUENCES_STATE_LAYOUT_H_
#define SLIPWAY_SERVICES_INFERENCE_SEQUENCES_STATE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/signature/signature.h"
#include "common/status/status.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// Where a model's states lie among its tensors, and what callers see without them. A value.
class StateLayout {
 public:
  /// `states` name tensors of `model`. Errors: InvalidField below `field` ("...states"): a tensor
  /// that there is not or that is named twice; an input and an output whose types or shapes differ;
  /// a free dimension other than the batch, which no zeros could fill.
  static absl::StatusOr<StateLayout> Make(const Signature& model,
                                          const std::vector<StateSpec>& states,
                                          std::string_view field);

  /// What callers give and get.
  const Signature& visible() const { return visible_; }

  /// Does each call bring one row of a batch, and not whole tensors?
  bool batches() const { return batches_; }

  /// Of a sequence that starts: one row of zeros each, in the order of the states.
  const TensorBatch& zeros() const { return zeros_; }
  /// What the states of one sequence take.
  int64_t bytes() const { return bytes_; }

  /// The model's inputs in its order, of a caller's and the states.
  TensorBatch Join(TensorBatch inputs, TensorBatch states) const;

  struct Parts {
    TensorBatch outputs;  ///< what the caller gets
    TensorBatch states;   ///< the inputs of the next call, in memory of their own
  };
  /// The model's outputs of one call, put apart. Errors: kInternal where a state has another shape
  /// than was declared.
  absl::StatusOr<Parts> Split(TensorBatch outputs) const;

 private:
  Signature visible_;
  bool batches_ = false;
  TensorBatch zeros_;
  int64_t bytes_ = 0;
  // By the model's inputs and outputs: the state's place, or -1.
  std::vector<int> inputs_;
  std::vector<int> outputs_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SEQUENCES_STATE_LAYOUT_H_
