#ifndef SLIPWAY_SERVICES_TRAINING_OBJECTS_S3_OBJECT_STORE_H_
#define SLIPWAY_SERVICES_TRAINING_OBJECTS_S3_OBJECT_STORE_H_

#include <memory>
#include <string>

#include "common/crypto/secret.h"
#include "services/training/objects/object_store.h"

namespace slipway::training {

struct S3StoreOptions {
  /// For logs.
  std::string name;
  /// "https://host" or "http://host:port"; empty: Amazon's.
  std::string endpoint;
  std::string region;
  std::string bucket;
  Secret access_key;
  Secret secret_key;
  /// Who vouches for the endpoint's certificate: PEM.
  std::string ca_file;
};

/// A bucket behind an S3 interface, read by Apache Arrow's filesystem. What goes wrong is logged
/// with all that the server said, and told without it.
///
/// The first call in a process must come before its other threads: the library reads and is told
/// things by the environment. Connects to nothing yet. Errors: kInternal.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(const S3StoreOptions& options);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_OBJECTS_S3_OBJECT_STORE_H_
