#include <cmath>
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
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind("mlp", *this); }

  absl::StatusOr<ValueId> Build(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                const std::string& path) const override {
    const auto build = [&]() -> absl::StatusOr<ValueId> {
      ValueId x = input;
      if (builder.value(x).shape.rank() != 2) {
        ASSIGN_OR_RETURN(x, builder.Apply("flatten", Flatten{}, x));
      }
      for (size_t i = 0; i < hidden.size(); ++i) {
        ASSIGN_OR_RETURN(x, builder.Linear(fmt::format("hidden.{}", i), x, hidden[i]));
        if (batch_norm) {
          ASSIGN_OR_RETURN(x, builder.Normalize(fmt::format("hidden.{}.norm", i), x));
        }
        ASSIGN_OR_RETURN(
            x, builder.Apply(fmt::format("hidden.{}.activation", i), Activate{activation}, x));
        if (dropout > 0) {
          ASSIGN_OR_RETURN(x,
                           builder.Apply(fmt::format("hidden.{}.dropout", i), Dropout{dropout}, x));
        }
      }
      return builder.Linear("head", x, outputs);
    };
    auto head = build();
    if (!head.ok()) return InvalidField(path, std::string(head.status().message()));
    return head;
  }
};

}  // namespace

extern const Kind<Architecture> kMlp = MakeKind<Mlp, Architecture>("mlp");

}  // namespace slipway::nn
