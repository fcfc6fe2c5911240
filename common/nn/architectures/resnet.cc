#include <string>
#include <vector>

#include "common/nn/architecture.h"
#include "common/nn/architectures/inputs.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

/// A residual network of basic blocks for pictures (https://arxiv.org/abs/1512.03385), with a
/// 3x3 convolution in front, as the paper's for CIFAR-10. Each stage but the first halves the
/// picture. Takes [N, height, width] (one channel) or [N, channels, height, width].
struct Resnet final : Architecture {
  std::vector<int64_t> channels = {16, 32, 64};  // of each stage
  int64_t blocks = 2;                            // in each stage
  Activation activation = Activation::kRelu;
  double dropout = 0;  // before the head

  Resnet() { initialization = Initialization::kKaiming; }

  template <class V>
  void Describe(V& v) {
    v.Ints("channels", channels, {.min = 1, .max = 4096}, {.min = 1, .max = 16});
    v.Int("blocks", blocks, {.min = 1, .max = 64});
    v.Enum("activation", activation, kActivations);
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind("resnet", *this); }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    ASSIGN_OR_RETURN(ValueId x, ToPicture(builder, input, "resnet", path));
    ASSIGN_OR_RETURN(x,
                     Normalized(builder, "stem", x, {.out_channels = channels[0], .padding = 1}));
    ASSIGN_OR_RETURN(x, builder.Apply("stem.activation", Activate{activation}, x));
    for (size_t stage = 0; stage < channels.size(); ++stage) {
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
        ASSIGN_OR_RETURN(
            x, Block(builder, fmt::format("stage.{}.{}", stage, i), x, channels[stage], stride));
      }
    }
    ASSIGN_OR_RETURN(x, builder.Apply("global_pool", GlobalAveragePool{}, x));
    ASSIGN_OR_RETURN(x, builder.Apply("flatten", Flatten{}, x));
    ASSIGN_OR_RETURN(x, builder.Drop("head.dropout", x, dropout));
    return builder.Linear("head", x, outputs);
  }

 private:
  absl::StatusOr<ValueId> Normalized(NetworkBuilder& builder, const std::string& name, ValueId x,
                                     const Conv& conv) const {
    ASSIGN_OR_RETURN(x, builder.Convolution(name + ".conv", x, conv));
    return builder.Normalize(name + ".norm", x);
  }

  absl::StatusOr<ValueId> Block(NetworkBuilder& builder, const std::string& name, ValueId input,
                                int64_t width, int64_t stride) const {
    ASSIGN_OR_RETURN(ValueId x,
                     Normalized(builder, name + ".0", input,
                                {.out_channels = width, .stride = stride, .padding = 1}));
    ASSIGN_OR_RETURN(x, builder.Apply(name + ".0.activation", Activate{activation}, x));
    ASSIGN_OR_RETURN(x, Normalized(builder, name + ".1", x, {.out_channels = width, .padding = 1}));
    ValueId shortcut = input;
    if (stride > 1 || builder.value(input).shape[1] != width) {
      ASSIGN_OR_RETURN(shortcut,
                       Normalized(builder, name + ".shortcut", input,
                                  {.out_channels = width, .kernel = 1, .stride = stride}));
    }
    ASSIGN_OR_RETURN(x, builder.Sum(name + ".sum", x, shortcut));
    return builder.Apply(name + ".activation", Activate{activation}, x);
  }
};

}  // namespace

extern const Kind<Architecture> kResnet = MakeKind<Resnet, Architecture>("resnet");

}  // namespace slipway::nn
