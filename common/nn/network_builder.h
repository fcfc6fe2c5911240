#ifndef SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_
#define SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/nn/network.h"
#include "common/status/status.h"

namespace slipway::nn {

/// Steps, and how many each row has, where that is not all of them (see Length).
struct Sequence {
  ValueId values = 0;
  std::optional<ValueId> lengths;
};

/// What a network makes of texts some of whose tokens are hidden.
struct Encoding {
  ValueId tokens = 0;     // [N, T, tokens]: which token stands at each step, as logits
  ValueId embedding = 0;  // [N, width]: the text as a whole
};

/// Makes a Network layer by layer; each step infers the shapes of its results at once, so that an
/// error comes from the layer that does not fit (kInvalidArgument in the operator's words, see
/// InferOutputs). One thread.
class NetworkBuilder {
 public:
  /// More numbers than this in one network are refused.
  static constexpr int64_t kMaxParameters = int64_t{1} << 37;

  /// How weights and biases of the layers that are added from now on start.
  void set_initialization(Initialization initialization) { initialization_ = initialization; }

  /// A value that callers give.
  ValueId Input(TensorSpec spec);

  /// Adds any operator; the general form of what follows. Results are called `name`. Parameter
  /// names get `name` and a dot in front.
  absl::StatusOr<std::vector<ValueId>> Add(const std::string& name, Op op,
                                           std::vector<ValueId> inputs,
                                           std::vector<Parameter> parameters = {});
  /// Adds an operator with one result and without parameters.
  absl::StatusOr<ValueId> Apply(const std::string& name, Op op, ValueId input);
  /// The same for one that reads a sequence.
  absl::StatusOr<ValueId> Apply(const std::string& name, Op op, const Sequence& input);

  /// Gemm over the last dimension.
  absl::StatusOr<ValueId> Linear(const std::string& name, ValueId input, int64_t out_features);
  /// Gemm by the weight of another layer, which is called `weight`, and without a bias.
  absl::StatusOr<ValueId> LinearTiedTo(const std::string& name, ValueId input,
                                       std::string_view weight);
  absl::StatusOr<ValueId> Convolution(const std::string& name, ValueId input, Conv conv);
  absl::StatusOr<ValueId> Recur(const std::string& name, const Sequence& input,
                                Recurrent recurrent);
  /// BatchNormalization.
  absl::StatusOr<ValueId> Normalize(const std::string& name, ValueId input);
  absl::StatusOr<ValueId> NormalizeLayer(const std::string& name, ValueId input);
  /// The sum of two values.
  absl::StatusOr<ValueId> Sum(const std::string& name, ValueId a, ValueId b);
  /// Dropout, and nothing where `rate` is 0.
  absl::StatusOr<ValueId> Drop(const std::string& name, ValueId input, double rate);

  /// A table of vectors for ids, which start normal with that deviation.
  absl::StatusOr<ValueId> Embed(const std::string& name, ValueId ids, Embedding embedding,
                                double deviation);
  /// Adds to each place of a row a vector of its own that is learnt, and starts likewise.
  absl::StatusOr<ValueId> AddPositions(const std::string& name, ValueId input, double deviation);

  /// The value's type and shape. The reference holds until the next layer is added.
  const TensorSpec& value(ValueId id) const { return network_.value(id); }

  /// Ends it. `outputs` are renamed to the names given beside them.
  Network Finish(ValueId head, std::vector<std::pair<std::string, ValueId>> outputs) &&;

 private:
  absl::StatusOr<ValueId> AddOne(const std::string& name, Op op, std::vector<ValueId> inputs,
                                 std::vector<Parameter> parameters);
  // Of a dimension, -1 the last; 0 where there is none, which the operator will refuse.
  int64_t SizeOf(ValueId id, int dimension) const;

  Network network_;
  Initialization initialization_ = Initialization::kUniform;
  int64_t parameter_count_ = 0;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_NETWORK_BUILDER_H_
