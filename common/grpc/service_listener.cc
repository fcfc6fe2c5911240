#include "common/grpc/service_listener.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/grpc/address.h"
#include "common/grpc/transport.h"
#include "common/http/grpc/protocol.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway {
namespace {

using http::grpc::Health;
using http::grpc::Reflection;

constexpr uint64_t kMaxSmallMessage = 64 << 10;
// Messages that a connection holds while they come in or go out.
constexpr uint64_t kLargeMessages = 4;
// While calls drain: how long a connection without one is kept for a call that is on its way.
constexpr absl::Duration kIdleGrace = absl::Seconds(1);

http::Response Render(const http::ServerError& error) {
  return http::grpc::ErrorAnswer(http::grpc::FromServerError(error), error.request_id);
}

// Peers are ours: how long a call may take is for them to say, and whether one is still there is
// asked by PING.
http::ServerOptions ListenerOptions(const ServiceListenerOptions& options, const Address& address) {
  http::ServerOptions http;
  http.address = address.ToString();
  http.threads = options.threads;
  if (!address.is_unix()) {
    http.tls_certificate_file = options.tls.certificate_file;
    http.tls_key_file = options.tls.key_file;
    http.tls_client_ca_file = options.tls.ca_file;
  }
  http.on_certificate = [](const absl::Status& status) {
    if (status.ok()) {
      Log(Severity::kInfo, "certificate_reloaded", {});
    } else {
      Log(Severity::kWarning, "certificate_reload_failed",
          {{"error", std::string(status.message())}});
    }
  };
  http.max_header_bytes = kMaxMetadataBytes;
  http.max_body_bytes = options.max_message_bytes;
  http.max_connections_per_address = http.max_connections;
  http.max_streams = options.max_streams_per_connection;
  http.max_connection_bytes = kLargeMessages * options.max_message_bytes;
  http.stall_timeout = absl::InfiniteDuration();
  http.idle_timeout = absl::InfiniteDuration();
  http.total_timeout = absl::InfiniteDuration();
  http.ping_interval = absl::Milliseconds(kKeepaliveMilliseconds);
  http.ping_timeout = absl::Milliseconds(kKeepaliveTimeoutMilliseconds);
  http.render_error = Render;
  return http;
}

}  // namespace

ServiceListener::ServiceListener(uint64_t max_message_bytes, const std::vector<Service*>& services,
                                 std::set<std::string> names,
                                 std::unique_ptr<Reflection> reflection)
    : max_message_bytes_(max_message_bytes),
      services_(services),
      health_(std::move(names), [this] { return serving_.load(); }),
      reflection_(std::move(reflection)) {}

ServiceListener::~ServiceListener() { Drain(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<ServiceListener>> ServiceListener::Start(
    const ServiceListenerOptions& options, const std::vector<Service*>& services) {
  ASSIGN_OR_RETURN(const Address address, Address::Parse(options.address));
  RETURN_IF_ERROR(CheckTransport(address, options.tls));
  if (address.is_unix()) RETURN_IF_ERROR(PrepareSocket(address.unix_path));

  std::set<std::string> names = {std::string(Health::kService), std::string(Reflection::kService)};
  for (const Service* service : services) names.insert(service->name());
  ASSIGN_OR_RETURN(std::unique_ptr<Reflection> reflection, Reflection::Create(names));
  std::unique_ptr<ServiceListener> listener(new ServiceListener(
      options.max_message_bytes, services, std::move(names), std::move(reflection)));
  ASSIGN_OR_RETURN(listener->server_,
                   http::Server::Start(ListenerOptions(options, address), *listener));
  // The name that was given is the one that a certificate vouches for.
  listener->address_ = address.is_unix()
                           ? address.ToString()
                           : fmt::format("{}:{}", address.host, listener->server_->port());
  return listener;
}

void ServiceListener::SetServing(bool serving) {
  serving_ = serving;
  health_.Refresh();
}

void ServiceListener::Drain(absl::Duration grace) {
  if (server_ == nullptr) return;
  serving_ = false;
  health_.Refresh(/*end=*/true);
  server_->Drain(grace, std::min(grace, kIdleGrace));
  server_.reset();
}

void ServiceListener::Handle(std::shared_ptr<http::Exchange> exchange) {
  const http::RequestHead& head = exchange->head();
  if (!http::grpc::IsGrpc(head)) {
    return exchange->Respond({.status = 415,
                              .headers = {{"content-type", "text/plain"}},
                              .body = "this address speaks gRPC\n"});
  }
  const absl::StatusOr<http::grpc::Call> call = http::grpc::ParseCall(head);
  if (!call.ok()) return exchange->Respond(http::grpc::ErrorAnswer(call.status(), ""));
  if (Serve(exchange, *call)) return;
  exchange->Respond(
      http::grpc::ErrorAnswer(absl::UnimplementedError(fmt::format("there is no method {}/{} here",
                                                                   call->service.substr(0, 100),
                                                                   call->method.substr(0, 100))),
                              ""));
}

bool ServiceListener::Serve(const std::shared_ptr<http::Exchange>& exchange,
                            const http::grpc::Call& call) {
  const auto small = [&] {
    return std::make_shared<http::grpc::ServerCall>(exchange, call, kMaxSmallMessage);
  };
  if (call.service == Health::kService) return health_.Handle(small(), call.method);
  if (Reflection::IsService(call.service)) return reflection_->Handle(small(), call.method);
  for (Service* service : services_) {
    if (service->name() == call.service) {
      return service->Handle(exchange, call, max_message_bytes_);
    }
  }
  return false;
}

}  // namespace slipway
