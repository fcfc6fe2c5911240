#include "common/nn/architectures/inputs.h"

#include "common/fields/json.h"
#include "fmt/format.h"

namespace slipway::nn {

absl::StatusOr<ValueId> ToPicture(NetworkBuilder& builder, ValueId input, std::string_view type,
                                  const std::string& path) {
  const Shape shape = builder.value(input).shape;
  if (shape.rank() == 4) return input;
  if (shape.rank() == 3) {
    return builder.Apply("picture", Reshape{{1, shape[1], shape[2]}}, input);
  }
  return InvalidField(
      JoinPath(path, "type"),
      fmt::format("{} takes pictures, and the inputs are {}; use mlp", type, shape.ToString()));
}

absl::Status Tokens::Check(const std::string& path) const {
  if (pad_token_id < 0 || pad_token_id < vocabulary) return absl::OkStatus();
  return InvalidField(
      JoinPath(path, "pad_token_id"),
      fmt::format("must be less than vocabulary, which is {}, got {}", vocabulary, pad_token_id));
}

absl::StatusOr<Sequence> ToSequence(NetworkBuilder& builder, ValueId input, const Tokens& tokens,
                                    int64_t width, double deviation, std::string_view type,
                                    const std::string& path) {
  const Shape shape = builder.value(input).shape;
  if (shape.rank() == 2 && tokens.vocabulary > 0) {
    Sequence sequence;
    if (tokens.pad_token_id >= 0) {
      ASSIGN_OR_RETURN(sequence.lengths,
                       builder.Apply("length", Length{tokens.pad_token_id}, input));
    }
    ASSIGN_OR_RETURN(sequence.values,
                     builder.Embed("embedding", input, {tokens.vocabulary, width}, deviation));
    return sequence;
  }
  if (shape.rank() == 3 && tokens.vocabulary == 0) return Sequence{input, {}};
  if (shape.rank() == 2 || shape.rank() == 3) {
    return InvalidField(
        JoinPath(path, "vocabulary"),
        fmt::format("{}: the inputs are {}",
                    shape.rank() == 2 ? "is required, for ids of tokens"
                                      : "must be absent, there are no ids of tokens",
                    shape.ToString()));
  }
  return InvalidField(JoinPath(path, "type"),
                      fmt::format("{} takes sequences of ids or vectors, and the inputs are {}",
                                  type, shape.ToString()));
}

}  // namespace slipway::nn
