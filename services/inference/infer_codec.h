#ifndef SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_
#define SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "inference/open_inference.pb.h"
#include "services/inference/loaded_models.h"
#include "services/inference/model_runtime.h"
#include "services/inference/sequences/sequence_table.h"
#include "services/inference/shared_memory.h"

// The Open Inference Protocol's messages, to and from tensors. Nothing of a request is believed:
// each error is an InvalidField that names the tensor ("inputs.pixels.shape: ..."), and nothing
// is allocated that is larger than what has arrived.
namespace slipway::worker {

/// The response parameter that says how long the model ran, as int64_param.
inline constexpr char kComputeMicrosParameter[] = "slipway_compute_micros";

/// The shared memory of the tenant that asks; `memory` is null where the worker offers none.
struct TenantMemory {
  const SharedMemory* memory = nullptr;
  const std::string& tenant;
};

/// A message's raw contents, where they lie.
using RawContents = std::vector<std::string_view>;

/// Parses a serialized request, but leaves its raw contents where they are: they stay empty in
/// `request`. Errors: kInvalidArgument (bytes that are no ModelInferRequest).
absl::Status ParseRequest(std::string_view bytes, inference::ModelInferRequest& request,
                          RawContents& contents);

/// The request's inputs in the signature's order. `contents` are borrowed, aligned or not, and must
/// outlive the result; those in shared memory are copied.
absl::StatusOr<TensorBatch> DecodeInputs(const inference::ModelInferRequest& request,
                                         const RawContents& contents, const Signature& signature,
                                         const TenantMemory& memory);

/// How the caller wants it scheduled.
struct SchedulingParameters {
  int64_t priority = 0;  ///< 1 is the most urgent; 0: none is named
  absl::Duration timeout = absl::InfiniteDuration();
};

/// From the request's parameters `priority` and `timeout` (microseconds; 0: none). Errors:
/// InvalidField (no whole numbers).
absl::StatusOr<SchedulingParameters> ReadSchedulingParameters(
    const inference::ModelInferRequest& request);

/// From the request's parameters `sequence_id` (a whole number or a text), `sequence_start` and
/// `sequence_end`. Errors: InvalidField (of another type, or a text that is too long).
absl::StatusOr<SequenceStep> ReadSequenceStep(const inference::ModelInferRequest& request);

/// One output as the caller wants it.
struct OutputChoice {
  size_t place = 0;       ///< in the signature
  int64_t top_count = 0;  ///< > 0: that many classes of each row instead of the scores
  std::optional<MemorySlice> memory = std::nullopt;  ///< where it goes instead of the response
};

/// Which outputs the caller wants, in its order; all where it names none. Errors: InvalidField
/// (an output that there is not or twice, a parameter that makes no sense).
absl::StatusOr<std::vector<OutputChoice>> ChooseOutputs(const inference::ModelInferRequest& request,
                                                        const Signature& signature);

/// A response, and apart from it its raw contents.
struct InferAnswer {
  inference::ModelInferResponse& response;
  std::vector<Buffer> contents;
};

/// Fills the answer. Errors: InvalidField: an output that has no classes or that its shared memory
/// does not hold.
absl::Status EncodeAnswer(const inference::ModelInferRequest& request, const ServedModel& model,
                          const TensorBatch& outputs, const std::vector<OutputChoice>& choices,
                          const TenantMemory& memory, absl::Duration compute, InferAnswer& answer);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_INFER_CODEC_H_
