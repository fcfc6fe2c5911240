#include "common/grpc/server.h"

#include <utility>

#include "common/grpc/address.h"
#include "common/grpc/transport.h"
#include "fmt/format.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace slipway {
namespace {

std::shared_ptr<grpc::ServerCredentials> TlsCredentials(const TlsFiles& tls) {
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          tls.key_file, tls.certificate_file, tls.ca_file, kTlsRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

void SetLimits(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  builder.SetResourceQuota(grpc::ResourceQuota().SetMaxThreads(options.max_threads));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  // Half of what our clients keep, so that none of them is taken for a flood.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveMilliseconds / 2);
  if (options.max_connection_age != absl::InfiniteDuration()) {
    builder.AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(absl::ToInt64Milliseconds(options.max_connection_age)));
  }
}

// Both are switches of the whole program that builders look at.
void EnablePlugins() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

GrpcServer::GrpcServer(std::unique_ptr<grpc::Server> server, std::string address)
    : address_(std::move(address)), server_(std::move(server)) {}

GrpcServer::~GrpcServer() { Drain(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const GrpcServerOptions& options, const std::vector<grpc::Service*>& services) {
  PrepareLibraries();
  EnablePlugins();
  ASSIGN_OR_RETURN(Address address, Address::Parse(options.address));
  RETURN_IF_ERROR(CheckTransport(address, options.tls));

  grpc::ServerBuilder builder;
  SetLimits(options, builder);
  int port = 0;
  if (address.is_unix()) {
    RETURN_IF_ERROR(PrepareSocket(address.unix_path));
    builder.AddListeningPort(address.ToString(), grpc::InsecureServerCredentials(), &port);
  } else {
    builder.AddListeningPort(address.ToString(), TlsCredentials(options.tls), &port);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (options.configure) options.configure(builder);

  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(fmt::format(
        "cannot listen on {}: it is in use, or no address of this machine", address.ToString()));
  }
  if (!address.is_unix()) address.port = port;
  std::unique_ptr<GrpcServer> started(new GrpcServer(std::move(server), address.ToString()));
  started->SetServing(false);
  return started;
}

void GrpcServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void GrpcServer::Drain(absl::Duration grace) {
  server_->GetHealthCheckService()->SetServingStatus(false);
  // gRPC takes a moment of its own clock.
  gpr_timespec wait = gpr_time_from_nanos(absl::ToInt64Nanoseconds(grace), GPR_TIMESPAN);
  server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), wait));
  server_->Wait();
}

}  // namespace slipway
