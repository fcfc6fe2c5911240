#ifndef SLIPWAY_COMMON_GRPC_SERVICE_LISTENER_H_
#define SLIPWAY_COMMON_GRPC_SERVICE_LISTENER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/service.h"
#include "common/grpc/tls.h"
#include "common/http/grpc/health.h"
#include "common/http/grpc/reflection.h"
#include "common/http/server/server.h"
#include "common/status/status.h"

namespace slipway {

struct ServiceListenerOptions {
  /// "unix:/path", in a folder that only this user may enter (made with mode 0700 where it is
  /// absent), or "IP:port" or "localhost:port" (port 0: any free one), which needs `tls`.
  std::string address{};
  TlsFiles tls{};
  /// The largest message that is taken or sent.
  uint64_t max_message_bytes = 64 << 20;
  /// I/O threads. A connection stays with one.
  int threads = 1;
  /// Calls at once on one connection; further ones wait at the client.
  int max_streams_per_connection = 1024;
};

/// gRPC for calls inside the platform, on common/http's listener: what GrpcServer does on gRPC's
/// own, for services whose calls are many or large. Answers the standard health service and
/// reflection too; neither asks for a token. Starts as NOT_SERVING. Any thread.
class ServiceListener final : private http::Handler {
 public:
  /// Binds and starts. `services` outlive the listener.
  /// Errors: kInvalidArgument (address, path over 107 bytes, an address without TLS, TLS files),
  /// kFailedPrecondition (other users may enter the socket's folder, or something else is at its
  /// path), kAlreadyExists (another process listens there; the socket of a dead one is replaced),
  /// kPermissionDenied.
  static absl::StatusOr<std::unique_ptr<ServiceListener>> Start(
      const ServiceListenerOptions& options, const std::vector<Service*>& services);

  /// Drain(0).
  ~ServiceListener();

  /// What a client dials: "unix:/path", "127.0.0.1:41234".
  const std::string& address() const { return address_; }

  /// What health answers.
  void SetServing(bool serving);

  /// Stops: not serving, no new calls, those in flight may go on for `grace`, then they are
  /// cancelled, and end on their services' side soon. A second call does nothing.
  void Drain(absl::Duration grace);

 private:
  ServiceListener(uint64_t max_message_bytes, const std::vector<Service*>& services,
                  std::set<std::string> names, std::unique_ptr<http::grpc::Reflection> reflection);

  void Handle(std::shared_ptr<http::Exchange> exchange) override;
  bool Serve(const std::shared_ptr<http::Exchange>& exchange, const http::grpc::Call& call);

  const uint64_t max_message_bytes_;
  const std::vector<Service*> services_;
  std::atomic<bool> serving_ = false;
  http::grpc::Health health_;
  const std::unique_ptr<http::grpc::Reflection> reflection_;
  std::string address_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_SERVICE_LISTENER_H_
