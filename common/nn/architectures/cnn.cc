#include <array>
#include <vector>

#include "common/fields/json.h"
#include "common/nn/architecture.h"
#include "common/nn/architectures/inputs.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

enum class Pooling { kMax, kAverage };
constexpr std::array<Name<Pooling>, 2> kPoolings = {
    {{"max", Pooling::kMax}, {"average", Pooling::kAverage}}};

/// A convolutional network for pictures: blocks of convolutions, each ended by a pooling, then
/// dense layers. Takes [N, height, width] (one channel) or [N, channels, height, width].
struct Cnn final : Architecture {
  std::vector<int64_t> channels = {32, 64};  // of each block
  int64_t convolutions = 1;                  // in each block
  int64_t kernel = 3;                        // odd: pictures keep their size
  int64_t pool = 2;                          // window and stride; 1: no pooling
  Pooling pooling = Pooling::kMax;
  bool global_pool = false;  // the mean of each channel goes on instead of the whole picture
  bool batch_norm = true;
  Activation activation = Activation::kRelu;
  std::vector<int64_t> hidden = {128};
  double dropout = 0;  // before each dense layer

  template <class V>
  void Describe(V& v) {
    v.Ints("channels", channels, {.min = 1, .max = 4096}, {.min = 1, .max = 64});
    v.Int("convolutions", convolutions, {.min = 1, .max = 16});
    v.Int("kernel", kernel, {.min = 1, .max = 31});
    v.Int("pool", pool, {.min = 1, .max = 16});
    v.Enum("pooling", pooling, kPoolings);
    v.Bool("global_pool", global_pool);
    v.Bool("batch_norm", batch_norm);
    v.Enum("activation", activation, kActivations);
    v.Ints("hidden", hidden, {.min = 1, .max = 65536}, {.min = 0, .max = 64});
    v.Real("dropout", dropout, {.min = 0, .below = 1});
    v.Enum("initialization", initialization, kInitializations);
  }

  absl::Status Check(const std::string& path) const {
    if (kernel % 2 == 0) {
      return InvalidField(JoinPath(path, "kernel"), fmt::format("must be odd, got {}", kernel));
    }
    return absl::OkStatus();
  }

  nlohmann::ordered_json ToJson() const override { return PrintKind("cnn", *this); }

  absl::StatusOr<ValueId> BuildLayers(NetworkBuilder& builder, ValueId input, int64_t outputs,
                                      const std::string& path) const override {
    const Shape shape = builder.value(input).shape;
    ASSIGN_OR_RETURN(ValueId x, ToPicture(builder, input, "cnn", path));
    // A maximum and a function that never falls may trade places, and after the pooling the
    // function has pool^2 times fewer numbers to go over.
    const bool activate_last = pool > 1 && pooling == Pooling::kMax && IsMonotone(activation);
    for (size_t block = 0; block < channels.size(); ++block) {
      for (int64_t i = 0; i < convolutions; ++i) {
        const std::string name = fmt::format("block.{}.conv.{}", block, i);
        ASSIGN_OR_RETURN(x, builder.Convolution(name, x,
                                                Conv{.out_channels = channels[block],
                                                     .kernel = kernel,
                                                     .stride = 1,
                                                     .padding = kernel / 2}));
        if (batch_norm) {
          ASSIGN_OR_RETURN(x, builder.Normalize(name + ".norm", x));
        }
        const bool last = i + 1 == convolutions;
        if (last && activate_last) {
          ASSIGN_OR_RETURN(x, Pool(builder, x, shape, block, path));
        }
        ASSIGN_OR_RETURN(x, builder.Apply(name + ".activation", Activate{activation}, x));
      }
      if (pool > 1 && !activate_last) {
        ASSIGN_OR_RETURN(x, Pool(builder, x, shape, block, path));
      }
    }
    if (global_pool) {
      ASSIGN_OR_RETURN(x, builder.Apply("global_pool", GlobalAveragePool{}, x));
    }
    ASSIGN_OR_RETURN(x, builder.Apply("flatten", Flatten{}, x));
    for (size_t i = 0; i < hidden.size(); ++i) {
      ASSIGN_OR_RETURN(x, builder.Drop(fmt::format("hidden.{}.dropout", i), x, dropout));
      ASSIGN_OR_RETURN(x, builder.Linear(fmt::format("hidden.{}", i), x, hidden[i]));
      ASSIGN_OR_RETURN(
          x, builder.Apply(fmt::format("hidden.{}.activation", i), Activate{activation}, x));
    }
    ASSIGN_OR_RETURN(x, builder.Drop("head.dropout", x, dropout));
    return builder.Linear("head", x, outputs);
  }

 private:
  absl::StatusOr<ValueId> Pool(NetworkBuilder& builder, ValueId x, const Shape& picture,
                               size_t block, const std::string& path) const {
    const Op op = pooling == Pooling::kMax ? Op(MaxPool{pool, pool}) : Op(AveragePool{pool, pool});
    auto pooled = builder.Apply(fmt::format("block.{}.pool", block), op, x);
    if (pooled.ok()) return pooled;
    return InvalidField(
        JoinPath(path, "pool"),
        fmt::format("the {}x{} picture is gone after {} poolings of {}",
                    picture[picture.rank() - 2], picture[picture.rank() - 1], block, pool));
  }
};

}  // namespace

extern const Kind<Architecture> kCnn = MakeKind<Cnn, Architecture>("cnn");

}  // namespace slipway::nn
