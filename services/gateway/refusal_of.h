#ifndef SLIPWAY_SERVICES_GATEWAY_REFUSAL_OF_H_
#define SLIPWAY_SERVICES_GATEWAY_REFUSAL_OF_H_

#include <string_view>

#include "common/http/server/server.h"
#include "common/identity/principal.h"
#include "services/gateway/usage/refusals.h"

namespace slipway::gateway {

/// A request that is refused, for Refusals::Count. `who`: null where no key was good. Views into
/// all of it.
inline Refusal RefusalOf(std::string_view reason, int http_code, const http::RequestHead& head,
                         const Principal* who) {
  Refusal refusal{.reason = reason, .http_code = http_code};
  if (who != nullptr) {
    refusal.tenant = who->tenant;
    refusal.key_id = who->key_id;
  }
  refusal.peer_address = head.peer_address;
  refusal.verb = head.method;
  refusal.path = head.path();
  refusal.request_id = head.request_id;
  return refusal;
}

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_REFUSAL_OF_H_
