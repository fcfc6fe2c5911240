#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_USAGE_BUCKETS_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_USAGE_BUCKETS_H_

#include "common/time/clock.h"
#include "services/gateway/openai/request.h"
#include "services/gateway/relay/inner_call.h"

namespace slipway::gateway::openai {

/// /v1/organization/usage/completions and /v1/organization/costs: the ledger's sums, by the hour or
/// the day (UTC). A model is an endpoint, as in /v1/models. Any thread.
class UsageBuckets {
 public:
  /// Both outlive this.
  UsageBuckets(InnerCalls& calls, const Clock& clock) : calls_(calls), clock_(clock) {}

  void Completions(const RequestPtr& request);
  void Costs(const RequestPtr& request);

 private:
  struct Form;
  void Answer(const RequestPtr& request, const Form& form);

  InnerCalls& calls_;
  const Clock& clock_;
};

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_USAGE_BUCKETS_H_
