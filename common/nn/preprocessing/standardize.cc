#include "common/fields/json.h"
#include "common/nn/preprocessing.h"

namespace slipway::nn {
namespace {

constexpr size_t kMaxColumns = 1'000'000;

struct Standardize final : Preprocessing {
  std::vector<double> mean;
  std::vector<double> deviation;

  template <class V>
  void Describe(V& v) {
    v.Reals("mean", mean, {}, {.min = 1, .max = kMaxColumns, .required = true});
    v.Reals("deviation", deviation, {.above = 0}, {.min = 1, .max = kMaxColumns, .required = true});
  }
  absl::Status Check(const std::string& path) const {
    if (mean.size() == deviation.size()) return absl::OkStatus();
    return InvalidField(JoinPath(path, "deviation"), "must be as long as mean");
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("standardize", *this); }
  absl::StatusOr<ValueId> Append(NetworkBuilder& builder, const std::string& name, ValueId input,
                                 const std::string& path) const override {
    Affine affine;
    for (size_t i = 0; i < mean.size(); ++i) {
      affine.scale.push_back(1 / deviation[i]);
      affine.shift.push_back(-mean[i] / deviation[i]);
    }
    auto result = builder.Apply(name, std::move(affine), input);
    if (!result.ok()) {
      return InvalidField(JoinPath(path, "mean"), std::string(result.status().message()));
    }
    return result;
  }
};

}  // namespace

extern const Kind<Preprocessing> kStandardize = MakeKind<Standardize, Preprocessing>("standardize");

std::unique_ptr<const Preprocessing> MakeStandardize(std::vector<double> mean,
                                                     std::vector<double> deviation) {
  auto standardize = std::make_unique<Standardize>();
  standardize->mean = std::move(mean);
  standardize->deviation = std::move(deviation);
  return standardize;
}

}  // namespace slipway::nn
