#include "common/nn/preprocessing.h"

namespace slipway::nn {
namespace {

struct Rescale final : Preprocessing {
  double divisor = 1;

  template <class V>
  void Describe(V& v) {
    v.Real("divisor", divisor, {.above = 0, .required = true});
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("rescale", *this); }
  absl::StatusOr<ValueId> Append(NetworkBuilder& builder, const std::string& name, ValueId input,
                                 const std::string&) const override {
    return builder.Apply(name, Affine{{1 / divisor}, {0}}, input);
  }
};

}  // namespace

extern const Kind<Preprocessing> kRescale = MakeKind<Rescale, Preprocessing>("rescale");

std::unique_ptr<const Preprocessing> MakeRescale(double divisor) {
  auto rescale = std::make_unique<Rescale>();
  rescale->divisor = divisor;
  return rescale;
}

}  // namespace slipway::nn
