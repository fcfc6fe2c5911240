#include "services/gateway/usage/training_outbox_client.h"

#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "slipway/gateway/v1/gateway.pb.h"
#include "slipway/training/v1/training.grpc.pb.h"

namespace slipway::gateway {
namespace {

constexpr int kPage = 500;
constexpr absl::Duration kTimeout = absl::Seconds(5);

}  // namespace

OutboxFeed::Source TrainingOutbox(std::shared_ptr<grpc::Channel> channel, TokenIssuer& tokens,
                                  const KeyTable& keys, const Clock& clock) {
  return [channel = std::move(channel), &tokens, &keys,
          &clock](int64_t after) -> absl::StatusOr<OutboxFeed::Batch> {
    ASSIGN_OR_RETURN(const std::string token, tokens.Issue(Principal(), ServiceId::kTraining));
    grpc::ClientContext context;
    PrepareContext(context, {.token = token,
                             .request_id = {},
                             .deadline = clock.Now() + kTimeout,
                             .wait_for_ready = false});
    training::v1::ListUsageEventsRequest request;
    request.set_after_cursor(after);
    request.set_page_size(kPage);
    training::v1::ListUsageEventsResponse response;
    const auto stub = training::v1::TrainingService::NewStub(channel);
    RETURN_IF_ERROR(FromGrpcStatus(stub->ListUsageEvents(&context, request, &response)));

    OutboxFeed::Batch batch{.cursor = after, .records = {}};
    for (const training::v1::UsageEvent& event : response.events()) {
      v1::UsageRecord& record = batch.records.emplace_back();
      record.set_id(fmt::format("training-{:016}", event.cursor()));
      *record.mutable_time() = event.time();
      record.set_tenant(event.tenant());
      record.set_key_id(event.key_id());
      record.set_project(keys.ProjectOf(event.key_id()));
      record.set_kind(event.kind());
      record.set_resource(event.resource());
      record.set_quantity(event.quantity());
      batch.cursor = event.cursor();
    }
    return batch;
  };
}

}  // namespace slipway::gateway
