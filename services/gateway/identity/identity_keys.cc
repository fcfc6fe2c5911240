// IdentityService's keys: those of tenants, and the operators' own.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/files/files.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/net/network.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "services/gateway/api/pages.h"
#include "services/gateway/identity/api_key.h"
#include "services/gateway/identity/identity_service.h"

namespace slipway::gateway {
namespace {

constexpr int kMaxAllowed = 100;
constexpr absl::Duration kDefaultOverlap = absl::Hours(24);
constexpr absl::Duration kMaxOverlap = absl::Hours(24 * 90);

absl::StatusOr<std::string> ParseAdminKeyName(const std::string& name) {
  constexpr std::string_view kPrefix = "keys/";
  if (!name.starts_with(kPrefix)) return InvalidField("name", "must have the form keys/{key}");
  std::string id = name.substr(kPrefix.size());
  RETURN_IF_ERROR(CheckSlug("name", id));
  return id;
}

template <class Request>
absl::StatusOr<absl::Duration> ReadOverlap(const Request& request) {
  if (!request.has_overlap()) return kDefaultOverlap;
  const absl::Duration overlap = ToDuration(request.overlap());
  if (overlap < absl::ZeroDuration() || overlap > kMaxOverlap) {
    return InvalidField("overlap", "must be from 0s to 90 days");
  }
  return overlap;
}

absl::StatusOr<Role> ReadRole(options::v1::Role role) {
  switch (role) {
    case options::v1::ROLE_VIEWER:
    case options::v1::ROLE_CALLER:
    case options::v1::ROLE_DEVELOPER:
    case options::v1::ROLE_OWNER:
      return static_cast<Role>(role);
    default:
      return InvalidField("role",
                          "must be one of ROLE_VIEWER, ROLE_CALLER, ROLE_DEVELOPER, ROLE_OWNER");
  }
}

absl::StatusOr<std::vector<std::string>> ReadAllowedModels(const v1::ApiKey& wanted) {
  std::vector<std::string> models(wanted.allowed_models().begin(), wanted.allowed_models().end());
  if (models.empty()) return models;
  // The other roles see and change deployments by the public API anyway.
  if (wanted.role() != options::v1::ROLE_CALLER) {
    return InvalidField("allowedModels", "goes with ROLE_CALLER only");
  }
  if (models.size() > kMaxAllowed) {
    return InvalidField("allowedModels", fmt::format("must be at most {}", kMaxAllowed));
  }
  for (const std::string& model : models) RETURN_IF_ERROR(CheckSlug("allowedModels", model));
  std::sort(models.begin(), models.end());
  models.erase(std::unique(models.begin(), models.end()), models.end());
  return models;
}

absl::StatusOr<std::vector<std::string>> ReadAllowedNetworks(const v1::ApiKey& wanted) {
  std::vector<std::string> networks(wanted.allowed_networks().begin(),
                                    wanted.allowed_networks().end());
  if (networks.size() > kMaxAllowed) {
    return InvalidField("allowedNetworks", fmt::format("must be at most {}", kMaxAllowed));
  }
  RETURN_IF_ERROR(Networks::Parse(networks, "allowedNetworks").status());
  return networks;
}

absl::StatusOr<std::string> ReadProject(const std::string& tenant, const std::string& project) {
  if (project.empty()) return std::string(kDefaultProject);
  ASSIGN_OR_RETURN(ProjectName name, ProjectName::Parse("project", project));
  // Another tenant's project reads like an absent one.
  if (name.tenant != tenant) return InvalidField("project", "was not found");
  return std::move(name.id);
}

// What tenants' and operators' keys have in common.
absl::StatusOr<KeyRecord> ReadKey(const v1::ApiKey& wanted, absl::Time now) {
  RETURN_IF_ERROR(CheckText("displayName", wanted.display_name(), kMaxDisplayName));
  if (!wanted.secret().empty()) return InvalidField("secret", "is made by the platform");
  KeyRecord key;
  key.display_name = wanted.display_name();
  ASSIGN_OR_RETURN(key.allowed_networks, ReadAllowedNetworks(wanted));
  key.create_time = now;
  if (wanted.has_expire_time()) {
    key.expire_time = FromTimestamp(wanted.expire_time());
    if (*key.expire_time <= now) return InvalidField("expireTime", "must be in the future");
  }
  return key;
}

SecretCode CodeOf(const Peppers& peppers, const Secret& text) {
  return {.pepper_version = peppers.newest(), .mac = *peppers.Mac(peppers.newest(), text.Reveal())};
}

}  // namespace

void IdentityService::AddKeysTo(LocalMethods& methods) {
  const std::string keys = "slipway.gateway.v1.ApiKeyService/";
  methods.Add<v1::CreateApiKeyRequest, v1::ApiKey>(
      keys + "CreateApiKey",
      [this](const Principal& who, const auto& request) { return CreateApiKey(who, request); });
  methods.Add<v1::GetApiKeyRequest, v1::ApiKey>(
      keys + "GetApiKey",
      [this](const Principal&, const auto& request) { return GetApiKey(request); });
  methods.Add<v1::ListApiKeysRequest, v1::ListApiKeysResponse>(
      keys + "ListApiKeys",
      [this](const Principal&, const auto& request) { return ListApiKeys(request); });
  methods.Add<v1::RotateApiKeyRequest, v1::ApiKey>(
      keys + "RotateApiKey",
      [this](const Principal&, const auto& request) { return RotateApiKey(request); });
  methods.Add<v1::RevokeApiKeyRequest, v1::ApiKey>(
      keys + "RevokeApiKey",
      [this](const Principal&, const auto& request) { return RevokeApiKey(request); });
  const std::string admin = "slipway.gateway.v1.AdminKeyService/";
  methods.Add<v1::CreateAdminKeyRequest, v1::ApiKey>(
      admin + "CreateAdminKey",
      [this](const Principal&, const auto& request) { return CreateAdminKey(request); });
  methods.Add<v1::GetAdminKeyRequest, v1::ApiKey>(
      admin + "GetAdminKey",
      [this](const Principal&, const auto& request) { return GetAdminKey(request); });
  methods.Add<v1::ListAdminKeysRequest, v1::ListAdminKeysResponse>(
      admin + "ListAdminKeys",
      [this](const Principal&, const auto& request) { return ListAdminKeys(request); });
  methods.Add<v1::RotateAdminKeyRequest, v1::ApiKey>(
      admin + "RotateAdminKey",
      [this](const Principal&, const auto& request) { return RotateAdminKey(request); });
  methods.Add<v1::RevokeAdminKeyRequest, v1::ApiKey>(
      admin + "RevokeAdminKey",
      [this](const Principal&, const auto& request) { return RevokeAdminKey(request); });
}

absl::StatusOr<v1::ApiKey> IdentityService::CreateApiKey(const Principal& who,
                                                         const v1::CreateApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  const v1::ApiKey& wanted = request.api_key();
  ASSIGN_OR_RETURN(KeyRecord key, ReadKey(wanted, clock_.Now()));
  key.tenant = tenant.tenant;
  ASSIGN_OR_RETURN(key.role, ReadRole(wanted.role()));
  if (!Includes(who.role, key.role)) {
    return absl::PermissionDeniedError("a key cannot make one that may do more than itself");
  }
  ASSIGN_OR_RETURN(key.allowed_models, ReadAllowedModels(wanted));
  ASSIGN_OR_RETURN(key.project, ReadProject(tenant.tenant, wanted.project()));
  return StoreNew(std::move(key));
}

absl::StatusOr<v1::ApiKey> IdentityService::CreateAdminKey(
    const v1::CreateAdminKeyRequest& request) {
  const v1::ApiKey& wanted = request.admin_key();
  ASSIGN_OR_RETURN(KeyRecord key, ReadKey(wanted, clock_.Now()));
  if (wanted.role() != options::v1::ROLE_UNSPECIFIED &&
      wanted.role() != options::v1::ROLE_OPERATOR) {
    return InvalidField("role", "of an admin key is ROLE_OPERATOR");
  }
  if (wanted.allowed_models_size() > 0) return InvalidField("allowedModels", "is a tenant's");
  if (!wanted.project().empty()) return InvalidField("project", "is a tenant's");
  key.role = Role::kOperator;
  return StoreNew(std::move(key));
}

absl::StatusOr<v1::ApiKey> IdentityService::StoreNew(KeyRecord key) {
  NewApiKey made = MakeApiKey(environment_);
  key.id = made.id;
  key.code = CodeOf(peppers_, made.text);
  RETURN_IF_ERROR(store_.CreateKey(key));
  // The key is made, and its text told only here: this replica will know it with its next read.
  feed_.Refresh().IgnoreError();
  v1::ApiKey out = ToProto(key);
  out.set_secret(std::string(made.text.Reveal()));
  return out;
}

absl::StatusOr<v1::ApiKey> IdentityService::GetApiKey(const v1::GetApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, KeyName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const KeyRecord key, store_.GetKey(name.tenant, name.id));
  return ToProto(key);
}

absl::StatusOr<v1::ApiKey> IdentityService::GetAdminKey(const v1::GetAdminKeyRequest& request) {
  ASSIGN_OR_RETURN(const std::string id, ParseAdminKeyName(request.name()));
  ASSIGN_OR_RETURN(const KeyRecord key, store_.GetKey("", id));
  return ToProto(key);
}

absl::StatusOr<v1::ListApiKeysResponse> IdentityService::ListApiKeys(
    const v1::ListApiKeysRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(auto keys, store_.ListKeys(tenant.tenant, page.after, page.size + 1));
  v1::ListApiKeysResponse response;
  page.Fill(
      std::move(keys), response,
      [&](const KeyRecord& key) { *response.add_api_keys() = ToProto(key); },
      [](const KeyRecord& key) { return key.id; });
  return response;
}

absl::StatusOr<v1::ListAdminKeysResponse> IdentityService::ListAdminKeys(
    const v1::ListAdminKeysRequest& request) {
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(auto keys, store_.ListKeys("", page.after, page.size + 1));
  v1::ListAdminKeysResponse response;
  page.Fill(
      std::move(keys), response,
      [&](const KeyRecord& key) { *response.add_admin_keys() = ToProto(key); },
      [](const KeyRecord& key) { return key.id; });
  return response;
}

absl::StatusOr<v1::ApiKey> IdentityService::RotateApiKey(const v1::RotateApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, KeyName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const absl::Duration overlap, ReadOverlap(request));
  return Rotate(name.tenant, name.id, overlap);
}

absl::StatusOr<v1::ApiKey> IdentityService::RotateAdminKey(
    const v1::RotateAdminKeyRequest& request) {
  ASSIGN_OR_RETURN(const std::string id, ParseAdminKeyName(request.name()));
  ASSIGN_OR_RETURN(const absl::Duration overlap, ReadOverlap(request));
  return Rotate("", id, overlap);
}

absl::StatusOr<v1::ApiKey> IdentityService::Rotate(const std::string& tenant, const std::string& id,
                                                   absl::Duration overlap) {
  const Secret text = MakeKeyText(environment_, id);
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const KeyRecord key,
                   store_.RotateKey(tenant, id, CodeOf(peppers_, text), now + overlap, now));
  feed_.Refresh().IgnoreError();  // as in StoreNew
  v1::ApiKey out = ToProto(key);
  out.set_secret(std::string(text.Reveal()));
  return out;
}

absl::StatusOr<v1::ApiKey> IdentityService::RevokeApiKey(const v1::RevokeApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, KeyName::Parse("name", request.name()));
  return Revoke(name.tenant, name.id);
}

absl::StatusOr<v1::ApiKey> IdentityService::RevokeAdminKey(
    const v1::RevokeAdminKeyRequest& request) {
  ASSIGN_OR_RETURN(const std::string id, ParseAdminKeyName(request.name()));
  return Revoke("", id);
}

absl::StatusOr<v1::ApiKey> IdentityService::Revoke(const std::string& tenant,
                                                   const std::string& id) {
  ASSIGN_OR_RETURN(const KeyRecord key, store_.RevokeKey(tenant, id, clock_.Now()));
  RETURN_IF_ERROR(feed_.Refresh());
  return ToProto(key);
}

v1::ApiKey IdentityService::ToProto(const KeyRecord& key) const {
  const absl::Time now = clock_.Now();
  v1::ApiKey out;
  if (key.tenant.empty()) {
    out.set_name("keys/" + key.id);
  } else {
    out.set_name(KeyName{key.tenant, key.id}.ToString());
    out.set_project(ProjectName{key.tenant, key.project}.ToString());
  }
  out.set_display_name(key.display_name);
  out.set_role(static_cast<options::v1::Role>(key.role));
  for (const std::string& model : key.allowed_models) out.add_allowed_models(model);
  for (const std::string& network : key.allowed_networks) out.add_allowed_networks(network);
  *out.mutable_create_time() = ToTimestamp(key.create_time);
  if (key.expire_time) *out.mutable_expire_time() = ToTimestamp(*key.expire_time);
  if (key.rotate_time) *out.mutable_rotate_time() = ToTimestamp(*key.rotate_time);
  if (key.overlap_end && *key.overlap_end > now) {
    *out.mutable_overlap_end_time() = ToTimestamp(*key.overlap_end);
  }
  out.set_state(key.revoke_time                              ? v1::ApiKey::REVOKED
                : key.expire_time && *key.expire_time <= now ? v1::ApiKey::EXPIRED
                                                             : v1::ApiKey::ACTIVE);
  return out;
}

OperatorKey MakeOperatorKey(const Peppers& peppers, const std::string& environment,
                            std::string_view display_name, absl::Time now) {
  NewApiKey made = MakeApiKey(environment);
  OperatorKey key;
  key.record.id = made.id;
  key.record.display_name = display_name;
  key.record.role = Role::kOperator;
  key.record.code = CodeOf(peppers, made.text);
  key.record.create_time = now;
  key.text = std::move(made.text);
  return key;
}

absl::StatusOr<bool> CreateFirstOperatorKey(SqlIdentityStore& store, const Peppers& peppers,
                                            const std::string& environment, const std::string& file,
                                            absl::Time now) {
  ASSIGN_OR_RETURN(const bool has_keys, store.HasKeys());
  if (has_keys) return false;
  const OperatorKey key = MakeOperatorKey(peppers, environment, "first operator key", now);
  // Into a file of its own until the database has it: where another replica came first, this
  // key is nobody's.
  const std::string unused = file + ".new";
  RETURN_IF_ERROR(WriteFileAtomically(unused, key.text.Reveal(), 0600));
  const absl::StatusOr<bool> made = store.CreateFirstOperatorKey(key.record);
  if (!made.ok() || !*made) {
    ::unlink(unused.c_str());
    return made;
  }
  if (::rename(unused.c_str(), file.c_str()) != 0) {
    return FromErrno(errno, "cannot hand over the operator's key in", file);
  }
  RETURN_IF_ERROR(SyncFolder(file.substr(0, file.rfind('/'))));
  Log(Severity::kInfo, "operator_key_created", {{"key", key.record.id}});
  return true;
}

}  // namespace slipway::gateway
