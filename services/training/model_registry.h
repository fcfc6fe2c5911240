#ifndef SLIPWAY_SERVICES_TRAINING_MODEL_REGISTRY_H_
#define SLIPWAY_SERVICES_TRAINING_MODEL_REGISTRY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::training {

/// What training needs of the registry, on behalf of a principal. Any thread; calls block.
/// Errors of all: the registry's own, kUnavailable, kDeadlineExceeded.
class ModelRegistry {
 public:
  virtual ~ModelRegistry() = default;

  /// Errors: kNotFound.
  virtual absl::StatusOr<registry::v1::Dataset> GetDataset(const Principal& who,
                                                           const DatasetName& name,
                                                           absl::Time deadline) = 0;

  /// The bytes of a blob of the principal's tenant from `offset` on, at most that many. Errors:
  /// kNotFound.
  virtual absl::StatusOr<std::string> ReadBlob(const Principal& who, const std::string& digest,
                                               int64_t offset, int64_t bytes,
                                               absl::Time deadline) = 0;

  /// Makes a blob of the principal's tenant of the pieces that `content` hands to its argument; an
  /// error of `content` ends it, and is returned.
  using PieceSink = absl::FunctionRef<absl::Status(std::string_view piece)>;
  virtual absl::StatusOr<registry::v1::Blob> StoreBlob(
      const Principal& who, absl::FunctionRef<absl::Status(PieceSink)> content,
      absl::Time deadline) = 0;

  /// Registers blobs as a dataset. Errors: kAlreadyExists.
  virtual absl::StatusOr<registry::v1::Dataset> CreateDataset(const Principal& who,
                                                              const DatasetName& name,
                                                              const registry::v1::Dataset& dataset,
                                                              absl::Time deadline) = 0;

  /// Errors: kNotFound.
  virtual absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                                const VersionName& version,
                                                                absl::Time deadline) = 0;

  /// The version that `alias` holds. Errors: kNotFound (no such alias).
  virtual absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                                const AliasName& alias,
                                                                absl::Time deadline) = 0;

  /// Makes a version, and the model where there is none. The same `request_id` again answers the
  /// version that the first call made. Returns its name.
  virtual absl::StatusOr<std::string> CreateVersion(const Principal& who, const ModelName& model,
                                                    const registry::v1::ModelVersion& version,
                                                    const std::string& request_id,
                                                    absl::Time deadline) = 0;

  /// Points `alias` at `version`.
  virtual absl::Status SetAlias(const Principal& who, const AliasName& alias,
                                const std::string& version, absl::Time deadline) = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_MODEL_REGISTRY_H_
