#include <array>
#include <string>

#include "common/fields/json.h"
#include "common/nn/architecture.h"
#include "common/nn/architectures/inputs.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

enum class Pooling { kMean, kFirst };
constexpr std::array<Name<Pooling>, 2> kPoolings = {
    {{"mean", Pooling::kMean}, {"first", Pooling::kFirst}}};

// BERT's, for the tables of tokens and places.
constexpr double kDeviation = 0.02;

/// A Transformer's encoder (https://arxiv.org/abs/1706.03762) that sees the whole sequence: ids of
/// tokens [N, T] where there is a vocabulary, or vectors [N, T, features]. Places are learnt, as
/// BERT's (https://arxiv.org/abs/1810.04805); normalisation comes before each part and not after,
/// which trains without a warm-up (https://arxiv.org/abs/2002.04745).
struct TransformerEncoder final : Architecture {
  int64_t vocabulary = 0;
  int64_t width = 128;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t feed_forward = 512;
  Activation activation = Activation::kGelu;
  Pooling pooling = Pooling::kMean;  // what goes to the head: the mean over T, or the first place
  double dropout = 0.1;              // of the input and of each part's result

  TransformerEncoder() { initialization = Initialization::kNormal; }

  template <class V>
  void Describe(V& v) {
    v.Int("vocabulary", vocabulary, {.min = 0, .max = 1 << 24});
    v.Int("width", width, {.min = 1, .max = 65536});
    v.Int("layers", layers, {.min = 1, .max = 256});
    v.Int("heads", heads, {.min = 1, .max = 1024});
    v.Int("feed_forward", feed_forward, {.min = 1, .max = 1 << 20});
    v.Enum("activation", activation, kActivations);
    v.Enum("pooling", pooling, kPoolings);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }
  absl::Status Check(const std::string& path) const {
    if (width % heads == 0) return absl::OkStatus();
    return InvalidField(JoinPath(path, "heads"),
                        fmt::format("must divide width {}, got {}", width, heads));
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind("transformer_encoder", *this); }

  bool takes_ids() const override { return vocabulary > 0; }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(ValueId x,
                     ToSequence(builder, input,
                                {.vocabulary = vocabulary, .width = width, .deviation = kDeviation},
                                "transformer_encoder", path));
    if (!takes_ids()) {
      ASSIGN_OR_RETURN(x, builder.Linear("embedding", x, width));
    }
    ASSIGN_OR_RETURN(x, builder.AddPositions("positions", x, kDeviation));
    ASSIGN_OR_RETURN(x, builder.Drop("embedding.dropout", x, dropout));
    for (int64_t i = 0; i < layers; ++i) {
      ASSIGN_OR_RETURN(x, Block(builder, fmt::format("layer.{}", i), x));
    }
    ASSIGN_OR_RETURN(x, builder.NormalizeLayer("norm", x));
    const Op pool = pooling == Pooling::kMean ? Op(ReduceMean{}) : Op(Take{0});
    ASSIGN_OR_RETURN(x, builder.Apply("pool", pool, x));
    return builder.Linear("head", x, outputs);
  }

 private:
  absl::StatusOr<ValueId> Block(NetworkBuilder& builder, const std::string& name,
                                ValueId input) const {
    ASSIGN_OR_RETURN(ValueId x, builder.NormalizeLayer(name + ".attention.norm", input));
    ASSIGN_OR_RETURN(x, builder.Linear(name + ".attention.qkv", x, 3 * width));
    ASSIGN_OR_RETURN(x, builder.Apply(name + ".attention", Attention{heads}, x));
    ASSIGN_OR_RETURN(x, builder.Linear(name + ".attention.out", x, width));
    ASSIGN_OR_RETURN(x, builder.Drop(name + ".attention.dropout", x, dropout));
    ASSIGN_OR_RETURN(const ValueId attended, builder.Sum(name + ".attention.sum", input, x));

    ASSIGN_OR_RETURN(x, builder.NormalizeLayer(name + ".feed_forward.norm", attended));
    ASSIGN_OR_RETURN(x, builder.Linear(name + ".feed_forward.in", x, feed_forward));
    ASSIGN_OR_RETURN(x, builder.Apply(name + ".feed_forward.activation", Activate{activation}, x));
    ASSIGN_OR_RETURN(x, builder.Linear(name + ".feed_forward.out", x, width));
    ASSIGN_OR_RETURN(x, builder.Drop(name + ".feed_forward.dropout", x, dropout));
    return builder.Sum(name + ".feed_forward.sum", attended, x);
  }
};

}  // namespace

extern const Kind<Architecture> kTransformerEncoder =
    MakeKind<TransformerEncoder, Architecture>("transformer_encoder");

}  // namespace slipway::nn
