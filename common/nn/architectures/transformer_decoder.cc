#include <memory>
#include <string>

#include "common/nn/architectures/transformer.h"

namespace slipway::nn {
namespace {

constexpr char kType[] = "transformer_decoder";

/// Each step sees itself and those before it (GPT's shape,
/// https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
struct TransformerDecoder final : Transformer {
  nlohmann::ordered_json ToJson() const override { return PrintKind(kType, *this); }

  std::unique_ptr<const Architecture> ForTokens(int64_t vocabulary) const override {
    if (takes_ids()) return nullptr;
    auto copy = std::make_unique<TransformerDecoder>(*this);
    copy->tokens = Tokens::Of(vocabulary);
    return copy;
  }

  // By the last step, which has seen all.
  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(const Sequence x, BuildBlocks(builder, input, /*causal=*/true, kType, path));
    const int64_t steps = builder.value(x.values).shape[1];
    ASSIGN_OR_RETURN(const ValueId last, x.lengths.has_value()
                                             ? builder.Apply("last", TakeLast{}, x)
                                             : builder.Apply("last", Take{steps - 1}, x.values));
    return builder.Linear("head", last, outputs);
  }

  // The table of tokens says what goes in and what comes out (https://arxiv.org/abs/1608.05859).
  absl::StatusOr<Sequence> BuildSteps(NetworkBuilder& builder, ValueId input, int64_t,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(Sequence x, BuildBlocks(builder, input, /*causal=*/true, kType, path));
    ASSIGN_OR_RETURN(x.values, builder.LinearTiedTo("head", x.values, kEmbeddingWeight));
    return x;
  }
};

}  // namespace

extern const Kind<Architecture> kTransformerDecoder =
    MakeKind<TransformerDecoder, Architecture>(kType);

}  // namespace slipway::nn
