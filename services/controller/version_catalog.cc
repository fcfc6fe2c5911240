#include "services/controller/version_catalog.h"

#include <set>
#include <utility>

#include "fmt/format.h"

namespace slipway::controller {
namespace {

// The controller's own principal for one tenant's models.
Principal OnBehalfOf(const std::string& tenant) {
  Principal principal;
  principal.tenant = tenant;
  principal.role = Role::kViewer;
  principal.caller = ServiceId::kController;
  return principal;
}

// The versions that a deployment needs beside what its reference names.
std::vector<VersionName> Needed(const Deployment& deployment) {
  std::vector<VersionName> needed;
  if (deployment.serving) needed.push_back(*deployment.serving);
  if (deployment.trial) {
    needed.push_back(deployment.trial->candidate);
    needed.push_back(deployment.trial->stable);
  }
  return needed;
}

}  // namespace

absl::StatusOr<VersionName> VersionCatalog::Ask(const Principal& who,
                                                const VersionReference& reference) {
  const std::string text = reference.ToString();
  absl::StatusOr<VersionName> version = Get(who, reference);
  MutexLock lock(mutex_);
  if (version.ok()) {
    resolutions_[text] = {*version, ""};
    return version;
  }
  Resolution& resolution = resolutions_[text];
  // What is known stays in use while the registry is away; only its own word ends that.
  if (absl::IsNotFound(version.status()) || !resolution.version) {
    resolution.problem = std::string(version.status().message());
  }
  return version;
}

absl::StatusOr<VersionName> VersionCatalog::Get(const Principal& who,
                                                const VersionReference& reference) {
  auto details = std::make_shared<VersionDetails>();
  ASSIGN_OR_RETURN(details->version, registry_.GetModelVersion(who, reference));
  const absl::StatusOr<VersionName> version = VersionName::Parse("name", details->version.name());
  if (!version.ok() || version->model.tenant != reference.tenant()) {
    return absl::InternalError(fmt::format("the registry answered \"{}\" for {}",
                                           details->version.name(), reference.ToString()));
  }
  if (Details(*version) != nullptr) return version;
  std::set<std::string> steps;
  for (const auto& step : details->version.pipeline().steps()) steps.insert(step.model_version());
  for (const std::string& step : steps) {
    ASSIGN_OR_RETURN(const VersionName name, VersionName::Parse("model_version", step));
    ASSIGN_OR_RETURN(details->steps.emplace_back(),
                     registry_.GetModelVersion(who, VersionReference(name)));
  }
  MutexLock lock(mutex_);
  details_[*version] = std::move(details);
  return version;
}

bool VersionCatalog::Refresh(const std::vector<Deployment>& deployments) {
  bool news = false;
  std::set<std::string> asked;
  const auto ask = [&](const VersionReference& reference) {
    if (!asked.insert(reference.ToString()).second) return;
    const Resolution before = Find(reference);
    // A failure is kept as the resolution's problem.
    Ask(OnBehalfOf(reference.tenant()), reference).IgnoreError();
    news = news || Find(reference) != before;
  };
  for (const Deployment& deployment : deployments) {
    if (deployment.deleting) continue;
    const VersionReference& reference = deployment.model_version;
    if (reference.IsAlias() || Details(*reference.Version()) == nullptr) ask(reference);
    for (const VersionName& version : Needed(deployment)) {
      if (Details(version) == nullptr) ask(VersionReference(version));
    }
  }
  Keep(deployments);
  return news;
}

void VersionCatalog::Keep(const std::vector<Deployment>& deployments) {
  std::set<std::string> references;
  std::set<VersionName> versions;
  MutexLock lock(mutex_);
  for (const Deployment& deployment : deployments) {
    references.insert(deployment.model_version.ToString());
    for (const VersionName& version : Needed(deployment)) {
      references.insert(version.ToString());
      versions.insert(version);
    }
  }
  std::erase_if(resolutions_, [&](const auto& entry) { return !references.contains(entry.first); });
  for (const auto& [reference, resolution] : resolutions_) {
    if (resolution.version) versions.insert(*resolution.version);
  }
  std::erase_if(details_, [&](const auto& entry) { return !versions.contains(entry.first); });
}

VersionCatalog::Resolution VersionCatalog::Find(const VersionReference& reference) const {
  MutexLock lock(mutex_);
  Resolution found;
  if (const auto known = resolutions_.find(reference.ToString()); known != resolutions_.end()) {
    found = known->second;
  }
  if (!found.version) found.version = reference.Version();
  if (found.version && !details_.contains(*found.version)) found.version.reset();
  return found;
}

std::shared_ptr<const VersionDetails> VersionCatalog::Details(const VersionName& version) const {
  MutexLock lock(mutex_);
  const auto details = details_.find(version);
  return details == details_.end() ? nullptr : details->second;
}

}  // namespace slipway::controller
