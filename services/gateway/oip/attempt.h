#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_ATTEMPT_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_ATTEMPT_H_

#include <optional>

#include "common/status/status.h"
#include "services/gateway/oip/infer_message.h"
#include "services/gateway/routing/endpoint_state.h"
#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

/// What came of asking one worker, and what that means to those who learn from it.
struct Attempt {
  absl::StatusOr<InferAnswer> answer;
  /// Of its worker; nothing where it tells nothing of it.
  std::optional<Outliers::Result> result = std::nullopt;
  EndpointState::End end = EndpointState::End::kOther;
  /// No worker has run anything of it, so that another one may be asked.
  bool never_ran = false;
  /// Neither the caller's fault nor its wish: another deployment may do better.
  bool may_fall_back = false;
};

/// Pure.
Attempt ReadAttempt(Worker::Outcome outcome);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_ATTEMPT_H_
