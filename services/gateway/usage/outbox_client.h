#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_CLIENT_H_

#include <memory>

#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/usage/outbox_feed.h"

namespace grpc {
class Channel;
}

namespace slipway::gateway {

/// The usage events of a service (its ListUsageEvents): training seconds, and stored bytes; with
/// the projects that `keys` knows. All but the channel outlive the source.
OutboxFeed::Source TrainingOutbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                                  const KeyTable& keys, const Clock& clock);
OutboxFeed::Source RegistryOutbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                                  const KeyTable& keys, const Clock& clock);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_OUTBOX_CLIENT_H_
