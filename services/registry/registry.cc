#include "services/registry/registry.h"

#include <charconv>
#include <limits>
#include <utility>

#include "common/crypto/hash.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "services/registry/checks.h"
#include "services/registry/pipeline_version.h"

namespace slipway::registry {
namespace {

/// `name` is the resource as the caller gave it.
absl::Status CheckAccess(const Principal& who, std::string_view tenant, const std::string& name) {
  return who.MayAccess(tenant) ? absl::OkStatus() : NotFound(name);
}

absl::Status AlreadyThere(const std::string& name) {
  return absl::AlreadyExistsError(fmt::format("{} exists already", name));
}

v1::ModelVersion::Origin OriginOf(const Principal& who) {
  if (who.caller == ServiceId::kTraining) return v1::ModelVersion::TRAINED;
  return who.role == Role::kOperator ? v1::ModelVersion::IMPORTED : v1::ModelVersion::UPLOADED;
}

/// Every file's blob is there and has the size that was given; fills sizes in. Returns their sum.
absl::StatusOr<int64_t> TakeFiles(RegistryTransaction& tx, std::string_view field,
                                  std::string_view tenant, Files& files) {
  int64_t total = 0;
  for (int i = 0; i < files.size(); ++i) {
    v1::File& file = files[i];
    const std::string here = fmt::format("{}.files[{}]", field, i);
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(here + ".digest", file.digest()));
    ASSIGN_OR_RETURN(const std::optional<int64_t> size, tx.FindBlobSize(tenant, digest));
    if (!size.has_value()) {
      return InvalidField(here + ".digest", fmt::format("no blob {} was uploaded to tenants/{}",
                                                        digest.ToString(), tenant));
    }
    if (file.size_bytes() != 0 && file.size_bytes() != *size) {
      return InvalidField(here + ".size_bytes",
                          fmt::format("is {}, but the blob has {}", file.size_bytes(), *size));
    }
    file.set_size_bytes(*size);
    total += *size;
  }
  return total;
}

/// Cuts the row that was read beyond the page, and names the page that begins there.
template <class Rows, class Key>
std::string FinishPage(std::string_view list, const Page& page, Rows& rows, const Key& key) {
  if (rows.size() <= static_cast<size_t>(page.size)) return "";
  rows.resize(page.size);
  return MakePageToken(list, key(rows.back()));
}

/// The last segment of a resource name.
std::string IdOf(const std::string& name) { return name.substr(name.rfind('/') + 1); }

template <class Rows, class Repeated>
void MoveInto(Rows&& rows, Repeated* repeated) {
  for (auto& row : rows) *repeated->Add() = std::move(row);
}

}  // namespace

absl::StatusOr<Registry::Request> Registry::MakeRequest(std::string_view tenant,
                                                        const std::string& id,
                                                        std::string_view method,
                                                        std::string_view name,
                                                        const google::protobuf::MessageLite& body) {
  RETURN_IF_ERROR(CheckRequestId(id));
  Request request{std::string(tenant), id, std::string(method), ""};
  if (!id.empty()) request.hash = Sha256Hex(fmt::format("{}\n{}", name, Serialize(body)));
  return request;
}

template <class Message>
absl::StatusOr<Message> Registry::Once(
    const Request& request, absl::FunctionRef<absl::StatusOr<Message>(RegistryTransaction&)> make) {
  Message answer;
  RETURN_IF_ERROR(store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(CheckOpen(tx, request.tenant));
    if (request.id.empty()) {
      ASSIGN_OR_RETURN(answer, make(tx));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<StoredRequest> earlier,
                     tx.FindRequest(request.tenant, request.id));
    if (earlier.has_value()) {
      if (earlier->method != request.method || earlier->hash != request.hash) {
        return absl::AlreadyExistsError(
            fmt::format("request_id: \"{}\" was used for another request", request.id));
      }
      if (!answer.ParseFromString(earlier->answer)) {
        return absl::DataLossError("the answer kept under a request id cannot be read");
      }
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(answer, make(tx));
    return tx.InsertRequest({request.tenant, request.id, request.method, request.hash,
                             Serialize(answer), clock_.Now()});
  }));
  return answer;
}

absl::StatusOr<v1::Model> Registry::CreateModel(const Principal& who, const ModelName& name,
                                                const v1::Model& model,
                                                const std::string& request_id) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, TenantName{name.tenant}.ToString()));
  RETURN_IF_ERROR(CheckText("model.description", model.description(), kMaxDescriptionBytes));
  v1::Model written;
  written.set_description(model.description());
  ASSIGN_OR_RETURN(const Request request,
                   MakeRequest(name.tenant, request_id, "CreateModel", name.ToString(), written));
  return Once<v1::Model>(request, [&](RegistryTransaction& tx) -> absl::StatusOr<v1::Model> {
    ASSIGN_OR_RETURN(const auto existing, tx.FindModel(name));
    if (existing.has_value()) return AlreadyThere(name.ToString());
    v1::Model made = written;
    made.set_name(name.ToString());
    *made.mutable_create_time() = ToTimestamp(clock_.Now());
    RETURN_IF_ERROR(tx.InsertModel(name, made));
    return made;
  });
}

absl::StatusOr<v1::Model> Registry::GetModel(const Principal& who, const ModelName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  std::optional<v1::Model> model;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(model, tx.FindModel(name));
    return absl::OkStatus();
  }));
  if (!model.has_value()) return NotFound(name.ToString());
  return *std::move(model);
}

absl::StatusOr<v1::ListModelsResponse> Registry::ListModels(const Principal& who,
                                                            const TenantName& parent,
                                                            const PageRequest& request) {
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, parent.ToString()));
  const std::string list = parent.ToString() + "/models";
  ASSIGN_OR_RETURN(const Page page, ParsePage(list, request));
  std::vector<v1::Model> models;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(models, tx.ListModels(parent.tenant, page.after, page.size + 1));
    return absl::OkStatus();
  }));
  v1::ListModelsResponse response;
  response.set_next_page_token(
      FinishPage(list, page, models, [](const v1::Model& model) { return IdOf(model.name()); }));
  MoveInto(std::move(models), response.mutable_models());
  return response;
}

absl::StatusOr<v1::ModelVersion> Registry::CreateVersion(const Principal& who,
                                                         const ModelName& model,
                                                         const v1::ModelVersion& version,
                                                         const std::string& request_id) {
  RETURN_IF_ERROR(CheckAccess(who, model.tenant, model.ToString()));
  RETURN_IF_ERROR(CheckVersion("model_version", model.tenant, version));
  v1::ModelVersion written = version;
  written.clear_name();
  written.clear_create_time();
  written.clear_origin();
  ASSIGN_OR_RETURN(const Request request, MakeRequest(model.tenant, request_id, "CreateVersion",
                                                      model.ToString(), written));
  return Once<v1::ModelVersion>(
      request, [&](RegistryTransaction& tx) -> absl::StatusOr<v1::ModelVersion> {
        v1::ModelVersion made = written;
        made.set_origin(OriginOf(who));
        if (made.has_pipeline()) {
          RETURN_IF_ERROR(ResolvePipeline(tx, model.tenant, "model_version", made));
        } else {
          RETURN_IF_ERROR(TakeFiles(tx, "model_version.artifact", model.tenant,
                                    *made.mutable_artifact()->mutable_files())
                              .status());
          made.mutable_artifact()->set_digest(DigestOf(made.artifact().files()));
        }
        *made.mutable_create_time() = ToTimestamp(clock_.Now());

        ASSIGN_OR_RETURN(std::optional<v1::Model> parent, tx.FindModel(model));
        if (!parent.has_value()) {
          parent.emplace().set_name(model.ToString());
          *parent->mutable_create_time() = made.create_time();
          RETURN_IF_ERROR(tx.InsertModel(model, *parent));
        }
        const VersionName name{model, parent->latest_version() + 1};
        made.set_name(name.ToString());
        // First the row that every version of the model changes: two that are made at the same
        // time conflict there, and one begins again, before both would insert the same number.
        RETURN_IF_ERROR(tx.SetLatestVersion(model, name.number));
        RETURN_IF_ERROR(tx.InsertVersion(name, made));
        return made;
      });
}

absl::StatusOr<v1::ModelVersion> Registry::GetVersion(const Principal& who,
                                                      const VersionName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.model.tenant, name.ToString()));
  std::optional<v1::ModelVersion> version;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(version, tx.FindVersion(name));
    return absl::OkStatus();
  }));
  if (!version.has_value()) return NotFound(name.ToString());
  return *std::move(version);
}

absl::StatusOr<v1::ModelVersion> Registry::GetVersion(const Principal& who, const AliasName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.model.tenant, name.ToString()));
  std::optional<v1::ModelVersion> version;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    version.reset();
    ASSIGN_OR_RETURN(const std::optional<v1::Alias> alias, tx.FindAlias(name));
    if (!alias.has_value()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const VersionName target, VersionName::Parse("version", alias->version()));
    ASSIGN_OR_RETURN(version, tx.FindVersion(target));
    return absl::OkStatus();
  }));
  if (!version.has_value()) return NotFound(name.ToString());
  return *std::move(version);
}

absl::StatusOr<v1::ListModelVersionsResponse> Registry::ListVersions(const Principal& who,
                                                                     const ModelName& parent,
                                                                     const PageRequest& request) {
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, parent.ToString()));
  const std::string list = parent.ToString() + "/versions";
  ASSIGN_OR_RETURN(const Page page, ParsePage(list, request));
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!page.after.empty()) {
    const char* end = page.after.data() + page.after.size();
    if (const auto [stop, error] = std::from_chars(page.after.data(), end, before);
        error != std::errc() || stop != end) {
      return InvalidField("page_token", "is no token of this list");
    }
  }
  std::vector<v1::ModelVersion> versions;
  bool found = false;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto model, tx.FindModel(parent));
    found = model.has_value();
    ASSIGN_OR_RETURN(versions, tx.ListVersions(parent, before, page.size + 1));
    return absl::OkStatus();
  }));
  if (!found) return NotFound(parent.ToString());
  v1::ListModelVersionsResponse response;
  response.set_next_page_token(FinishPage(
      list, page, versions, [](const v1::ModelVersion& version) { return IdOf(version.name()); }));
  MoveInto(std::move(versions), response.mutable_model_versions());
  return response;
}

absl::StatusOr<v1::Alias> Registry::SetAlias(const Principal& who, const AliasName& name,
                                             const VersionName& version) {
  RETURN_IF_ERROR(CheckAccess(who, name.model.tenant, name.ToString()));
  if (version.model != name.model) {
    return InvalidField("alias.version",
                        fmt::format("must be a version of {}", name.model.ToString()));
  }
  const absl::Time now = clock_.Now();
  RETURN_IF_ERROR(store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto target, tx.FindVersion(version));
    if (!target.has_value()) {
      return InvalidField("alias.version", fmt::format("{} was not found", version.ToString()));
    }
    return tx.PutAlias(name, version.number, now);
  }));
  v1::Alias alias;
  alias.set_name(name.ToString());
  alias.set_version(version.ToString());
  *alias.mutable_update_time() = ToTimestamp(now);
  return alias;
}

absl::StatusOr<v1::ListAliasesResponse> Registry::ListAliases(const Principal& who,
                                                              const ModelName& parent,
                                                              const PageRequest& request) {
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, parent.ToString()));
  const std::string list = parent.ToString() + "/aliases";
  ASSIGN_OR_RETURN(const Page page, ParsePage(list, request));
  std::vector<v1::Alias> aliases;
  bool found = false;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto model, tx.FindModel(parent));
    found = model.has_value();
    ASSIGN_OR_RETURN(aliases, tx.ListAliases(parent, page.after, page.size + 1));
    return absl::OkStatus();
  }));
  if (!found) return NotFound(parent.ToString());
  v1::ListAliasesResponse response;
  response.set_next_page_token(
      FinishPage(list, page, aliases, [](const v1::Alias& alias) { return IdOf(alias.name()); }));
  MoveInto(std::move(aliases), response.mutable_aliases());
  return response;
}

absl::Status Registry::DeleteAlias(const Principal& who, const AliasName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.model.tenant, name.ToString()));
  return store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const bool deleted, tx.DeleteAlias(name));
    return deleted ? absl::OkStatus() : NotFound(name.ToString());
  });
}

absl::StatusOr<v1::Dataset> Registry::CreateDataset(const Principal& who, const DatasetName& name,
                                                    const v1::Dataset& dataset,
                                                    const std::string& request_id) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, TenantName{name.tenant}.ToString()));
  RETURN_IF_ERROR(CheckText("dataset.description", dataset.description(), kMaxDescriptionBytes));
  RETURN_IF_ERROR(CheckFiles("dataset", dataset.files()));
  RETURN_IF_ERROR(CheckPurpose("dataset", dataset));
  const std::string digest = DigestOf(dataset.files());
  if (!dataset.digest().empty() && dataset.digest() != digest) {
    return InvalidField("dataset.digest", fmt::format("is {}, but the files have {}",
                                                      dataset.digest().substr(0, 80), digest));
  }
  v1::Dataset written = dataset;
  written.clear_name();
  written.clear_create_time();
  written.clear_size_bytes();
  ASSIGN_OR_RETURN(const Request request,
                   MakeRequest(name.tenant, request_id, "CreateDataset", name.ToString(), written));
  return Once<v1::Dataset>(request, [&](RegistryTransaction& tx) -> absl::StatusOr<v1::Dataset> {
    ASSIGN_OR_RETURN(const auto existing, tx.FindDataset(name));
    if (existing.has_value()) return AlreadyThere(name.ToString());
    v1::Dataset made = written;
    ASSIGN_OR_RETURN(const int64_t size,
                     TakeFiles(tx, "dataset", name.tenant, *made.mutable_files()));
    made.set_name(name.ToString());
    made.set_digest(digest);
    made.set_size_bytes(size);
    *made.mutable_create_time() = ToTimestamp(clock_.Now());
    RETURN_IF_ERROR(tx.InsertDataset(name, made));
    return made;
  });
}

absl::StatusOr<v1::Dataset> Registry::GetDataset(const Principal& who, const DatasetName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  std::optional<v1::Dataset> dataset;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(dataset, tx.FindDataset(name));
    return absl::OkStatus();
  }));
  if (!dataset.has_value()) return NotFound(name.ToString());
  return *std::move(dataset);
}

absl::StatusOr<v1::ListDatasetsResponse> Registry::ListDatasets(const Principal& who,
                                                                const TenantName& parent,
                                                                const PageRequest& request,
                                                                DatasetQuery query) {
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, parent.ToString()));
  const std::string list = parent.ToString() + "/datasets";
  ASSIGN_OR_RETURN(const Page page, ParsePage(list, request));
  RETURN_IF_ERROR(CheckText("purpose", query.purpose, kMaxLabelBytes));
  RETURN_IF_ERROR(CheckText("after", query.after, kMaxLabelBytes));
  if (!page.after.empty()) query.after = page.after;
  std::vector<v1::Dataset> datasets;
  RETURN_IF_ERROR(store_.Read([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(datasets, tx.ListDatasets(parent.tenant, query, page.size + 1));
    return absl::OkStatus();
  }));
  v1::ListDatasetsResponse response;
  response.set_next_page_token(FinishPage(
      list, page, datasets, [](const v1::Dataset& dataset) { return IdOf(dataset.name()); }));
  MoveInto(std::move(datasets), response.mutable_datasets());
  return response;
}

absl::Status Registry::DeleteDataset(const Principal& who, const DatasetName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  return store_.Write([&](RegistryTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const bool deleted, tx.DeleteDataset(name, clock_.Now()));
    return deleted ? absl::OkStatus() : NotFound(name.ToString());
  });
}

}  // namespace slipway::registry
