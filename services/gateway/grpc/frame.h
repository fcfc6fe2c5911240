#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_

#include "absl/strings/cord.h"
#include "common/http/grpc/frames.h"
#include "common/http/grpc/messages.h"
#include "common/status/status.h"

namespace slipway::gateway {

using http::grpc::FrameOf;
using http::grpc::ParseMessage;

/// A message's bytes, not copied: whatever refers to them keeps them.
absl::Cord ToCord(http::grpc::Message message);

/// The status as the caller may see it: what went wrong inside stays in the log.
absl::Status ForCaller(const absl::Status& status);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_
