#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "services/gateway/oip/infer_message.h"

namespace slipway::registry::v1 {
class Signature;
}

// The Open Inference Protocol's bodies over HTTP, to and from its gRPC messages: JSON, and the
// binary tensors that may follow it. Any thread.
namespace slipway::gateway {

/// How the caller wants its outputs: in the JSON, or in binary behind it.
struct AnswerForm {
  bool binary = false;                                ///< of outputs that are not listed
  std::vector<std::pair<std::string, bool>> outputs;  ///< name, binary
};

/// Reads the body of an infer request; `request` and `form` are empty before. Its first
/// `json_bytes` are JSON (all of it where that is absent), and tensors with a binary_data_size
/// follow in the order of the inputs.
///
/// Numbers go from the text straight into the tensors' bytes; binary tensors stay where they are.
/// Nothing is allocated that is larger than a few times the body. `data` may be flat or nested as
/// the shape says. Unknown keys are passed over, as the protocol's extensions use them; known keys
/// must come once. Model name and version stay empty.
/// Errors: InvalidField ("inputs.pixels.data", ...).
absl::Status ReadInferRequest(std::string body, std::optional<uint64_t> json_bytes,
                              InferRequest& request, AnswerForm& form);

/// Reads a body without JSON: it is the model's one input, a batch of one, and all outputs are
/// wanted in binary. Errors: InvalidField where the model has another signature.
absl::Status ReadRawRequest(std::string body, const registry::v1::Signature& signature,
                            InferRequest& request, AnswerForm& form);

/// An answer's body.
struct InferBody {
  std::string bytes;
  /// How many of them are JSON, where binary tensors follow.
  std::optional<size_t> json_bytes;
};

/// Writes the answer of a worker. Numbers are the shortest texts that read back as the same; NaN
/// and infinities, which JSON lacks, are null.
/// Errors: kInvalidArgument for outputs that JSON cannot carry (FP16, BF16, bytes that are not
/// UTF-8); kInternal where shape and bytes of the worker's tensors do not fit together.
absl::StatusOr<InferBody> WriteInferAnswer(const InferAnswer& answer, const AnswerForm& form,
                                           std::string_view model_name,
                                           std::string_view model_version);

/// Appends `text` as a JSON string with its quotes. False where it is not UTF-8; what was
/// appended is then of no use.
bool AppendJsonString(std::string_view text, std::string& out);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_INFER_JSON_H_
