#ifndef SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORES_H_
#define SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORES_H_

#include <memory>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "services/training/objects/object_store.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// What a tenant may read of a store.
struct ObjectGrant {
  /// "*": every tenant.
  std::string tenant;
  /// What lies below it, a whole folder; empty: everything. "{tenant}" in it stands for the tenant.
  std::string prefix;
};

/// The stores that the operator has configured. A spec names one of them and never a server, so
/// that no tenant can send the service anywhere. Immutable: any thread.
class ObjectStores {
 public:
  struct Store {
    std::string name;
    std::vector<ObjectGrant> grants;
    std::unique_ptr<ObjectStore> objects;
  };

  ObjectStores() = default;
  explicit ObjectStores(std::vector<Store> stores) : stores_(std::move(stores)) {}

  /// The store that `source` names, where `tenant` may read below its prefix. Errors: InvalidField,
  /// which is the same for a store that is not there and one of which nothing is the tenant's.
  absl::StatusOr<ObjectStore*> Find(const std::string& tenant,
                                    const v1::ObjectSource& source) const;

 private:
  std::vector<Store> stores_;
};

/// The key of a file of the source.
std::string KeyOf(const v1::ObjectSource& source, const std::string& path);

/// The files that the spec names of its source, with their sizes and without digests: a dataset
/// that is not registered. Errors: InvalidField below spec.data (nothing there, too many objects);
/// the store's.
absl::StatusOr<registry::v1::Dataset> ListSource(ObjectStore& store, const v1::JobSpec& spec);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORES_H_
