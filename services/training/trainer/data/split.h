#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPLIT_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPLIT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "services/training/trainer/data/random.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::trainer {

/// What a split goes by, for all rows of a part.
struct SplitInputs {
  std::span<const int64_t> classes;         // stratified
  std::span<const std::string_view> cells;  // group, time: of spec.data.split.column
};

/// Moves a share of `rows` out of it, at least one row and never all; both keep the file's order.
/// The same arguments give the same parts on every machine.
///
///   random      any rows
///   stratified  of each class the same share, to the row
///   group       whole groups: rows with the same cell stay together, so that the share is met
///               roughly
///   time        the latest rows, by number or date; no draw
///
/// `field` is the share's in the spec. Errors: InvalidField.
absl::StatusOr<std::vector<int64_t>> TakeShare(std::vector<int64_t>& rows, double share,
                                               const training::v1::SplitSpec& split,
                                               const SplitInputs& inputs, Random random,
                                               const std::string& field);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPLIT_H_
