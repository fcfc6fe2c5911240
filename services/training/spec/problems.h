#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_PROBLEMS_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_PROBLEMS_H_

#include <cmath>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "fmt/format.h"

namespace slipway::training {

/// Collects what is wrong with a spec, so that a caller sees all of it at once. One thread.
class Problems {
 public:
  void Add(std::string_view path, std::string_view problem) { Add(InvalidField(path, problem)); }

  /// Adds an InvalidField (which may hold several problems already); OK adds nothing.
  void Add(const absl::Status& status) {
    if (status.ok()) return;
    if (field_.empty()) field_ = FieldOf(status);
    if (!text_.empty()) text_ += "; ";
    text_ += std::string(status.message());
  }

  template <class Number>
  void CheckRange(std::string_view path, Number value, Number min, Number max) {
    if (value < min || value > max || !std::isfinite(static_cast<double>(value))) {
      Add(path, fmt::format("must be between {} and {}, got {}", min, max, value));
    }
  }

  absl::Status Done() const {
    if (text_.empty()) return absl::OkStatus();
    // The text starts with the field: InvalidField writes it once more.
    return InvalidField(field_, std::string_view(text_).substr(field_.size() + 2));
  }

 private:
  std::string field_;
  std::string text_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_PROBLEMS_H_
