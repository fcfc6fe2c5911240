#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IMAGE_EXAMPLES_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IMAGE_EXAMPLES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/picture_scaling.h"
#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// How a checked spec scales pictures.
nn::PictureScaling ScalingOf(const training::v1::ImageSpec& image);

/// The pictures of `part`, PNG or JPEG, scaled as spec.data.image says: the files of a folder in
/// the dataset, sorted by path, or of an archive, in its order. The folder that a file lies in
/// names its class; files whose names begin with a dot do not count. `field` is the part's path in
/// the spec. Fills `labels` where it is empty; else the classes are those. Errors: InvalidField
/// that names the file.
absl::StatusOr<Examples> ReadImageExamples(const training::v1::ImageSpec& image,
                                           const training::v1::Part& part, const std::string& field,
                                           FileFetcher fetch, const OpenDataOptions& options,
                                           std::vector<std::string>& labels);

/// The class of a file whose path below the part is `path`: the folder that it lies in; absent
/// where the file does not count.
std::optional<std::string_view> ClassOfPicture(std::string_view path);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_IMAGE_EXAMPLES_H_
