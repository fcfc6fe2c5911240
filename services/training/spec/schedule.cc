#include "services/training/spec/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "common/fields/kinds.h"
#include "nlohmann/json.hpp"

namespace slipway::training {
namespace {

// The field that all types have.
struct Warmup {
  static constexpr char kName[] = "warmup_epochs";
  double epochs = 0;

  template <class V>
  void Describe(V& v) {
    v.Real(kName, epochs, {.min = 0, .max = 1e6});
  }
};

}  // namespace

absl::StatusOr<Schedule> ParseSchedule(const nlohmann::json& object, const std::string& path) {
  nlohmann::json common = nlohmann::json::object();
  nlohmann::json own = object;
  if (own.contains(Warmup::kName)) {
    common[Warmup::kName] = own[Warmup::kName];
    own.erase(Warmup::kName);
  }
  Warmup warmup;
  RETURN_IF_ERROR(ReadFields(common, path, warmup));
  ASSIGN_OR_RETURN(Decay decay, ParseVariant<Decay>(own, path));
  return Schedule{std::move(decay), warmup.epochs};
}

double RateFactor(const Schedule& schedule, const Moment& moment) {
  const auto warmup = static_cast<int64_t>(
      std::ceil(schedule.warmup_epochs * static_cast<double>(moment.steps_per_epoch)));
  if (moment.step < warmup) {
    // The first step moves too: it has 1/warmup, not 0.
    return static_cast<double>(moment.step + 1) / static_cast<double>(warmup);
  }
  const Moment after = {.step = moment.step - warmup,
                        .steps = std::max<int64_t>(1, moment.steps - warmup),
                        .steps_per_epoch = moment.steps_per_epoch,
                        .lowered = moment.lowered};
  return std::visit([&](const auto& kind) { return kind.Factor(after); }, schedule.decay);
}

}  // namespace slipway::training
