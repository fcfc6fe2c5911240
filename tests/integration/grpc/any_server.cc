#include "tests/integration/grpc/any_server.h"

#include <utility>
#include <vector>

#include "common/grpc/server.h"
#include "common/grpc/service_listener.h"

namespace slipway {
namespace {

template <class Server>
class Wrapped final : public AnyServer {
 public:
  explicit Wrapped(std::unique_ptr<Server> server) : server_(std::move(server)) {}
  const std::string& address() const override { return server_->address(); }
  void SetServing(bool serving) override { server_->SetServing(serving); }
  void Drain(absl::Duration grace) override { server_->Drain(grace); }

 private:
  const std::unique_ptr<Server> server_;
};

template <class Server, class Options, class ServicePointer>
absl::StatusOr<std::unique_ptr<AnyServer>> Start(const Options& options, ServicePointer service) {
  std::vector<ServicePointer> services;
  if (service != nullptr) services.push_back(service);
  ASSIGN_OR_RETURN(std::unique_ptr<Server> server, Server::Start(options, services));
  return std::make_unique<Wrapped<Server>>(std::move(server));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AnyServer>> StartAny(Library library, const std::string& address,
                                                    const TlsFiles& tls,
                                                    grpc::Service* grpc_service, Service* service) {
  if (library == Library::kGrpc) {
    return Start<GrpcServer>(GrpcServerOptions{.address = address, .tls = tls}, grpc_service);
  }
  return Start<ServiceListener>(ServiceListenerOptions{.address = address, .tls = tls}, service);
}

}  // namespace slipway
