#ifndef SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TENSORS_H_
#define SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TENSORS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "services/inference/batching/padding.h"
#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// The tensors of several calls, one after the other along dimension 0. All have the same names,
/// types and other dimensions. Copies. `calls` is not empty.
absl::StatusOr<TensorBatch> Gather(std::span<const TensorBatch* const> calls);

/// The same where the calls differ in the dimensions that `padding` names: each is filled up to
/// `lengths`, which is empty where nothing is.
absl::StatusOr<TensorBatch> Gather(std::span<const TensorBatch* const> calls,
                                   const Padding& padding, std::span<const int64_t> lengths);

/// The inverse: rows[i] rows for call i, sharing the batch's memory. Errors: kInternal where a
/// tensor has another number of rows than all of them.
absl::StatusOr<std::vector<TensorBatch>> Scatter(const TensorBatch& batch,
                                                 std::span<const int64_t> rows);

/// The same, in memory that nothing else shares.
Tensor Copy(const Tensor& tensor);
TensorBatch Copy(const TensorBatch& batch);

/// Cuts what a call got from a batch that was padded to `lengths` back to its `own`. Errors:
/// kInternal where an output is not as long as the batch was.
absl::Status CutBack(TensorBatch& outputs, const Padding& padding, std::span<const int64_t> lengths,
                     std::span<const int64_t> own);

/// Some rows of a batch: row i of the tensor is the batch's row `rows[i]`. Ascending. Views.
struct SomeRows {
  const Tensor& tensor;
  std::span<const int64_t> rows;
};

/// The `wanted` rows as one tensor, each from the first part that has it; one has. Shares the
/// memory of a part that has just those rows. Errors: kInvalidArgument where rows differ in type or
/// shape.
absl::StatusOr<Tensor> TakeRows(const std::string& name, std::span<const SomeRows> parts,
                                std::span<const int64_t> wanted);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_BATCHING_BATCH_TENSORS_H_
