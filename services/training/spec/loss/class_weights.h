#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CLASS_WEIGHTS_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CLASS_WEIGHTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "fmt/format.h"

namespace slipway::training {

/// How much a row of each class counts, by index; empty: all the same.
struct ClassWeights {
  std::vector<double> values;

  template <class V>
  void Describe(V& v) {
    v.Reals("class_weights", values, {.max = 1e6, .above = 0}, {.max = 100'000});
  }

  absl::Status CheckClasses(int64_t classes, const std::string& path) const {
    if (values.empty() || std::ssize(values) == classes) return absl::OkStatus();
    return InvalidField(
        path + ".class_weights",
        fmt::format("must be {}, one for each class, got {}", classes, values.size()));
  }

  /// [classes], of the type and on the device of `output`; undefined where there are none.
  template <class Tensor>
  Tensor Like(const Tensor& output) const {
    if (values.empty()) return {};
    Tensor weights = output.new_empty({std::ssize(values)});
    Tensor host = weights.cpu();  // itself on a CPU
    std::copy(values.begin(), values.end(), host.template data_ptr<float>());
    return weights.copy_(host);
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_LOSS_CLASS_WEIGHTS_H_
