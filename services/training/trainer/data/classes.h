#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CLASSES_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CLASSES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"

namespace slipway::trainer {

/// Gives each class its index: that of its label, or, where no labels are given, one to all that
/// are met. One thread.
class Classes {
 public:
  explicit Classes(const std::vector<std::string>& labels);

  /// Errors: kInvalidArgument ("must be one of cat, dog, got "cow""; more than 100,000 classes).
  absl::StatusOr<int64_t> IndexOf(std::string_view name);

  /// Where no labels were given: sorts what was met (by number where all are numbers) into
  /// `labels`, and moves `indices` along.
  void Finish(std::vector<int64_t>& indices, std::vector<std::string>& labels) const;

 private:
  const std::vector<std::string> labels_;
  std::map<std::string, int64_t, std::less<>> indices_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_CLASSES_H_
