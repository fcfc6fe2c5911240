#ifndef SLIPWAY_SERVICES_REGISTRY_REGISTRY_H_
#define SLIPWAY_SERVICES_REGISTRY_REGISTRY_H_

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "common/identity/principal.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/registry/page.h"
#include "services/registry/registry_store.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::registry {

/// Models, their immutable versions, aliases and datasets. Any thread may call. What a call
/// answered is durable.
///
/// Common errors: NotFound for what is absent and, in the same words, for what belongs to another
/// tenant; InvalidField; StorageFull and kUnavailable from the store.
///
/// A closed tenant (BlobCatalog::PurgeTenant) is one that does not exist: nothing is made in it.
///
/// Creates take a request id ("" for none): the same id again, with the same request, answers what
/// the first call answered; with another request it is kAlreadyExists.
class Registry {
 public:
  /// Both outlive the registry.
  Registry(RegistryStore& store, const Clock& clock) : store_(store), clock_(clock) {}

  /// Errors: kAlreadyExists.
  absl::StatusOr<v1::Model> CreateModel(const Principal& who, const ModelName& name,
                                        const v1::Model& model, const std::string& request_id);
  absl::StatusOr<v1::Model> GetModel(const Principal& who, const ModelName& name);
  absl::StatusOr<v1::ListModelsResponse> ListModels(const Principal& who, const TenantName& parent,
                                                    const PageRequest& request);

  /// Makes the next version of a model, and the model where it is absent. Numbers run 1, 2, 3...
  /// without holes. Each file's blob must have been uploaded to the tenant; sizes and the
  /// artifact's digest are filled in, and must match where they are given. A pipeline has no files:
  /// see ResolvePipeline. Output-only fields of `version` are not looked at.
  absl::StatusOr<v1::ModelVersion> CreateVersion(const Principal& who, const ModelName& model,
                                                 const v1::ModelVersion& version,
                                                 const std::string& request_id);
  absl::StatusOr<v1::ModelVersion> GetVersion(const Principal& who, const VersionName& name);
  /// The version that the alias points at now.
  absl::StatusOr<v1::ModelVersion> GetVersion(const Principal& who, const AliasName& name);
  /// Newest first.
  absl::StatusOr<v1::ListModelVersionsResponse> ListVersions(const Principal& who,
                                                             const ModelName& parent,
                                                             const PageRequest& request);

  /// Makes the alias or moves it. Errors: InvalidField("alias.version") for a version of another
  /// model or one that does not exist.
  absl::StatusOr<v1::Alias> SetAlias(const Principal& who, const AliasName& name,
                                     const VersionName& version);
  absl::StatusOr<v1::ListAliasesResponse> ListAliases(const Principal& who, const ModelName& parent,
                                                      const PageRequest& request);
  absl::Status DeleteAlias(const Principal& who, const AliasName& name);

  /// As CreateVersion for files, sizes and digest. A dataset does not change. Errors:
  /// kAlreadyExists.
  absl::StatusOr<v1::Dataset> CreateDataset(const Principal& who, const DatasetName& name,
                                            const v1::Dataset& dataset,
                                            const std::string& request_id);
  absl::StatusOr<v1::Dataset> GetDataset(const Principal& who, const DatasetName& name);
  /// `query.after` is where the first page begins; a page's token goes on from there.
  absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(const Principal& who,
                                                        const TenantName& parent,
                                                        const PageRequest& request,
                                                        DatasetQuery query = {});
  /// Its blobs stay for a while (BlobCatalog::CollectGarbage).
  absl::Status DeleteDataset(const Principal& who, const DatasetName& name);

 private:
  /// A create, as its request id knows it.
  struct Request {
    std::string tenant;
    std::string id;
    std::string method;
    std::string hash;
  };
  static absl::StatusOr<Request> MakeRequest(std::string_view tenant, const std::string& id,
                                             std::string_view method, std::string_view name,
                                             const google::protobuf::MessageLite& body);
  /// Runs `make` in a transaction, once per request id.
  template <class Message>
  absl::StatusOr<Message> Once(
      const Request& request,
      absl::FunctionRef<absl::StatusOr<Message>(RegistryTransaction&)> make);

  RegistryStore& store_;
  const Clock& clock_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_REGISTRY_H_
