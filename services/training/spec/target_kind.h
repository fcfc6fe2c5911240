#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_TARGET_KIND_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_TARGET_KIND_H_

namespace slipway::training {

/// What a loss compares the model's output with.
enum class TargetKind {
  kClass,        ///< One of several classes, by index.
  kReal,         ///< Real numbers.
  kToken,        ///< After each step of a text the token that comes next, by its id.
  kMaskedToken,  ///< At some steps of a text the token that was hidden, by its id.
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_TARGET_KIND_H_
