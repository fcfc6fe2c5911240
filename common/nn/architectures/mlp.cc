#include <string>
#include <vector>

#include "common/nn/architecture.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

/// A multi-layer perceptron: any input, flattened, through dense layers.
struct Mlp final : Architecture {
  std::vector<int64_t> hidden = {128};
  Activation activation = Activation::kRelu;
  bool batch_norm = false;
  double dropout = 0;

  template <class V>
  void Describe(V& v) {
    v.Ints("hidden", hidden, {.min = 1, .max = 65536}, {.min = 0, .max = 64});
    v.Enum("activation", activation, kActivations);
    v.Bool("batch_norm", batch_norm);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind("mlp", *this); }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string&) const override {
    ValueId x = input;
    if (builder.value(x).shape.rank() != 2) {
      ASSIGN_OR_RETURN(x, builder.Apply("flatten", Flatten{}, x));
    }
    for (size_t i = 0; i < hidden.size(); ++i) {
      const std::string name = fmt::format("hidden.{}", i);
      ASSIGN_OR_RETURN(x, builder.Linear(name, x, hidden[i]));
      if (batch_norm) {
        ASSIGN_OR_RETURN(x, builder.Normalize(name + ".norm", x));
      }
      ASSIGN_OR_RETURN(x, builder.Apply(name + ".activation", Activate{activation}, x));
      ASSIGN_OR_RETURN(x, builder.Drop(name + ".dropout", x, dropout));
    }
    return builder.Linear("head", x, outputs);
  }
};

}  // namespace

extern const Kind<Architecture> kMlp = MakeKind<Mlp, Architecture>("mlp");

}  // namespace slipway::nn
