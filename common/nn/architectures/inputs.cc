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

absl::StatusOr<ValueId> ToSequence(NetworkBuilder& builder, ValueId input, const Tokens& tokens,
                                   std::string_view type, const std::string& path) {
  const Shape shape = builder.value(input).shape;
  if (shape.rank() == 2 && tokens.vocabulary > 0) {
    return builder.Embed("embedding", input, {tokens.vocabulary, tokens.width}, tokens.deviation);
  }
  if (shape.rank() == 3 && tokens.vocabulary == 0) return input;
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
