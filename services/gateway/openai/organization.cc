#include "services/gateway/openai/organization.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>

#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "services/gateway/api/pages.h"
#include "services/gateway/batches/batch_service.h"
#include "services/gateway/identity/identity_service.h"
#include "services/gateway/openai/objects.h"
#include "services/gateway/openai/organization_objects.h"
#include "slipway/gateway/v1/identity.pb.h"
#include "slipway/gateway/v1/limits.pb.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway::openai {
namespace {

using google::protobuf::util::TimeUtil;
using nlohmann::json;

constexpr int kUsualPage = 20;
constexpr int kMaxPage = 100;
constexpr int64_t kMaxLimit = 1'000'000'000'000'000;
constexpr int64_t kMaxExpiry = int64_t{100} * 365 * 86'400;

absl::Status CheckFields(const json& body, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : body.items()) {
    if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end()) {
      return InvalidField(key.substr(0, 80), "is not supported here");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> NameIn(const json& body) {
  const auto found = body.find("name");
  if (found == body.end() || !found->is_string()) return InvalidField("name", "must be a text");
  std::string name = found->get<std::string>();
  RETURN_IF_ERROR(CheckText("name", name, kMaxDisplayName));
  return name;
}

absl::StatusOr<std::optional<int64_t>> NumberIn(const json& body, const char* name, int64_t most) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::nullopt;
  // OpenAI's 0 would let nothing through; that of the platform is no limit at all.
  if (!found->is_number_integer() || *found < 1 || *found > most) {
    return InvalidField(name, fmt::format("must be a whole number from 1 to {}", most));
  }
  return found->get<int64_t>();
}

// A key by its name and "expires_in_seconds".
absl::StatusOr<v1::ApiKey> ReadNewKey(const json& body, absl::Time now) {
  RETURN_IF_ERROR(CheckFields(body, {"name", "expires_in_seconds"}));
  v1::ApiKey key;
  ASSIGN_OR_RETURN(*key.mutable_display_name(), NameIn(body));
  ASSIGN_OR_RETURN(const auto seconds, NumberIn(body, "expires_in_seconds", kMaxExpiry));
  if (seconds) *key.mutable_expire_time() = ToTimestamp(now + absl::Seconds(*seconds));
  return key;
}

absl::StatusOr<v1::QueryAuditRequest> ReadAuditQuery(const Request& request) {
  ASSIGN_OR_RETURN(const ListQuery query,
                   ListQuery::Read(request.exchange->head().query(), kUsualPage, kMaxPage,
                                   {"effective_at[gt]", "effective_at[gte]", "effective_at[lt]",
                                    "effective_at[lte]"}));
  v1::QueryAuditRequest ask;
  ask.set_tenant(request.tenant);
  ask.set_kind(v1::QueryAuditRequest::CHANGES);
  ask.set_page_size(query.limit);
  ask.set_page_token(query.after);
  for (const auto& [name, value] : query.others) {
    const std::optional<int64_t> seconds = ParseNumber<int64_t>(value);
    if (!seconds || *seconds < 0 || *seconds >= TimeUtil::kTimestampMaxSeconds) {
      return InvalidField(name, "must be a number of seconds");
    }
    const bool from = name == "effective_at[gt]" || name == "effective_at[gte]";
    const bool behind = name == "effective_at[gt]" || name == "effective_at[lte]";
    (from ? ask.mutable_start_time() : ask.mutable_end_time())
        ->set_seconds(*seconds + (behind ? 1 : 0));
  }
  return ask;
}

std::string ProjectNameOf(const Request& request) {
  return fmt::format("{}/projects/{}", request.tenant, request.id);
}

std::string AdminKeyNameOf(const Request& request) { return fmt::format("keys/{}", request.id); }

bool IsRevoked(const v1::ApiKey& key) { return key.state() == v1::ApiKey::REVOKED; }

}  // namespace

const std::vector<Organization::Route>& Organization::Routes() {
  using O = Organization;
  static const std::vector<Route> routes = {
      {"GET", "/v1/organization/projects", &O::ListProjects},
      {"POST", "/v1/organization/projects", &O::CreateProject},
      {"GET", "/v1/organization/projects/{id}", &O::RetrieveProject},
      {"POST", "/v1/organization/projects/{id}/archive", &O::ArchiveProject},
      {"GET", "/v1/organization/projects/{id}/api_keys", &O::ListKeys},
      {"GET", "/v1/organization/projects/{id}/api_keys/{key}", &O::RetrieveKey},
      {"DELETE", "/v1/organization/projects/{id}/api_keys/{key}", &O::DeleteKey},
      {"GET", "/v1/organization/projects/{id}/service_accounts", &O::ListServiceAccounts},
      {"POST", "/v1/organization/projects/{id}/service_accounts", &O::CreateServiceAccount},
      {"GET", "/v1/organization/projects/{id}/service_accounts/{key}", &O::RetrieveServiceAccount},
      {"DELETE", "/v1/organization/projects/{id}/service_accounts/{key}", &O::DeleteServiceAccount},
      {"GET", "/v1/organization/projects/{id}/rate_limits", &O::ListRateLimits},
      {"POST", "/v1/organization/projects/{id}/rate_limits/{limit}", &O::UpdateRateLimit},
      {"GET", "/v1/organization/admin_api_keys", &O::ListAdminKeys},
      {"POST", "/v1/organization/admin_api_keys", &O::CreateAdminKey},
      {"GET", "/v1/organization/admin_api_keys/{id}", &O::RetrieveAdminKey},
      {"DELETE", "/v1/organization/admin_api_keys/{id}", &O::DeleteAdminKey},
      {"GET", "/v1/organization/usage/completions", &O::Completions},
      {"GET", "/v1/organization/costs", &O::Costs},
      {"GET", "/v1/organization/audit_logs", &O::ListAuditLogs}};
  return routes;
}

void Organization::Handle(const Route& route, const RequestPtr& request) {
  for (const std::string& id : {request->id, request->child_id}) {
    if (!id.empty() && !IsSlug(id)) return request->Refuse(NotFound(id.substr(0, 80)));
  }
  (this->*route.handler)(request);
}

template <class Answer, class Ask, class Reply>
void Organization::Call(std::string_view method, const RequestPtr& request, Ask ask, Reply reply) {
  calls_.Call<Answer>(method, *request->exchange, request->key, std::move(ask), std::move(reply));
}

template <class Answer, class Ask, class Take>
void Organization::ListAll(std::string_view method, const RequestPtr& request, Ask ask, int limit,
                           json data, Take take) {
  ask.set_page_size(Page::kMaxSize);
  Call<Answer>(method, request, ask,
               [this, method, request, ask, limit, data = std::move(data),
                take](const absl::StatusOr<const Answer*>& answer) mutable {
                 if (!answer.ok()) return request->Refuse(answer.status());
                 take(**answer, data);
                 const bool more = data.size() > static_cast<size_t>(limit);
                 const std::string& token = (*answer)->next_page_token();
                 if (!more && !token.empty()) {
                   ask.set_page_token(token);
                   return ListAll<Answer>(method, request, std::move(ask), limit, std::move(data),
                                          take);
                 }
                 if (more) data.erase(data.begin() + limit, data.end());
                 request->Answer(ListObject(std::move(data), more));
               });
}

void Organization::ListProjects(const RequestPtr& request) {
  const auto query = ListQuery::Read(request->exchange->head().query(), kUsualPage, kMaxPage,
                                     {"include_archived"});
  if (!query.ok()) return request->Refuse(query.status());
  v1::ListProjectsRequest list;
  list.set_parent(request->tenant);
  list.set_page_token(Page::Token(query->after));
  ListAll<v1::ListProjectsResponse>("ProjectService/ListProjects", request, std::move(list),
                                    query->limit, json::array(),
                                    [archived = query->Get("include_archived") == "true"](
                                        const v1::ListProjectsResponse& answer, json& data) {
                                      for (const v1::Project& project : answer.projects()) {
                                        if (archived || project.state() != v1::Project::ARCHIVED) {
                                          data.push_back(ProjectObject(project));
                                        }
                                      }
                                    });
}

void Organization::CreateProject(const RequestPtr& request) {
  ReadBody(request, [this, request](const json& body) {
    if (const absl::Status known = CheckFields(body, {"name"}); !known.ok()) {
      return request->Refuse(known);
    }
    absl::StatusOr<std::string> name = NameIn(body);
    if (!name.ok()) return request->Refuse(name.status());
    v1::CreateProjectRequest create;
    create.set_parent(request->tenant);
    create.set_project_id(NewTimedId("proj", clock_.Now()));
    create.mutable_project()->set_display_name(*std::move(name));
    Call<v1::Project>("ProjectService/CreateProject", request, std::move(create),
                      AnswerWith<v1::Project>(request, ProjectObject));
  });
}

template <class Found>
void Organization::FindProject(const RequestPtr& request, Found found) {
  v1::GetProjectRequest get;
  get.set_name(ProjectNameOf(*request));
  Call<v1::Project>("ProjectService/GetProject", request, std::move(get),
                    [request, found](const absl::StatusOr<const v1::Project*>& answer) {
                      if (!answer.ok()) return request->Refuse(answer.status());
                      found(**answer);
                    });
}

void Organization::RetrieveProject(const RequestPtr& request) {
  FindProject(request,
              [request](const v1::Project& project) { request->Answer(ProjectObject(project)); });
}

void Organization::ArchiveProject(const RequestPtr& request) {
  v1::ArchiveProjectRequest archive;
  archive.set_name(ProjectNameOf(*request));
  Call<v1::Project>("ProjectService/ArchiveProject", request, std::move(archive),
                    AnswerWith<v1::Project>(request, ProjectObject));
}

void Organization::ListKeysAs(const RequestPtr& request, RenderKey render) {
  const auto query = ListQuery::Read(request->exchange->head().query(), kUsualPage, kMaxPage, {});
  if (!query.ok()) return request->Refuse(query.status());
  v1::ListApiKeysRequest list;
  list.set_parent(request->tenant);
  list.set_page_token(Page::Token(query->after));
  FindProject(request, [this, request, list = std::move(list), limit = query->limit,
                        render](const v1::Project& project) {
    ListAll<v1::ListApiKeysResponse>(
        "ApiKeyService/ListApiKeys", request, list, limit, json::array(),
        [name = project.name(), render](const v1::ListApiKeysResponse& answer, json& data) {
          for (const v1::ApiKey& key : answer.api_keys()) {
            if (!IsRevoked(key) && key.project() == name) data.push_back(render(key));
          }
        });
  });
}

template <class Found>
void Organization::FindKey(const RequestPtr& request, Found found) {
  v1::GetApiKeyRequest get;
  get.set_name(fmt::format("{}/keys/{}", request->tenant, request->child_id));
  Call<v1::ApiKey>("ApiKeyService/GetApiKey", request, std::move(get),
                   [request, found](const absl::StatusOr<const v1::ApiKey*>& answer) {
                     if (!answer.ok()) return request->Refuse(answer.status());
                     const v1::ApiKey& key = **answer;
                     if (IsRevoked(key) || IdOf(key.project()) != request->id) {
                       return request->Refuse(NotFound(key.name()));
                     }
                     found(key);
                   });
}

void Organization::DeleteKeyAs(const RequestPtr& request, std::string_view object) {
  FindKey(request, [this, request, object](const v1::ApiKey& key) {
    v1::RevokeApiKeyRequest revoke;
    revoke.set_name(key.name());
    Call<v1::ApiKey>("ApiKeyService/RevokeApiKey", request, std::move(revoke),
                     AnswerWith<v1::ApiKey>(request, [object](const v1::ApiKey& revoked) {
                       return Deleted(IdOf(revoked.name()), object);
                     }));
  });
}

void Organization::ListKeys(const RequestPtr& request) { ListKeysAs(request, ProjectKeyObject); }

void Organization::RetrieveKey(const RequestPtr& request) {
  FindKey(request, [request](const v1::ApiKey& key) { request->Answer(ProjectKeyObject(key)); });
}

void Organization::DeleteKey(const RequestPtr& request) {
  DeleteKeyAs(request, "organization.project.api_key.deleted");
}

void Organization::ListServiceAccounts(const RequestPtr& request) {
  ListKeysAs(request, ServiceAccountObject);
}

void Organization::CreateServiceAccount(const RequestPtr& request) {
  ReadBody(request, [this, request](const json& body) {
    absl::StatusOr<v1::ApiKey> key = ReadNewKey(body, clock_.Now());
    if (!key.ok()) return request->Refuse(key.status());
    key->set_role(options::v1::ROLE_DEVELOPER);
    key->set_project(ProjectNameOf(*request));
    v1::CreateApiKeyRequest create;
    create.set_parent(request->tenant);
    *create.mutable_api_key() = *std::move(key);
    Call<v1::ApiKey>("ApiKeyService/CreateApiKey", request, std::move(create),
                     AnswerWith<v1::ApiKey>(request, ServiceAccountObject));
  });
}

void Organization::RetrieveServiceAccount(const RequestPtr& request) {
  FindKey(request,
          [request](const v1::ApiKey& key) { request->Answer(ServiceAccountObject(key)); });
}

void Organization::DeleteServiceAccount(const RequestPtr& request) {
  DeleteKeyAs(request, "organization.project.service_account.deleted");
}

void Organization::ListAdminKeys(const RequestPtr& request) {
  const auto query = ListQuery::Read(request->exchange->head().query(), kUsualPage, kMaxPage, {});
  if (!query.ok()) return request->Refuse(query.status());
  v1::ListAdminKeysRequest list;
  list.set_page_token(Page::Token(query->after));
  ListAll<v1::ListAdminKeysResponse>("AdminKeyService/ListAdminKeys", request, std::move(list),
                                     query->limit, json::array(),
                                     [](const v1::ListAdminKeysResponse& answer, json& data) {
                                       for (const v1::ApiKey& key : answer.admin_keys()) {
                                         if (!IsRevoked(key)) data.push_back(AdminKeyObject(key));
                                       }
                                     });
}

void Organization::CreateAdminKey(const RequestPtr& request) {
  ReadBody(request, [this, request](const json& body) {
    absl::StatusOr<v1::ApiKey> key = ReadNewKey(body, clock_.Now());
    if (!key.ok()) return request->Refuse(key.status());
    v1::CreateAdminKeyRequest create;
    *create.mutable_admin_key() = *std::move(key);
    Call<v1::ApiKey>("AdminKeyService/CreateAdminKey", request, std::move(create),
                     AnswerWith<v1::ApiKey>(request, AdminKeyObject));
  });
}

void Organization::RetrieveAdminKey(const RequestPtr& request) {
  v1::GetAdminKeyRequest get;
  get.set_name(AdminKeyNameOf(*request));
  Call<v1::ApiKey>("AdminKeyService/GetAdminKey", request, std::move(get),
                   [request](const absl::StatusOr<const v1::ApiKey*>& answer) {
                     if (!answer.ok()) return request->Refuse(answer.status());
                     if (IsRevoked(**answer)) return request->Refuse(NotFound((*answer)->name()));
                     request->Answer(AdminKeyObject(**answer));
                   });
}

void Organization::DeleteAdminKey(const RequestPtr& request) {
  v1::RevokeAdminKeyRequest revoke;
  revoke.set_name(AdminKeyNameOf(*request));
  Call<v1::ApiKey>("AdminKeyService/RevokeAdminKey", request, std::move(revoke),
                   AnswerWith<v1::ApiKey>(request, [](const v1::ApiKey& revoked) {
                     return Deleted(IdOf(revoked.name()), "organization.admin_api_key.deleted");
                   }));
}

template <class Found>
void Organization::FindLimits(const RequestPtr& request, Found found) {
  FindProject(request, [this, request, found](const v1::Project&) {
    v1::GetLimitsRequest get;
    get.set_name(fmt::format("{}/limits", request->tenant));
    Call<v1::Limits>("LimitService/GetTenantLimits", request, std::move(get),
                     [request, found](const absl::StatusOr<const v1::Limits*>& answer) {
                       if (!answer.ok()) return request->Refuse(answer.status());
                       found(**answer);
                     });
  });
}

void Organization::ListRateLimits(const RequestPtr& request) {
  FindLimits(request, [request](const v1::Limits& limits) {
    request->Answer(ListObject(json::array({RateLimitObject(limits)}), /*has_more=*/false));
  });
}

void Organization::UpdateRateLimit(const RequestPtr& request) {
  if (request->child_id != kTenantRateLimit) {
    return request->Refuse(NotFound(fmt::format("rate limit {}", request->child_id)));
  }
  ReadBody(request, [this, request](const json& body) {
    constexpr char kRequests[] = "max_requests_per_1_minute";
    constexpr char kTokens[] = "max_tokens_per_1_minute";
    const absl::Status fields = CheckFields(body, {kRequests, kTokens});
    const auto requests = NumberIn(body, kRequests, kMaxLimit);
    const auto tokens = NumberIn(body, kTokens, kMaxLimit);
    for (const absl::Status& read : {fields, requests.status(), tokens.status()}) {
      if (!read.ok()) return request->Refuse(read);
    }
    FindLimits(request,
               [this, request, requests = *requests, tokens = *tokens](const v1::Limits& limits) {
                 v1::SetLimitsRequest set;
                 *set.mutable_limits() = limits;
                 if (requests) set.mutable_limits()->set_requests_per_minute(*requests);
                 if (tokens) set.mutable_limits()->set_tokens_per_minute(*tokens);
                 Call<v1::Limits>("LimitService/SetTenantLimits", request, std::move(set),
                                  AnswerWith<v1::Limits>(request, RateLimitObject));
               });
  });
}

void Organization::ListAuditLogs(const RequestPtr& request) {
  absl::StatusOr<v1::QueryAuditRequest> ask = ReadAuditQuery(*request);
  if (!ask.ok()) return request->Refuse(ask.status());
  Call<v1::ListAuditRecordsResponse>(
      "AuditService/QueryAudit", request, *std::move(ask),
      AnswerWith<v1::ListAuditRecordsResponse>(
          request, [](const v1::ListAuditRecordsResponse& answer) {
            json data = json::array();
            for (const v1::AuditRecord& record : answer.audit_records()) {
              data.push_back(AuditLogObject(record));
            }
            const std::string& token = answer.next_page_token();
            json list = ListObject(std::move(data), !token.empty());
            // What SDKs hand back as `after`. A record's id does not say where it stands.
            if (!token.empty()) list["last_id"] = token;
            return list;
          }));
}

}  // namespace slipway::gateway::openai
