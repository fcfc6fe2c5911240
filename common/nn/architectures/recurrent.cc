#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "common/fields/json.h"
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
  Tokens tokens;
  int64_t embedding = 64;  // of a token
  int64_t hidden = 128;
  int64_t layers = 1;
  bool bidirectional = false;
  Pooling pooling = Pooling::kLast;  // the last state (of both directions), or the mean of all
  double dropout = 0;                // after each layer

  template <class V>
  void Describe(V& v) {
    tokens.Describe(v);
    v.Int("embedding", embedding, {.min = 1, .max = 65536});
    v.Int("hidden", hidden, {.min = 1, .max = 65536});
    v.Int("layers", layers, {.min = 1, .max = 64});
    v.Bool("bidirectional", bidirectional);
    v.Enum("pooling", pooling, kPoolings);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }
  absl::Status Check(const std::string& path) const { return tokens.Check(path); }

  nlohmann::ordered_json ToJson() const override { return PrintKind(TypeOf(kCell), *this); }

  bool takes_ids() const override { return tokens.vocabulary > 0; }
  std::unique_ptr<const Architecture> ForTokens(int64_t vocabulary) const override {
    if (takes_ids()) return nullptr;
    auto copy = std::make_unique<RecurrentNetwork>(*this);
    copy->tokens = Tokens::Of(vocabulary);
    return copy;
  }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(Sequence x, BuildCells(builder, input, pooling == Pooling::kLast, path));
    if (pooling == Pooling::kMean) {
      ASSIGN_OR_RETURN(x.values, builder.Apply("pool", ReduceMean{}, x));
    }
    return builder.Linear("head", x.values, outputs);
  }

  absl::StatusOr<Sequence> BuildSteps(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    if (bidirectional) {
      return InvalidField(JoinPath(path, "bidirectional"),
                          "must be false: what comes next must not be seen");
    }
    ASSIGN_OR_RETURN(Sequence x, BuildCells(builder, input, /*last=*/false, path));
    ASSIGN_OR_RETURN(x.values, builder.Linear("head", x.values, outputs));
    return x;
  }

 private:
  // All states of the last layer, or the last one of each row.
  absl::StatusOr<Sequence> BuildCells(NetworkBuilder& builder, ValueId input, bool last,
                                      const std::string& path) const {
    ASSIGN_OR_RETURN(Sequence x,
                     ToSequence(builder, input, tokens, embedding, 1, TypeOf(kCell), path));
    for (int64_t i = 0; i < layers; ++i) {
      const std::string name = fmt::format("recurrent.{}", i);
      ASSIGN_OR_RETURN(x.values, builder.Recur(name, x,
                                               {.cell = kCell,
                                                .hidden = hidden,
                                                .bidirectional = bidirectional,
                                                .last = last && i + 1 == layers}));
      ASSIGN_OR_RETURN(x.values, builder.Drop(name + ".dropout", x.values, dropout));
    }
    return x;
  }
};

template <Recurrent::Cell kCell>
constexpr Kind<Architecture> kKind = MakeKind<RecurrentNetwork<kCell>, Architecture>(TypeOf(kCell));

}  // namespace

extern const Kind<Architecture> kRnn = kKind<Recurrent::Cell::kRnn>;
extern const Kind<Architecture> kLstm = kKind<Recurrent::Cell::kLstm>;
extern const Kind<Architecture> kGru = kKind<Recurrent::Cell::kGru>;

}  // namespace slipway::nn
