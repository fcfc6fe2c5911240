#include "services/training/references.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/nn/model_description.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/training/spec/base_spec.h"
#include "services/training/spec/data_spec.h"

namespace slipway::training {
namespace {

constexpr size_t kShownFiles = 10;

// Whether it has the files that `spec` names.
absl::Status CheckFiles(const registry::v1::Dataset& dataset, const v1::JobSpec& spec) {
  std::vector<std::string_view> files;
  for (const auto& file : dataset.files()) files.push_back(file.path());
  const bool folders = spec.data().format() == "images";
  return ForEachFile(spec.data(), [&](std::string_view field, const std::string& path) {
    const auto names = [&](std::string_view file) {
      return file == path || (folders && file.starts_with(path + "/"));
    };
    if (std::any_of(files.begin(), files.end(), names)) return absl::OkStatus();
    const size_t shown = std::min(files.size(), kShownFiles);
    return InvalidField(
        field,
        fmt::format("{} has no file \"{}\"; it has {}{}", dataset.name(), path,
                    fmt::join(files.begin(), files.begin() + shown, ", "),
                    files.size() > shown ? fmt::format(" and {} more", files.size() - shown) : ""));
  });
}

}  // namespace

absl::StatusOr<registry::v1::Dataset> FindDataset(ModelRegistry& registry,
                                                  const ObjectStores& stores, const Principal& who,
                                                  const v1::JobSpec& spec, absl::Time deadline) {
  if (spec.data().has_source()) {
    if (spec.data().train().inputs().empty()) {
      return InvalidField("spec.data.train.inputs", "is required where spec.data.source is given");
    }
    ASSIGN_OR_RETURN(ObjectStore* const store, stores.Find(who.tenant, spec.data().source()));
    return ListSource(*store, spec);
  }
  const DatasetName name{who.tenant, spec.dataset()};
  auto found = registry.GetDataset(who, name, deadline);
  if (absl::IsNotFound(found.status())) {
    return InvalidField("spec.dataset", fmt::format("{} was not found", name.ToString()));
  }
  if (found.ok()) RETURN_IF_ERROR(CheckFiles(*found, spec));
  return found;
}

absl::StatusOr<registry::v1::ModelVersion> FindBase(ModelRegistry& registry, const Principal& who,
                                                    const std::string& version,
                                                    absl::Time deadline) {
  constexpr char kField[] = "spec.base.version";
  ASSIGN_OR_RETURN(const VersionReference reference, ParseBaseVersion(version, who.tenant));
  auto found = std::visit(
      [&](const auto& name) -> absl::StatusOr<registry::v1::ModelVersion> {
        // Of the job's tenant, also where an operator asks, who may read those of others.
        if (name.model.tenant != who.tenant) return NotFound(version);
        return registry.GetVersion(who, name, deadline);
      },
      reference);
  if (absl::IsNotFound(found.status())) {
    return InvalidField(kField, fmt::format("{} was not found", version));
  }
  if (found.ok() && found->artifact().format() != nn::kArtifactFormat) {
    return InvalidField(
        kField, fmt::format("{} is of format {}; must be one of format {}, as training makes them",
                            found->name(), found->artifact().format(), nn::kArtifactFormat));
  }
  return found;
}

}  // namespace slipway::training
