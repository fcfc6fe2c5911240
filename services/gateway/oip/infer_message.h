#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_INFER_MESSAGE_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_INFER_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/cord.h"
#include "common/status/status.h"
#include "inference/open_inference.pb.h"

// The protocol's two messages as the gateway passes them on: all but the tensors' bytes is parsed,
// and these are pieces of what came in, never copied and never decoded. Any thread.
namespace slipway::gateway {

/// The response parameter by which a worker says how long the model ran. Callers do not see it.
inline constexpr std::string_view kComputeMicrosParameter = "slipway_compute_micros";

/// What goes to a worker.
struct InferRequest {
  inference::ModelInferRequest head;  ///< raw_input_contents is empty
  std::vector<absl::Cord> contents;   ///< of each input
};

/// What a worker answered.
struct InferAnswer {
  inference::ModelInferResponse head;  ///< raw_output_contents is empty
  std::vector<absl::Cord> contents;    ///< of each output
  int64_t compute_micros = 0;          ///< taken out of the parameters
};

absl::Cord Serialize(const InferRequest& request);

/// What routing needs to know of the sequence that a request belongs to: its calls all go to the
/// worker that keeps its state.
struct SequenceHead {
  /// Empty: to none. Numbers and texts of the same digits differ.
  std::string id;
  /// The state is made anew.
  bool start = false;
};

/// From the request's parameters `sequence_id` and `sequence_start`. What is wrong with them the
/// worker says.
SequenceHead ReadSequenceHead(
    const google::protobuf::Map<std::string, inference::InferParameter>& parameters);

/// Does the request name a priority (parameter `priority`) below the first, which is 1?
bool IsLessUrgent(const google::protobuf::Map<std::string, inference::InferParameter>& parameters);

/// How many rows a call's tensors have: the first dimension of its first input, and 1 where that
/// has none.
int64_t RowsOf(const inference::ModelInferRequest& request);
/// From that dimension alone, which is the caller's word.
int64_t RowsOf(int64_t first_dimension);

/// Puts a worker's answer apart. kInternal where it is none, or has no contents for an output.
absl::StatusOr<InferAnswer> ParseInferAnswer(const absl::Cord& message);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_INFER_MESSAGE_H_
