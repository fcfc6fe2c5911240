#ifndef SLIPWAY_COMMON_NN_ARCHITECTURES_TRANSFORMER_H_
#define SLIPWAY_COMMON_NN_ARCHITECTURES_TRANSFORMER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/nn/architecture.h"
#include "common/nn/architectures/inputs.h"

namespace slipway::nn {

/// What a Transformer's encoder and decoder (https://arxiv.org/abs/1706.03762) have in common: ids
/// of tokens [N, T] where there is a vocabulary, or vectors [N, T, features], through blocks of
/// attention and feed-forward. Places are learnt, as BERT's (https://arxiv.org/abs/1810.04805) and
/// GPT's; normalisation comes before each part and not after, which trains without a warm-up
/// (https://arxiv.org/abs/2002.04745).
struct Transformer : Architecture {
  Tokens tokens;
  int64_t width = 128;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t feed_forward = 512;
  Activation activation = Activation::kGelu;
  double dropout = 0.1;  // of the input and of each part's result

  Transformer() { initialization = Initialization::kNormal; }

  template <class V>
  void Describe(V& v) {
    tokens.Describe(v);
    v.Int("width", width, {.min = 1, .max = 65536});
    v.Int("layers", layers, {.min = 1, .max = 256});
    v.Int("heads", heads, {.min = 1, .max = 1024});
    v.Int("feed_forward", feed_forward, {.min = 1, .max = 1 << 20});
    v.Enum("activation", activation, kActivations);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }
  absl::Status Check(const std::string& path) const;

  bool takes_ids() const override { return tokens.vocabulary > 0; }

 protected:
  /// [N, T, width], normalised. Where it is causal no step sees those behind it. What a step gets
  /// of the steps before it comes through Attention alone, by their keys and values.
  absl::StatusOr<Sequence> BuildBlocks(NetworkBuilder& builder, ValueId input, bool causal,
                                       std::string_view type, const std::string& path) const;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_ARCHITECTURES_TRANSFORMER_H_
