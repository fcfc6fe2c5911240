#ifndef SLIPWAY_SERVICES_CONTROLLER_VERSION_CATALOG_H_
#define SLIPWAY_SERVICES_CONTROLLER_VERSION_CATALOG_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "services/controller/deployment.h"
#include "services/controller/registry_client.h"
#include "services/controller/version_details.h"

namespace slipway::controller {

/// What the references of deployments name, as the registry last said. Any thread; the lock is
/// never held while the registry is asked.
class VersionCatalog {
 public:
  struct Resolution {
    /// Nothing until the registry has answered once. Its details are known.
    std::optional<VersionName> version;
    /// Why that is unknown or out of date; empty: it is neither.
    std::string problem;
    bool operator==(const Resolution&) const = default;
  };

  /// `registry` outlives the catalog.
  explicit VersionCatalog(RegistryClient& registry) : registry_(registry) {}

  /// Asks the registry as `who`, about a pipeline's steps, too, and remembers the answer. Errors:
  /// those of GetModelVersion, and kInternal for an answer that makes no sense.
  absl::StatusOr<VersionName> Ask(const Principal& who, const VersionReference& reference);

  /// Asks for every alias again, for what is not known yet, and for the details of every version
  /// that serves; forgets what no deployment names any more. One registry call an alias. True
  /// when anything was learnt.
  bool Refresh(const std::vector<Deployment>& deployments);

  /// From memory.
  Resolution Find(const VersionReference& reference) const;
  /// Null when they are not known yet.
  std::shared_ptr<const VersionDetails> Details(const VersionName& version) const;

 private:
  absl::StatusOr<VersionName> Get(const Principal& who, const VersionReference& reference);
  void Keep(const std::vector<Deployment>& deployments);

  RegistryClient& registry_;
  mutable Mutex mutex_;
  // Of aliases, what they name; of versions, only why they are not known. By the reference's text.
  std::map<std::string, Resolution> resolutions_ GUARDED_BY(mutex_);
  std::map<VersionName, std::shared_ptr<const VersionDetails>> details_ GUARDED_BY(mutex_);
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_VERSION_CATALOG_H_
