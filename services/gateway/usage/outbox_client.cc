#include "services/gateway/usage/outbox_client.h"

#include <string>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "slipway/gateway/v1/usage.pb.h"
#include "slipway/registry/v1/registry.grpc.pb.h"
#include "slipway/training/v1/training.grpc.pb.h"

namespace slipway::gateway {
namespace {

constexpr int kPage = 500;
constexpr absl::Duration kTimeout = absl::Seconds(5);

std::string KeyOf(const training::v1::UsageEvent& event) { return event.key_id(); }
// Bytes are stored for the tenant, whoever's key brought them.
std::string KeyOf(const registry::v1::UsageEvent&) { return ""; }

template <class Service, class Request, class Response>
OutboxFeed::Source Outbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                          const KeyTable& keys, const Clock& clock, ServiceId service,
                          const char* name) {
  return [channel = std::move(channel), &tokens, &keys, &clock, service,
          name](int64_t after) -> absl::StatusOr<OutboxFeed::Batch> {
    ASSIGN_OR_RETURN(const std::string token, tokens.Issue(Principal(), service));
    grpc::ClientContext context;
    PrepareContext(context, {.token = token,
                             .request_id = {},
                             .deadline = clock.Now() + kTimeout,
                             .wait_for_ready = false});
    Request request;
    request.set_after_cursor(after);
    request.set_page_size(kPage);
    Response response;
    const auto stub = Service::NewStub(channel);
    RETURN_IF_ERROR(FromGrpcStatus(stub->ListUsageEvents(&context, request, &response)));

    OutboxFeed::Batch batch{.cursor = after, .records = {}};
    for (const auto& event : response.events()) {
      v1::UsageRecord& record = batch.records.emplace_back();
      record.set_id(fmt::format("{}-{:016}", name, event.cursor()));
      *record.mutable_time() = event.time();
      record.set_tenant(event.tenant());
      record.set_key_id(KeyOf(event));
      record.set_project(keys.ProjectOf(record.key_id()));
      record.set_kind(event.kind());
      record.set_resource(event.resource());
      record.set_quantity(event.quantity());
      batch.cursor = event.cursor();
    }
    return batch;
  };
}

}  // namespace

OutboxFeed::Source TrainingOutbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                                  const KeyTable& keys, const Clock& clock) {
  return Outbox<training::v1::TrainingService, training::v1::ListUsageEventsRequest,
                training::v1::ListUsageEventsResponse>(std::move(channel), tokens, keys, clock,
                                                       ServiceId::kTraining, "training");
}

OutboxFeed::Source RegistryOutbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                                  const KeyTable& keys, const Clock& clock) {
  return Outbox<registry::v1::RegistryService, registry::v1::ListUsageEventsRequest,
                registry::v1::ListUsageEventsResponse>(std::move(channel), tokens, keys, clock,
                                                       ServiceId::kRegistry, "registry");
}

}  // namespace slipway::gateway
