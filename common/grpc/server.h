#ifndef SLIPWAY_COMMON_GRPC_SERVER_H_
#define SLIPWAY_COMMON_GRPC_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/status/status.h"

namespace grpc {
class Server;
class ServerBuilder;
class Service;
}  // namespace grpc

namespace slipway {

struct GrpcServerOptions {
  /// "unix:/path", in a folder that only this user may enter (made with mode 0700 where it is
  /// absent), or "host:port" (port 0: any free one), which needs `tls`.
  std::string address{};
  TlsFiles tls{};
  /// The largest message that is taken or sent.
  int max_message_bytes = 64 << 20;
  /// Threads of synchronous handlers; further calls get kResourceExhausted. A stream holds one.
  int max_threads = 256;
  /// Calls at once on one connection; further ones wait at the client.
  int max_streams_per_connection = 1024;
  /// A connection older than this is asked to reconnect, so that calls spread over new replicas.
  absl::Duration max_connection_age = absl::InfiniteDuration();
  /// Last word on the builder: generic services, completion queues.
  std::function<void(grpc::ServerBuilder&)> configure{};
};

/// A gRPC server for calls inside the platform; it never faces the public. Answers the standard
/// health service (grpc.health.v1.Health) and reflection; neither asks for a token. Starts as
/// NOT_SERVING. Any thread.
class GrpcServer {
 public:
  /// Binds and starts. `services` outlive the server.
  /// Errors: kInvalidArgument (address, path over 107 bytes, host:port without TLS, TLS files),
  /// kFailedPrecondition (other users may enter the socket's folder, or something else is at its
  /// path), kAlreadyExists (a process listens there; the socket of a dead one is replaced),
  /// kPermissionDenied, kUnavailable (the port is in use).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const GrpcServerOptions& options, const std::vector<grpc::Service*>& services);

  /// Drain(0).
  ~GrpcServer();

  /// What a client dials: "unix:/path", "127.0.0.1:41234".
  const std::string& address() const { return address_; }

  /// What health answers for the server as a whole (the empty service name).
  void SetServing(bool serving);

  /// Stops: not serving, no new calls, those in flight may go on for `grace`, then they are
  /// cancelled. Returns when all have ended. A second call does nothing.
  void Drain(absl::Duration grace);

 private:
  GrpcServer(std::unique_ptr<grpc::Server> server, std::string address);

  const std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_SERVER_H_
