#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_REFUSAL_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_REFUSAL_H_

#include <string_view>

#include "common/http/message.h"
#include "common/status/status.h"
#include "services/gateway/limits/account.h"

namespace slipway::gateway {

/// kResourceExhausted because the caller has used what it may: edges answer 429. Its headers
/// (http::HeadersOf) are `headers` and those that tell when to come back: Retry-After,
/// retry-after-ms, and x-should-retry: false where that would be in vain.
absl::Status OverLimit(std::string_view subject, const Account::Refusal& refusal,
                       http::Headers headers);

bool IsOverLimit(const absl::Status& status);
/// Is it its budget? (insufficient_quota)
bool IsOverBudget(const absl::Status& status);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_REFUSAL_H_
