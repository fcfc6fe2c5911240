#ifndef SLIPWAY_COMMON_GRPC_CLIENT_H_
#define SLIPWAY_COMMON_GRPC_CLIENT_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/status/status.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace slipway {

struct ChannelOptions {
  /// "unix:/path", or "host:port", which needs `tls`.
  std::string address{};
  TlsFiles tls{};
  /// The largest message that is taken or sent.
  int max_message_bytes = 64 << 20;
};

/// A channel to one of our services. Does not connect yet. It reconnects by itself, first after
/// 100 ms, then ever more slowly up to 2 s, and repeats no call: callers know which of theirs may
/// be repeated. Ignores http_proxy. Errors: kInvalidArgument (address, TLS files).
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ChannelOptions& options);

/// Waits until the peer can be reached, or until `timeout`: kUnavailable.
absl::Status WaitForReady(grpc::Channel& channel, absl::Duration timeout);

/// What goes with each call.
struct CallOptions {
  /// From TokenIssuer, or what a trainer or worker was launched with.
  std::string_view token{};
  /// Logged on both sides; may be empty. Whatever IsRequestId refuses is left out.
  std::string_view request_id{};
  /// InfiniteFuture only for streams that are meant to last.
  absl::Time deadline = absl::InfiniteFuture();
  /// Wait for a peer that is not there yet, up to the deadline, instead of failing at once.
  bool wait_for_ready = false;
};

/// Puts token, request id and deadline into the context of a call that has not started.
void PrepareContext(grpc::ClientContext& context, const CallOptions& options);

/// 1 to 128 letters, digits, '-', '_', '.' or ':'.
bool IsRequestId(std::string_view text);

inline constexpr char kTokenMetadata[] = "slipway-principal";
inline constexpr char kRequestIdMetadata[] = "x-request-id";

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_CLIENT_H_
