#ifndef SLIPWAY_SERVICES_REGISTRY_REGISTRY_STORE_H_
#define SLIPWAY_SERVICES_REGISTRY_REGISTRY_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::registry {

/// A blob that the registry vouches for: its bytes are durable in the blob store.
struct StoredBlob {
  std::string tenant;
  Digest digest;
  int64_t size_bytes = 0;
};

/// A create that was answered, kept under its request id.
struct StoredRequest {
  std::string tenant;
  std::string request_id;
  std::string method;
  /// SHA-256 of what was asked for.
  std::string hash;
  /// The answer, serialized.
  std::string answer;
  absl::Time create_time;
};

/// What a tenant has, by name.
struct TenantNames {
  std::vector<std::string> models;
  std::vector<std::string> versions;
  std::vector<std::string> aliases;
  std::vector<std::string> datasets;
  std::vector<std::string> blobs;
};

/// Which datasets of a tenant, by id.
struct DatasetQuery {
  std::string after{};  ///< Those behind this id; empty: from the start.
  bool descending = false;
  std::string purpose{};  ///< Only those with this one; "*": with any; empty: all.
};

/// The registry's rows within one transaction. Keeps no rules but these: a key once, a version
/// only below its model, an alias only on a version, a reference only to a blob (all of them
/// kAlreadyExists or kFailedPrecondition). Lists take at most `limit` rows after `after`.
class RegistryTransaction {
 public:
  virtual ~RegistryTransaction() = default;

  virtual absl::StatusOr<std::optional<v1::Model>> FindModel(const ModelName& name) = 0;
  virtual absl::Status InsertModel(const ModelName& name, const v1::Model& model) = 0;
  virtual absl::Status SetLatestVersion(const ModelName& name, int64_t number) = 0;
  /// By id, ascending.
  virtual absl::StatusOr<std::vector<v1::Model>> ListModels(std::string_view tenant,
                                                            std::string_view after, int limit) = 0;

  virtual absl::StatusOr<std::optional<v1::ModelVersion>> FindVersion(const VersionName& name) = 0;
  /// The version and the references to its blobs.
  virtual absl::Status InsertVersion(const VersionName& name, const v1::ModelVersion& version) = 0;
  /// Those with a number below `before`, newest first.
  virtual absl::StatusOr<std::vector<v1::ModelVersion>> ListVersions(const ModelName& model,
                                                                     int64_t before, int limit) = 0;

  virtual absl::StatusOr<std::optional<v1::Alias>> FindAlias(const AliasName& name) = 0;
  /// Makes it or moves it.
  virtual absl::Status PutAlias(const AliasName& name, int64_t number, absl::Time now) = 0;
  /// False where there was none.
  virtual absl::StatusOr<bool> DeleteAlias(const AliasName& name) = 0;
  /// By alias, ascending.
  virtual absl::StatusOr<std::vector<v1::Alias>> ListAliases(const ModelName& model,
                                                             std::string_view after, int limit) = 0;

  virtual absl::StatusOr<std::optional<v1::Dataset>> FindDataset(const DatasetName& name) = 0;
  /// The dataset and the references to its blobs.
  virtual absl::Status InsertDataset(const DatasetName& name, const v1::Dataset& dataset) = 0;
  /// The dataset and its references; its blobs count as used at `now`. False where there was none.
  virtual absl::StatusOr<bool> DeleteDataset(const DatasetName& name, absl::Time now) = 0;
  virtual absl::StatusOr<std::vector<v1::Dataset>> ListDatasets(std::string_view tenant,
                                                                const DatasetQuery& query,
                                                                int limit) = 0;

  virtual absl::StatusOr<std::optional<int64_t>> FindBlobSize(std::string_view tenant,
                                                              const Digest& digest) = 0;
  /// Makes the row, or notes that the blob was used at `now`.
  virtual absl::Status PutBlob(const StoredBlob& blob, absl::Time now) = 0;
  /// Is the blob a file of `owner`: a version, a dataset, or any version of a model?
  virtual absl::StatusOr<bool> IsFileOf(std::string_view tenant, const Digest& digest,
                                        std::string_view owner) = 0;
  /// Blobs that are no file of anything and were last used before `before`.
  virtual absl::StatusOr<std::vector<StoredBlob>> ListUnusedBlobs(absl::Time before, int limit) = 0;
  /// Removes the row if ListUnusedBlobs would still name it. False where it would not.
  virtual absl::StatusOr<bool> DeleteUnusedBlob(std::string_view tenant, const Digest& digest,
                                                absl::Time before) = 0;

  virtual absl::StatusOr<std::optional<StoredRequest>> FindRequest(std::string_view tenant,
                                                                   std::string_view request_id) = 0;
  virtual absl::Status InsertRequest(const StoredRequest& request) = 0;
  virtual absl::Status DeleteRequestsBefore(absl::Time before) = 0;

  /// From now on the tenant is closed. OK again.
  virtual absl::Status CloseTenant(std::string_view tenant) = 0;
  virtual absl::StatusOr<bool> IsClosed(std::string_view tenant) = 0;
  virtual absl::StatusOr<std::vector<std::string>> ListClosedTenants() = 0;
  /// The names of all that the tenant has.
  virtual absl::StatusOr<TenantNames> ListNames(std::string_view tenant) = 0;
  /// Every row of it but that it is closed.
  virtual absl::Status RemoveTenant(std::string_view tenant) = 0;

  /// Bytes of all blobs of each tenant that has any.
  virtual absl::StatusOr<std::map<std::string, int64_t>> StoredBytes() = 0;
  /// A number by its name; 0 at first.
  virtual absl::StatusOr<int64_t> Counter(std::string_view name) = 0;
  virtual absl::Status SetCounter(std::string_view name, int64_t value) = 0;
  virtual absl::Status InsertUsage(const v1::UsageEvent& event) = 0;
  /// Those after a cursor, oldest first.
  virtual absl::StatusOr<std::vector<v1::UsageEvent>> ListUsage(int64_t after_cursor,
                                                                int limit) = 0;
};

/// Where the registry's rows are kept. Any thread may call.
/// Errors of both: what `body` returns, StorageFull, kUnavailable, kInternal.
class RegistryStore {
 public:
  virtual ~RegistryStore() = default;

  /// Runs `body` in a transaction; OK once it is durable. `body` may run several times, and sees
  /// no change that others make meanwhile.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) = 0;

  /// Runs `body` on a snapshot.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) = 0;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_REGISTRY_STORE_H_
