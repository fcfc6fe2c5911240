#include <array>
#include <string>
#include <string_view>

#include "common/nn/architecture.h"
#include "common/nn/architectures/inputs.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

enum class Pooling { kLast, kMean };
constexpr std::array<Name<Pooling>, 2> kPoolings = {
    {{"last", Pooling::kLast}, {"mean", Pooling::kMean}}};

constexpr std::string_view TypeOf(Recurrent::Cell cell) {
  switch (cell) {
    case Recurrent::Cell::kRnn:
      return "rnn";
    case Recurrent::Cell::kLstm:
      return "lstm";
    case Recurrent::Cell::kGru:
      return "gru";
  }
  return "";
}

/// Layers of recurrent cells over a sequence: ids of tokens [N, T] where there is a vocabulary, or
/// vectors [N, T, features].
template <Recurrent::Cell kCell>
struct RecurrentNetwork final : Architecture {
  int64_t vocabulary = 0;
  int64_t embedding = 64;  // of a token
  int64_t hidden = 128;
  int64_t layers = 1;
  bool bidirectional = false;
  Pooling pooling = Pooling::kLast;  // the last state (of both directions), or the mean of all
  double dropout = 0;                // after each layer

  template <class V>
  void Describe(V& v) {
    v.Int("vocabulary", vocabulary, {.min = 0, .max = 1 << 24});
    v.Int("embedding", embedding, {.min = 1, .max = 65536});
    v.Int("hidden", hidden, {.min = 1, .max = 65536});
    v.Int("layers", layers, {.min = 1, .max = 64});
    v.Bool("bidirectional", bidirectional);
    v.Enum("pooling", pooling, kPoolings);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind(TypeOf(kCell), *this); }

  bool takes_ids() const override { return vocabulary > 0; }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(ValueId x,
                     ToSequence(builder, input, {.vocabulary = vocabulary, .width = embedding},
                                TypeOf(kCell), path));
    for (int64_t i = 0; i < layers; ++i) {
      const std::string name = fmt::format("recurrent.{}", i);
      ASSIGN_OR_RETURN(x, builder.Recur(name, x,
                                        {.cell = kCell,
                                         .hidden = hidden,
                                         .bidirectional = bidirectional,
                                         .last = pooling == Pooling::kLast && i + 1 == layers}));
      ASSIGN_OR_RETURN(x, builder.Drop(name + ".dropout", x, dropout));
    }
    if (pooling == Pooling::kMean) {
      ASSIGN_OR_RETURN(x, builder.Apply("pool", ReduceMean{}, x));
    }
    return builder.Linear("head", x, outputs);
  }
};

template <Recurrent::Cell kCell>
constexpr Kind<Architecture> kKind = MakeKind<RecurrentNetwork<kCell>, Architecture>(TypeOf(kCell));

}  // namespace

extern const Kind<Architecture> kRnn = kKind<Recurrent::Cell::kRnn>;
extern const Kind<Architecture> kLstm = kKind<Recurrent::Cell::kLstm>;
extern const Kind<Architecture> kGru = kKind<Recurrent::Cell::kGru>;

}  // namespace slipway::nn
