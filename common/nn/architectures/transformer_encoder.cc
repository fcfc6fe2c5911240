#include <array>
#include <memory>
#include <string>

#include "common/nn/architectures/transformer.h"

namespace slipway::nn {
namespace {

enum class Pooling { kMean, kFirst };
constexpr std::array<Name<Pooling>, 2> kPoolings = {
    {{"mean", Pooling::kMean}, {"first", Pooling::kFirst}}};

constexpr char kType[] = "transformer_encoder";

/// Each step sees the whole sequence (BERT's shape).
struct TransformerEncoder final : Transformer {
  Pooling pooling = Pooling::kMean;  // what goes to the head: the mean of the steps, or the first

  template <class V>
  void Describe(V& v) {
    Transformer::Describe(v);
    v.Enum("pooling", pooling, kPoolings);
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind(kType, *this); }

  std::unique_ptr<const Architecture> ForTokens(int64_t vocabulary) const override {
    if (takes_ids()) return nullptr;
    auto copy = std::make_unique<TransformerEncoder>(*this);
    copy->tokens = Tokens::Of(vocabulary);
    return copy;
  }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(const Sequence x, BuildBlocks(builder, input, /*causal=*/false, kType, path));
    ASSIGN_OR_RETURN(const ValueId pooled, pooling == Pooling::kMean
                                               ? builder.Apply("pool", ReduceMean{}, x)
                                               : builder.Apply("pool", Take{0}, x.values));
    return builder.Linear("head", pooled, outputs);
  }
};

}  // namespace

extern const Kind<Architecture> kTransformerEncoder =
    MakeKind<TransformerEncoder, Architecture>(kType);

}  // namespace slipway::nn
