#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_

#include <string>

#include "absl/strings/cord.h"
#include "common/http/grpc/frames.h"
#include "common/status/status.h"
#include "google/protobuf/message_lite.h"

// Protobuf's messages as the gRPC door takes and gives them.
namespace slipway::gateway {

/// Errors: kInvalidArgument.
absl::Status ParseMessage(const http::grpc::Message& bytes, google::protobuf::MessageLite& message);

/// A message's bytes, not copied: whatever refers to them keeps them.
absl::Cord ToCord(http::grpc::Message message);

std::string FrameOf(const google::protobuf::MessageLite& message);

/// The status as the caller may see it: what went wrong inside stays in the log.
absl::Status ForCaller(const absl::Status& status);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_FRAME_H_
