#include "common/nn/architectures/transformer.h"

#include "common/fields/json.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

// BERT's and GPT-2's, for the tables of tokens and places.
constexpr double kDeviation = 0.02;

absl::StatusOr<ValueId> BuildBlock(NetworkBuilder& builder, const Transformer& shape, bool causal,
                                   const std::string& name, const Sequence& input) {
  Sequence x = input;
  ASSIGN_OR_RETURN(x.values, builder.NormalizeLayer(name + ".attention.norm", x.values));
  ASSIGN_OR_RETURN(x.values, builder.Linear(name + ".attention.qkv", x.values, 3 * shape.width));
  // Padding is behind what a causal step sees.
  if (causal) x.lengths.reset();
  ASSIGN_OR_RETURN(x.values, builder.Apply(name + ".attention", Attention{shape.heads, causal}, x));
  ASSIGN_OR_RETURN(x.values, builder.Linear(name + ".attention.out", x.values, shape.width));
  ASSIGN_OR_RETURN(x.values, builder.Drop(name + ".attention.dropout", x.values, shape.dropout));
  ASSIGN_OR_RETURN(const ValueId attended,
                   builder.Sum(name + ".attention.sum", input.values, x.values));

  ASSIGN_OR_RETURN(ValueId y, builder.NormalizeLayer(name + ".feed_forward.norm", attended));
  ASSIGN_OR_RETURN(y, builder.Linear(name + ".feed_forward.in", y, shape.feed_forward));
  ASSIGN_OR_RETURN(y,
                   builder.Apply(name + ".feed_forward.activation", Activate{shape.activation}, y));
  ASSIGN_OR_RETURN(y, builder.Linear(name + ".feed_forward.out", y, shape.width));
  ASSIGN_OR_RETURN(y, builder.Drop(name + ".feed_forward.dropout", y, shape.dropout));
  return builder.Sum(name + ".feed_forward.sum", attended, y);
}

}  // namespace

absl::Status Transformer::Check(const std::string& path) const {
  RETURN_IF_ERROR(tokens.Check(path));
  if (width % heads == 0) return absl::OkStatus();
  return InvalidField(JoinPath(path, "heads"),
                      fmt::format("must divide width {}, got {}", width, heads));
}

absl::StatusOr<Sequence> Transformer::BuildBlocks(NetworkBuilder& builder, ValueId input,
                                                  bool causal, std::string_view type,
                                                  const std::string& path) const {
  ASSIGN_OR_RETURN(Sequence x, ToSequence(builder, input, tokens, width, kDeviation, type, path));
  if (!takes_ids()) {
    ASSIGN_OR_RETURN(x.values, builder.Linear("embedding", x.values, width));
  }
  ASSIGN_OR_RETURN(x.values, builder.AddPositions("positions", x.values, kDeviation));
  ASSIGN_OR_RETURN(x.values, builder.Drop("embedding.dropout", x.values, dropout));
  for (int64_t i = 0; i < layers; ++i) {
    ASSIGN_OR_RETURN(x.values, BuildBlock(builder, *this, causal, fmt::format("layer.{}", i), x));
  }
  ASSIGN_OR_RETURN(x.values, builder.NormalizeLayer("norm", x.values));
  return x;
}

}  // namespace slipway::nn
