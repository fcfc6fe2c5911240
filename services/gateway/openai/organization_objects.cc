#include "services/gateway/openai/organization_objects.h"

#include <map>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/gateway/openai/objects.h"

namespace slipway::gateway::openai {
namespace {

using nlohmann::json;

json SecondsOrNull(bool has, const google::protobuf::Timestamp& time) {
  return has ? json(time.seconds()) : json(nullptr);
}

template <class Named>
std::string TitleOf(const Named& object) {
  return object.display_name().empty() ? IdOf(object.name()) : object.display_name();
}

// What all that is said of a key begins with.
json KeyObject(const v1::ApiKey& key, std::string_view object) {
  const std::string id = IdOf(key.name());
  return {{"id", id},
          {"object", object},
          {"name", TitleOf(key)},
          {"created_at", key.create_time().seconds()},
          {"expires_at", SecondsOrNull(key.has_expire_time(), key.expire_time())},
          {"last_used_at", nullptr},
          {"redacted_value", fmt::format("slw_..._{}_...", id)}};
}

json Account(const v1::ApiKey& key, std::string_view object) {
  return {{"id", IdOf(key.name())},
          {"object", object},
          {"name", TitleOf(key)},
          {"role", key.role() >= options::v1::ROLE_OWNER ? "owner" : "member"},
          {"created_at", key.create_time().seconds()}};
}

// OpenAI's name of what a method does; empty where it has none.
std::string_view EventType(std::string_view method) {
  static const std::map<std::string_view, std::string_view> names = {
      {"AdminKeyService/CreateAdminKey", "api_key.created"},
      {"AdminKeyService/RevokeAdminKey", "api_key.deleted"},
      {"AdminKeyService/RotateAdminKey", "api_key.updated"},
      {"ApiKeyService/CreateApiKey", "api_key.created"},
      {"ApiKeyService/RevokeApiKey", "api_key.deleted"},
      {"ApiKeyService/RotateApiKey", "api_key.updated"},
      {"LimitService/SetTenantLimits", "rate_limit.updated"},
      {"ProjectService/ArchiveProject", "project.archived"},
      {"ProjectService/CreateProject", "project.created"},
      {"TenantService/UpdateTenant", "organization.updated"}};
  const auto found = names.find(method);
  return found == names.end() ? "" : found->second;
}

}  // namespace

json ProjectObject(const v1::Project& project) {
  return {{"id", IdOf(project.name())},
          {"object", "organization.project"},
          {"name", TitleOf(project)},
          {"created_at", project.create_time().seconds()},
          {"archived_at", SecondsOrNull(project.has_archive_time(), project.archive_time())},
          {"status", project.state() == v1::Project::ARCHIVED ? "archived" : "active"}};
}

json ServiceAccountObject(const v1::ApiKey& key) {
  json account = Account(key, "organization.project.service_account");
  if (!key.secret().empty()) {
    account["api_key"] = KeyObject(key, "organization.project.service_account.api_key");
    account["api_key"]["value"] = key.secret();
  }
  return account;
}

json ProjectKeyObject(const v1::ApiKey& key) {
  json object = KeyObject(key, "organization.project.api_key");
  object["owner"] = {{"type", "service_account"},
                     {"service_account", Account(key, "organization.project.service_account")}};
  object["owner_project_access"] = key.state() == v1::ApiKey::ACTIVE ? "active" : "inactive";
  return object;
}

json AdminKeyObject(const v1::ApiKey& key) {
  json object = KeyObject(key, "organization.admin_api_key");
  object["owner"] = Account(key, "organization.service_account");
  object["owner"]["type"] = "service_account";
  if (!key.secret().empty()) object["value"] = key.secret();
  return object;
}

json RateLimitObject(const v1::Limits& limits) {
  const auto or_null = [](int64_t limit) { return limit == 0 ? json(nullptr) : json(limit); };
  return {{"id", kTenantRateLimit},
          {"object", "project.rate_limit"},
          {"model", "*"},
          {"max_requests_per_1_minute", or_null(limits.requests_per_minute())},
          {"max_tokens_per_1_minute", or_null(limits.tokens_per_minute())}};
}

json AuditLogObject(const v1::AuditRecord& record) {
  constexpr std::string_view kPackage = "slipway.gateway.v1.";
  std::string_view method = record.method();
  if (method.starts_with(kPackage)) method.remove_prefix(kPackage.size());
  json object = {{"id", record.id()},
                 {"type", method},
                 {"effective_at", record.time().seconds()},
                 {"actor",
                  {{"type", "api_key"},
                   {"api_key",
                    {{"id", record.key_id()},
                     {"type", "service_account"},
                     {"service_account", {{"id", record.key_id()}}}}}}},
                 {"slipway",
                  {{"method", record.method()},
                   {"resource", record.resource()},
                   {"peer_address", record.peer_address()},
                   {"request_id", record.request_id()},
                   {"http_code", record.http_code()}}}};
  const std::string_view type = EventType(method);
  if (record.http_code() != 200 || type.empty()) return object;
  object["type"] = type;
  object[std::string(type)]["id"] =
      type == "rate_limit.updated" ? kTenantRateLimit : IdOf(record.resource());
  return object;
}

}  // namespace slipway::gateway::openai
