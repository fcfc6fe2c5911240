#ifndef SLIPWAY_COMMON_HTTP_GRPC_MESSAGES_H_
#define SLIPWAY_COMMON_HTTP_GRPC_MESSAGES_H_

#include <cstddef>
#include <string>

#include "common/http/grpc/frames.h"
#include "common/status/status.h"
#include "google/protobuf/message_lite.h"

// Protobuf's messages in gRPC's frames.
namespace slipway::http::grpc {

/// Errors: kInvalidArgument.
absl::Status ParseMessage(const Message& bytes, google::protobuf::MessageLite& message);

std::string FrameOf(const google::protobuf::MessageLite& message);

// A message with large fields is written field by field: what precedes the bytes of field `number`
// (below 16), and how long that is.
void AppendFieldPrefix(int number, size_t size, std::string& out);
size_t FieldPrefixSize(size_t size);

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_MESSAGES_H_
