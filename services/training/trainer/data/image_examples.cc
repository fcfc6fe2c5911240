#include "services/training/trainer/data/image_examples.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "common/files/files.h"
#include "fmt/format.h"
#include "services/training/trainer/data/archive_reader.h"
#include "services/training/trainer/data/classes.h"
#include "services/training/trainer/data/picture.h"
#include "services/training/trainer/data/spill_file.h"

namespace slipway::trainer {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

// "train/cat/1.png" -> "cat", "1.png".
std::pair<std::string_view, std::string_view> FolderAndName(std::string_view path) {
  const size_t end = path.rfind('/');
  if (end == std::string_view::npos) return {"", path};
  const size_t begin = end == 0 ? std::string_view::npos : path.rfind('/', end - 1);
  return {path.substr(begin + 1, end - begin - 1), path.substr(end + 1)};
}

// What some programs put beside files: .DS_Store, __MACOSX/cat/._1.png.
bool IsHidden(std::string_view path) { return FolderAndName(path).second.starts_with('.'); }

class Reader {
 public:
  Reader(const training::v1::ImageSpec& image, const std::string& part, const std::string& field,
         SpillFile out, const std::vector<std::string>& labels)
      : scaling_(ScalingOf(image)),
        part_(part),
        field_(field),
        out_(std::move(out)),
        classes_(labels) {}

  // `path` is what a person calls the file.
  absl::Status Add(std::string_view path, std::string_view bytes) {
    const auto index = classes_.IndexOf(FolderAndName(path).first);
    if (!index.ok())
      return Refuse(path, fmt::format("its folder {}", std::string(index.status().message())));
    const auto picture = DecodePicture(bytes);
    if (!picture.ok()) return Refuse(path, std::string(picture.status().message()));
    examples_.classes.push_back(*index);
    return out_.Append(Scaled(*picture));
  }

  absl::StatusOr<Examples> Finish(std::vector<std::string>& labels) && {
    if (examples_.classes.empty()) {
      return InvalidField(field_, fmt::format("{} holds no pictures", part_));
    }
    classes_.Finish(examples_.classes, labels);
    examples_.count = std::ssize(examples_.classes);
    examples_.row_bytes = scaling_.scaled_bytes();
    examples_.input = scaling_.scaled();
    ASSIGN_OR_RETURN(examples_.inputs, std::move(out_).Map(SpillFile::Access::kAnywhere));
    return std::move(examples_);
  }

 private:
  absl::Status Refuse(std::string_view path, std::string_view problem) const {
    return InvalidField(field_, fmt::format("{}/{}: {}", part_, path, problem));
  }

  std::string Scaled(const Picture& picture) const {
    std::string scaled(scaling_.scaled_bytes(), '\0');
    scaling_.Scale({picture.pixels.data(), picture.height, picture.width, 3},
                   reinterpret_cast<uint8_t*>(scaled.data()));
    return scaled;
  }

  const nn::PictureScaling scaling_;
  const std::string& part_;
  const std::string field_;
  SpillFile out_;
  Classes classes_;
  Examples examples_;
};

}  // namespace

nn::PictureScaling ScalingOf(const training::v1::ImageSpec& image) {
  using Fit = nn::PictureScaling::Fit;
  return {.height = image.height(),
          .width = image.width(),
          .channels = image.channels() == 1 ? 1 : 3,
          .fit = image.fit() == "crop" ? Fit::kCrop : Fit::kStretch};
}

std::optional<std::string_view> ClassOfPicture(std::string_view path) {
  if (IsHidden(path)) return std::nullopt;
  return FolderAndName(path).first;
}

absl::StatusOr<Examples> ReadImageExamples(const training::v1::ImageSpec& image,
                                           const training::v1::Part& part, const std::string& field,
                                           FileFetcher fetch, const OpenDataOptions& options,
                                           std::vector<std::string>& labels) {
  const std::string inputs_field = field + ".inputs";
  const std::string& inputs = part.inputs();
  ASSIGN_OR_RETURN(SpillFile out, SpillFile::Create(options.folder));
  Reader reader(image, inputs, inputs_field, std::move(out), labels);
  std::vector<std::string> files;
  for (const std::string& file : options.files) {
    if (file.starts_with(inputs + "/") && !IsHidden(file)) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(const std::string local, fetch(file));
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(local, kMaxFileBytes));
    RETURN_IF_ERROR(reader.Add(std::string_view(file).substr(inputs.size() + 1), bytes));
  }
  if (!files.empty()) return std::move(reader).Finish(labels);

  ASSIGN_OR_RETURN(const std::string local, fetch(inputs));
  auto archive = ArchiveReader::Open(local, inputs);
  const auto refuse = [&](const absl::Status& status) {
    return absl::IsInvalidArgument(status)
               ? InvalidField(inputs_field, std::string(status.message()))
               : status;
  };
  if (!archive.ok()) return refuse(archive.status());
  while (true) {
    const auto file = archive->Next();
    if (!file.ok()) return refuse(file.status());
    if (!file->has_value()) break;
    if (IsHidden((*file)->path)) continue;
    RETURN_IF_ERROR(reader.Add((*file)->path, (*file)->bytes));
  }
  return std::move(reader).Finish(labels);
}

}  // namespace slipway::trainer
