#ifndef SLIPWAY_COMMON_HTTP_GRPC_PROTOCOL_H_
#define SLIPWAY_COMMON_HTTP_GRPC_PROTOCOL_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/http/coding.h"
#include "common/http/message.h"
#include "common/http/server/server.h"
#include "common/status/status.h"

// gRPC's requests and answers as HTTP has them: what their heads and trailers say.
namespace slipway::http::grpc {

/// Does a request want gRPC? By its content-type: "application/grpc" and what follows it after '+'
/// or ';'. Not application/grpc-web, which is another protocol.
bool IsGrpc(const RequestHead& head);

/// What a request's head says.
struct Call {
  std::string_view service;  ///< "inference.GRPCInferenceService"; into the head's target
  std::string_view method;   ///< "ModelInfer"
  /// How long the caller waits: grpc-timeout; InfiniteDuration where it does not say.
  absl::Duration timeout = absl::InfiniteDuration();
  Coding coding = Coding::kIdentity;  ///< grpc-encoding
};

/// Errors: kUnimplemented (a grpc-encoding that is not known, a path that is no method's, +json and
/// the like), kInvalidArgument (grpc-timeout, an HTTP method that is not POST).
absl::StatusOr<Call> ParseCall(const RequestHead& head);

/// "1H", "250m", ...: at most 8 digits and a unit. Errors: kInvalidArgument.
absl::StatusOr<absl::Duration> ParseTimeout(std::string_view text);

/// The head of an answer whose messages follow.
Headers AnswerHead();

/// What a status that is not OK says beside its code and message, as a serialized
/// google.rpc.Status; "" for nothing.
using DetailsOf = std::string (*)(const absl::Status& status, std::string_view request_id);

/// The field that InvalidField named as a google.rpc.BadRequest, and `request_id` as a
/// google.rpc.RequestInfo.
std::string PublicDetails(const absl::Status& status, std::string_view request_id);

/// The trailers that end a call: grpc-status and, where it is not OK, grpc-message,
/// grpc-status-details-bin and what http::HeadersOf says.
Headers Trailers(const absl::Status& status, std::string_view request_id,
                 DetailsOf details = PublicDetails);

/// A whole answer that is nothing but a status: "trailers only".
Response ErrorAnswer(const absl::Status& status, std::string_view request_id,
                     DetailsOf details = PublicDetails);

/// What the listener answers by itself, as a status.
absl::Status FromServerError(const ServerError& error);

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_PROTOCOL_H_
