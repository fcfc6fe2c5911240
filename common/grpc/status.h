#ifndef SLIPWAY_COMMON_GRPC_STATUS_H_
#define SLIPWAY_COMMON_GRPC_STATUS_H_

#include <string>

#include "common/status/status.h"

namespace grpc {
class Status;
}

namespace slipway {

/// The one mapping to gRPC: code and message as they are, payloads (the field of InvalidField,
/// StorageFull, TooLarge) as details in the form of google.rpc.Status, so that
/// FromGrpcStatus(ToGrpcStatus(s)) == s. Messages over 2 KiB are cut and payloads over 2 KiB
/// dropped: trailing metadata beyond the peer's limit would replace the whole status.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

/// The details of that form, for what speaks gRPC without its library; "" where there are none.
std::string StatusDetails(const absl::Status& status);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_STATUS_H_
