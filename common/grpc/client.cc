#include "common/grpc/client.h"

#include <utility>

#include "common/grpc/address.h"
#include "common/grpc/transport.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "grpcpp/support/channel_arguments.h"

namespace slipway {
namespace {

std::shared_ptr<grpc::ChannelCredentials> TlsCredentials(const TlsFiles& tls) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          tls.key_file, tls.certificate_file, tls.ca_file, kTlsRefreshSeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

grpc::ChannelArguments Arguments(const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // How long an attempt may take: enough for lost packets to be sent again.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A pod that starts again has another address; gRPC waits 30 s before it asks for it by itself.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  return arguments;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const ChannelOptions& options) {
  PrepareLibraries();
  ASSIGN_OR_RETURN(const Address address, Address::Parse(options.address));
  RETURN_IF_ERROR(CheckTransport(address, options.tls));
  if (address.is_unix()) {
    return grpc::CreateCustomChannel(address.ToString(), grpc::InsecureChannelCredentials(),
                                     Arguments(options));
  }
  return grpc::CreateCustomChannel(fmt::format("dns:///{}", address.ToString()),
                                   TlsCredentials(options.tls), Arguments(options));
}

absl::Status WaitForReady(grpc::Channel& channel, absl::Duration timeout) {
  const gpr_timespec wait = gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN);
  if (channel.WaitForConnected(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), wait))) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      fmt::format("the service could not be reached within {}", absl::FormatDuration(timeout)));
}

void PrepareContext(grpc::ClientContext& context, const CallOptions& options) {
  if (!options.token.empty()) context.AddMetadata(kTokenMetadata, std::string(options.token));
  if (IsRequestId(options.request_id)) {
    context.AddMetadata(kRequestIdMetadata, std::string(options.request_id));
  }
  if (options.deadline != absl::InfiniteFuture()) {
    context.set_deadline(absl::ToChronoTime(options.deadline));
  }
  context.set_wait_for_ready(options.wait_for_ready);
}

}  // namespace slipway
