#ifndef SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_
#define SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/nn/network_builder.h"
#include "common/status/status.h"
#include "common/tokenizer/tokenizer.h"

// What several architectures take. `type` is that of the architecture, `path` its spec's.
namespace slipway::nn {

/// Pictures [N, height, width] (one channel) or [N, channels, height, width] as the latter. Errors:
/// InvalidField that says what the inputs are.
absl::StatusOr<ValueId> ToPicture(NetworkBuilder& builder, ValueId input, std::string_view type,
                                  const std::string& path);

/// The ids of tokens that an architecture takes; fields of its spec.
struct Tokens {
  /// How many there are; 0: the inputs are vectors.
  int64_t vocabulary = 0;
  /// The one that fills rows up behind their ends; -1: none.
  int64_t pad_token_id = -1;

  /// Those that a Tokenizer gives.
  static Tokens Of(int64_t vocabulary) { return {vocabulary, Tokenizer::kPad}; }

  template <class V>
  void Describe(V& v) {
    v.Int("vocabulary", vocabulary, {.min = 0, .max = 1 << 24});
    v.Int("pad_token_id", pad_token_id, {.min = -1, .max = 1 << 24});
  }
  absl::Status Check(const std::string& path) const;
};

/// Sequences [N, T, features]; or of [N, T] ids, [N, T, width] and where there is padding the
/// lengths. Vectors of ids start normal with that deviation. Errors: InvalidField that says what
/// the inputs are.
absl::StatusOr<Sequence> ToSequence(NetworkBuilder& builder, ValueId input, const Tokens& tokens,
                                    int64_t width, double deviation, std::string_view type,
                                    const std::string& path);

/// What ToSequence calls the table of the ids' vectors.
inline constexpr std::string_view kEmbeddingWeight = "embedding.weight";

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_ARCHITECTURES_INPUTS_H_
