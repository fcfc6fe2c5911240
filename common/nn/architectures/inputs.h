#ifndef SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_
#define SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/nn/network_builder.h"
#include "common/status/status.h"

// What several architectures take. `type` is that of the architecture, `path` its spec's.
namespace slipway::nn {

/// Pictures [N, height, width] (one channel) or [N, channels, height, width] as the latter. Errors:
/// InvalidField that says what the inputs are.
absl::StatusOr<ValueId> ToPicture(NetworkBuilder& builder, ValueId input, std::string_view type,
                                  const std::string& path);

/// How ids become vectors.
struct Tokens {
  int64_t vocabulary = 0;  // of the table; 0: the inputs are vectors already
  int64_t width = 0;
  double deviation = 1;  // at the start
};

/// Sequences [N, T, features]; or of [N, T] ids, [N, T, tokens.width]. Errors: InvalidField that
/// says what the inputs are.
absl::StatusOr<ValueId> ToSequence(NetworkBuilder& builder, ValueId input, const Tokens& tokens,
                                   std::string_view type, const std::string& path);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_
