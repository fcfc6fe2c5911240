#ifndef SLIPWAY_COMMON_SIGNATURE_SIGNATURE_H_
#define SLIPWAY_COMMON_SIGNATURE_SIGNATURE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::registry::v1 {
class Signature;
}

namespace slipway {

/// What a model keeps between the calls of a sequence: an output of one call is an input of the
/// next.
struct StateSpec {
  std::string input;
  std::string output;
  bool operator==(const StateSpec&) const = default;
};

/// What a model takes and gives. Dimension 0 of each tensor is the batch.
struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  /// As they were registered: a model's files do not tell. What callers see of a model has their
  /// names and not their tensors.
  std::vector<StateSpec> states = {};
  bool operator==(const Signature&) const = default;
};

/// Errors: InvalidField below `field` (an unknown datatype, a shape that cannot be).
absl::StatusOr<Signature> ParseSignature(const registry::v1::Signature& signature,
                                         std::string_view field);

/// The inverse.
registry::v1::Signature ToProto(const Signature& signature);

/// True where dimension 0 of every input and output is free: rows of different calls may run
/// together then.
bool TakesBatches(const Signature& signature);

/// Which of them has that name.
std::optional<size_t> IndexOf(const std::vector<TensorSpec>& specs, std::string_view name);

/// "picture FP32 [-1, 28, 28]", for messages.
std::string ToText(const TensorSpec& spec);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_SIGNATURE_SIGNATURE_H_
