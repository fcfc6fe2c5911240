#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_BACKENDS_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_BACKENDS_H_

#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/identity/token.h"
#include "common/status/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"

namespace slipway::gateway {

/// The services behind the public API, by name, and how to speak to them for a principal. Any
/// thread.
class Backends {
 public:
  /// `tokens` outlives this.
  explicit Backends(TokenIssuer& tokens) : tokens_(tokens) {}

  /// At the start, before other threads use it. `service`: "registry", "training", ...
  void Add(const std::string& service, std::shared_ptr<grpc::Channel> channel);
  bool Has(const std::string& service) const { return stubs_.count(service) == 1; }

  /// The stub of a service that was added.
  grpc::GenericStub& stub(const std::string& service) { return *stubs_.at(service); }

  /// Puts the principal's token, the request id and the deadline into a call's context.
  absl::Status Prepare(grpc::ClientContext& context, const std::string& service,
                       const Principal& principal, const std::string& request_id,
                       absl::Time deadline);

 private:
  TokenIssuer& tokens_;
  std::map<std::string, std::unique_ptr<grpc::GenericStub>> stubs_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_BACKENDS_H_
