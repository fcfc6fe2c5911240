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
  Pooling pooling = Pooling::kMean;  // a row as a whole: the mean of its steps, or the first one

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
    ASSIGN_OR_RETURN(const ValueId pooled, Pool(builder, x));
    return builder.Linear("head", pooled, outputs);
  }

  // The table of tokens says what goes in and what comes out (https://arxiv.org/abs/1608.05859).
  absl::StatusOr<Encoding> BuildEncoding(NetworkBuilder& builder, ValueId input,
                                         const std::string& path) const override {
    ASSIGN_OR_RETURN(const Sequence x, BuildBlocks(builder, input, /*causal=*/false, kType, path));
    Encoding encoding;
    ASSIGN_OR_RETURN(encoding.embedding, Pool(builder, x));
    ASSIGN_OR_RETURN(encoding.tokens, builder.LinearTiedTo("head", x.values, kEmbeddingWeight));
    return encoding;
  }

  int64_t embedding_width() const override { return width; }

  absl::StatusOr<ValueId> Pool(NetworkBuilder& builder, const Sequence& x) const {
    if (pooling == Pooling::kFirst) return builder.Apply("pool", Take{0}, x.values);
    return builder.Apply("pool", ReduceMean{}, x);
  }
};

}  // namespace

extern const Kind<Architecture> kTransformerEncoder =
    MakeKind<TransformerEncoder, Architecture>(kType);

}  // namespace slipway::nn
