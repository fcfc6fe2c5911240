#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_OBJECTS_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_OBJECTS_H_

#include "nlohmann/json_fwd.hpp"
#include "slipway/gateway/v1/identity.pb.h"
#include "slipway/gateway/v1/limits.pb.h"
#include "slipway/gateway/v1/usage.pb.h"

// What OpenAI's API has of an organisation, from the platform's objects. Pure functions; any
// thread.
namespace slipway::gateway::openai {

/// The one rate limit of each project: the tenant's, which holds for all its projects together.
inline constexpr char kTenantRateLimit[] = "rl-tenant";

nlohmann::json ProjectObject(const v1::Project& project);
/// A key is its own service account. With its secret, where it has just been made.
nlohmann::json ServiceAccountObject(const v1::ApiKey& key);
nlohmann::json ProjectKeyObject(const v1::ApiKey& key);
/// Of an operator's key. With its secret, where it has just been made.
nlohmann::json AdminKeyObject(const v1::ApiKey& key);
nlohmann::json RateLimitObject(const v1::Limits& limits);
/// Of a change. What OpenAI has no name for, and what failed, has that of the method as its type.
nlohmann::json AuditLogObject(const v1::AuditRecord& record);

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_ORGANIZATION_OBJECTS_H_
