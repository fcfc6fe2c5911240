#include "services/gateway/identity/identity_service.h"

#include <unistd.h>

#include <utility>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/api/pages.h"
#include "services/gateway/identity/api_key.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

constexpr size_t kMaxDisplayName = 200;
constexpr size_t kMaxRequestId = 128;

absl::Status CheckText(std::string_view field, std::string_view text, size_t max) {
  if (text.size() <= max) return absl::OkStatus();
  return InvalidField(field, fmt::format("must have at most {} bytes, has {}", max, text.size()));
}

v1::Tenant ToProto(const TenantRecord& tenant) {
  v1::Tenant out;
  out.set_name(TenantName{tenant.id}.ToString());
  out.set_display_name(tenant.display_name);
  out.set_state(tenant.suspended ? v1::Tenant::SUSPENDED : v1::Tenant::ACTIVE);
  *out.mutable_create_time() =
      TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(tenant.create_time));
  return out;
}

}  // namespace

IdentityService::IdentityService(SqlIdentityStore& store, KeyFeed& feed, const Peppers& peppers,
                                 std::string environment, const Clock& clock)
    : store_(store),
      feed_(feed),
      peppers_(peppers),
      environment_(std::move(environment)),
      clock_(clock) {}

void IdentityService::AddTo(LocalMethods& methods) {
  const std::string tenants = "slipway.gateway.v1.TenantService/";
  methods.Add<v1::CreateTenantRequest, v1::Tenant>(
      tenants + "CreateTenant",
      [this](const Principal&, const auto& request) { return CreateTenant(request); });
  methods.Add<v1::GetTenantRequest, v1::Tenant>(
      tenants + "GetTenant",
      [this](const Principal&, const auto& request) { return GetTenant(request); });
  methods.Add<v1::ListTenantsRequest, v1::ListTenantsResponse>(
      tenants + "ListTenants",
      [this](const Principal&, const auto& request) { return ListTenants(request); });
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
  methods.Add<v1::RevokeApiKeyRequest, v1::ApiKey>(
      keys + "RevokeApiKey",
      [this](const Principal&, const auto& request) { return RevokeApiKey(request); });
}

absl::StatusOr<v1::Tenant> IdentityService::CreateTenant(const v1::CreateTenantRequest& request) {
  RETURN_IF_ERROR(CheckSlug("tenantId", request.tenant_id()));
  RETURN_IF_ERROR(CheckText("displayName", request.tenant().display_name(), kMaxDisplayName));
  RETURN_IF_ERROR(CheckText("requestId", request.request_id(), kMaxRequestId));
  TenantRecord tenant{.id = request.tenant_id(),
                      .display_name = request.tenant().display_name(),
                      .suspended = false,
                      .create_time = clock_.Now()};
  const std::string hash =
      Sha256Hex(fmt::format("{}\n{}", request.tenant_id(), request.tenant().display_name()));
  ASSIGN_OR_RETURN(tenant, store_.CreateTenant(tenant, request.request_id(), hash));
  RETURN_IF_ERROR(feed_.Refresh());
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::Tenant> IdentityService::GetTenant(const v1::GetTenantRequest& request) {
  ASSIGN_OR_RETURN(const TenantName name, TenantName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const TenantRecord tenant, store_.GetTenant(name.tenant));
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::ListTenantsResponse> IdentityService::ListTenants(
    const v1::ListTenantsRequest& request) {
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(const auto tenants, store_.ListTenants(page.after, page.size + 1));
  v1::ListTenantsResponse response;
  for (const TenantRecord& tenant : tenants) {
    if (response.tenants_size() == page.size) {
      response.set_next_page_token(Page::Token(tenants[page.size - 1].id));
      break;
    }
    *response.add_tenants() = gateway::ToProto(tenant);
  }
  return response;
}

absl::StatusOr<v1::ApiKey> IdentityService::CreateApiKey(const Principal& who,
                                                         const v1::CreateApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  const v1::ApiKey& wanted = request.api_key();
  RETURN_IF_ERROR(CheckText("displayName", wanted.display_name(), kMaxDisplayName));
  if (!wanted.secret().empty()) return InvalidField("secret", "is made by the platform");
  switch (wanted.role()) {
    case options::v1::ROLE_VIEWER:
    case options::v1::ROLE_CALLER:
    case options::v1::ROLE_DEVELOPER:
    case options::v1::ROLE_OWNER:
      break;
    default:
      return InvalidField("role",
                          "must be one of ROLE_VIEWER, ROLE_CALLER, ROLE_DEVELOPER, ROLE_OWNER");
  }
  const Role role = static_cast<Role>(wanted.role());
  if (!Includes(who.role, role)) {
    return absl::PermissionDeniedError("a key cannot make one that may do more than itself");
  }
  const absl::Time now = clock_.Now();
  NewApiKey made = MakeApiKey(environment_);
  KeyRecord key{.id = made.id,
                .tenant = tenant.tenant,
                .display_name = wanted.display_name(),
                .role = role,
                .pepper_version = peppers_.newest(),
                .mac = *peppers_.Mac(peppers_.newest(), made.text.Reveal()),
                .create_time = now,
                .expire_time = std::nullopt,
                .revoke_time = std::nullopt};
  if (wanted.has_expire_time()) {
    key.expire_time = absl::FromUnixMicros(TimeUtil::TimestampToMicroseconds(wanted.expire_time()));
    if (*key.expire_time <= now) return InvalidField("expireTime", "must be in the future");
  }
  RETURN_IF_ERROR(store_.CreateKey(key));
  RETURN_IF_ERROR(feed_.Refresh());
  v1::ApiKey out = ToProto(key);
  out.set_secret(std::string(made.text.Reveal()));
  return out;
}

absl::StatusOr<v1::ApiKey> IdentityService::GetApiKey(const v1::GetApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, KeyName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const KeyRecord key, store_.GetKey(name.tenant, name.id));
  return ToProto(key);
}

absl::StatusOr<v1::ListApiKeysResponse> IdentityService::ListApiKeys(
    const v1::ListApiKeysRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(const auto keys, store_.ListKeys(tenant.tenant, page.after, page.size + 1));
  v1::ListApiKeysResponse response;
  for (const KeyRecord& key : keys) {
    if (response.api_keys_size() == page.size) {
      response.set_next_page_token(Page::Token(keys[page.size - 1].id));
      break;
    }
    *response.add_api_keys() = ToProto(key);
  }
  return response;
}

absl::StatusOr<v1::ApiKey> IdentityService::RevokeApiKey(const v1::RevokeApiKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, KeyName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const KeyRecord key, store_.RevokeKey(name.tenant, name.id, clock_.Now()));
  RETURN_IF_ERROR(feed_.Refresh());
  return ToProto(key);
}

v1::ApiKey IdentityService::ToProto(const KeyRecord& key) const {
  v1::ApiKey out;
  out.set_name(KeyName{key.tenant, key.id}.ToString());
  out.set_display_name(key.display_name);
  out.set_role(static_cast<options::v1::Role>(key.role));
  *out.mutable_create_time() =
      TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(key.create_time));
  if (key.expire_time) {
    *out.mutable_expire_time() =
        TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(*key.expire_time));
  }
  out.set_state(key.revoke_time                                       ? v1::ApiKey::REVOKED
                : key.expire_time && *key.expire_time <= clock_.Now() ? v1::ApiKey::EXPIRED
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
  key.record.pepper_version = peppers.newest();
  key.record.mac = *peppers.Mac(peppers.newest(), made.text.Reveal());
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
