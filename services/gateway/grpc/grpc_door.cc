#include "services/gateway/grpc/grpc_door.h"

#include <utility>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "services/gateway/grpc/frame.h"
#include "services/gateway/grpc/grpc_transport.h"

namespace slipway::gateway {
namespace {

using http::grpc::Health;
using http::grpc::Reflection;

constexpr std::string_view kInference = "inference.GRPCInferenceService";
constexpr uint64_t kMaxSmallMessage = 64 << 10;

bool NeedsNoKey(const http::grpc::Call& call) {
  return call.service == Health::kService ||
         (call.service == kInference && InferenceDoor::IsAnonymous(call.method));
}

absl::Status NoSuchMethod(const http::grpc::Call& call) {
  return absl::UnimplementedError(fmt::format(
      "there is no method {}/{} here", call.service.substr(0, 100), call.method.substr(0, 100)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcDoor>> GrpcDoor::Create(const Options& options,
                                                           const Parts& parts,
                                                           std::string_view descriptors) {
  std::set<std::string> services;
  for (const std::string_view service :
       {kInference, Health::kService, Reflection::kService, Reflection::kOldService}) {
    services.emplace(service);
  }
  for (const PublicMethod& method : parts.methods.methods()) {
    services.insert(method.descriptor->service()->full_name());
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Reflection> reflection,
                   Reflection::Create(descriptors, services));
  return std::unique_ptr<GrpcDoor>(new GrpcDoor(options, parts, services, std::move(reflection)));
}

GrpcDoor::GrpcDoor(const Options& options, const Parts& parts,
                   const std::set<std::string>& services, std::unique_ptr<Reflection> reflection)
    : options_(options),
      parts_(parts),
      other_(parts.inference.metrics.Method("other")),
      health_(services, parts.inference.ready),
      reflection_(std::move(reflection)),
      inference_(options.inference, parts.inference) {}

void GrpcDoor::Refuse(http::Exchange& exchange, const absl::Status& status) {
  other_.Observe(ToHttpCode(status), absl::ZeroDuration());
  exchange.Respond(http::grpc::ErrorAnswer(ForCaller(status), exchange.head().request_id));
}

void GrpcDoor::Handle(std::shared_ptr<http::Exchange> exchange) {
  const auto call = http::grpc::ParseCall(exchange->head());
  if (!call.ok()) return Refuse(*exchange, call.status());
  Handle(std::move(exchange), *call);
}

void GrpcDoor::Handle(std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& call) {
  Key key;
  if (!NeedsNoKey(call)) {
    absl::StatusOr<Key> found = parts_.authenticate(*exchange);
    if (!found.ok()) return Refuse(*exchange, found.status());
    key = *std::move(found);
  }
  const auto make = [&](uint64_t max_message_bytes) {
    return std::make_shared<http::grpc::ServerCall>(exchange, call, max_message_bytes);
  };
  if (call.service == kInference) {
    if (inference_.Handle(make(options_.max_infer_message_bytes), call.method, std::move(key))) {
      return;
    }
  } else if (call.service == Health::kService) {
    if (health_.Handle(make(kMaxSmallMessage), call.method)) return;
  } else if (Reflection::IsService(call.service)) {
    if (reflection_->Handle(make(kMaxSmallMessage), call.method)) return;
  } else if (const PublicMethod* method =
                 parts_.methods.FindByName(fmt::format("{}/{}", call.service, call.method))) {
    return parts_.api.Start(
        *method, std::move(key),
        std::make_unique<GrpcTransport>(make(options_.max_api_message_bytes), *method));
  }
  Refuse(*exchange, NoSuchMethod(call));
}

}  // namespace slipway::gateway
