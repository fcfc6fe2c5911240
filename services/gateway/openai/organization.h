#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_H_

#include <string_view>
#include <vector>

#include "common/time/clock.h"
#include "services/gateway/openai/request.h"
#include "services/gateway/openai/usage_buckets.h"
#include "services/gateway/relay/inner_call.h"
#include "slipway/gateway/v1/identity.pb.h"

namespace slipway::gateway::openai {

/// /v1/organization: projects, keys, limits, usage and the audit log, as
/// `client.admin.organization` of OpenAI's SDKs has them. The organisation is the tenant; admin
/// keys are the operators'. Any thread.
class Organization {
 public:
  /// Both outlive this.
  Organization(InnerCalls& calls, const Clock& clock)
      : calls_(calls), clock_(clock), usage_(calls, clock) {}

  struct Route {
    std::string_view http_method;
    std::string_view path;
    void (Organization::*handler)(const RequestPtr&);
  };
  static const std::vector<Route>& Routes();
  /// A request of that route.
  void Handle(const Route& route, const RequestPtr& request);

 private:
  void ListProjects(const RequestPtr& request);
  void CreateProject(const RequestPtr& request);
  void RetrieveProject(const RequestPtr& request);
  void ArchiveProject(const RequestPtr& request);

  void ListKeys(const RequestPtr& request);
  void RetrieveKey(const RequestPtr& request);
  void DeleteKey(const RequestPtr& request);

  void ListServiceAccounts(const RequestPtr& request);
  void CreateServiceAccount(const RequestPtr& request);
  void RetrieveServiceAccount(const RequestPtr& request);
  void DeleteServiceAccount(const RequestPtr& request);

  void ListAdminKeys(const RequestPtr& request);
  void CreateAdminKey(const RequestPtr& request);
  void RetrieveAdminKey(const RequestPtr& request);
  void DeleteAdminKey(const RequestPtr& request);

  void ListRateLimits(const RequestPtr& request);
  void UpdateRateLimit(const RequestPtr& request);

  void Completions(const RequestPtr& request) { usage_.Completions(request); }
  void Costs(const RequestPtr& request) { usage_.Costs(request); }
  void ListAuditLogs(const RequestPtr& request);

  using RenderKey = nlohmann::json (*)(const v1::ApiKey& key);
  void ListKeysAs(const RequestPtr& request, RenderKey render);
  void DeleteKeyAs(const RequestPtr& request, std::string_view object);

  // Each hands on what the request's path names, or refuses the request.
  template <class Found>
  void FindProject(const RequestPtr& request, Found found);
  template <class Found>
  void FindKey(const RequestPtr& request, Found found);
  template <class Found>
  void FindLimits(const RequestPtr& request, Found found);

  /// A call of the public API for the request's caller.
  template <class Answer, class Ask, class Reply>
  void Call(std::string_view method, const RequestPtr& request, Ask ask, Reply reply);
  /// Goes through the pages of a list until there are `limit` objects, and one more, that `take`
  /// has put into `data`.
  template <class Answer, class Ask, class Take>
  void ListAll(std::string_view method, const RequestPtr& request, Ask ask, int limit,
               nlohmann::json data, Take take);

  InnerCalls& calls_;
  const Clock& clock_;
  UsageBuckets usage_;
};

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_H_
