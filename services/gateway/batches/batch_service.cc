#include "services/gateway/batches/batch_service.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/crypto/random.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "services/gateway/api/pages.h"
#include "services/gateway/oip/model_path.h"

namespace slipway::gateway {
namespace {

constexpr int64_t kMaxOpenBatches = 100;
constexpr int kMaxMetadata = 16;
constexpr size_t kMaxMetadataKey = 64;
constexpr size_t kMaxMetadataValue = 512;
constexpr absl::Duration kDefaultWindow = absl::Hours(24);
constexpr absl::Duration kMinWindow = absl::Minutes(1);
constexpr absl::Duration kMaxWindow = absl::Hours(24 * 7);

absl::Status CheckEndpoint(const std::string& endpoint) {
  const auto path = ModelPath::Parse(endpoint);
  if (path && path->verb == "infer") return absl::OkStatus();
  return InvalidField("batch.endpoint",
                      fmt::format("must be /v2/models/<model>/infer or "
                                  "/v2/models/<model>/versions/<version>/infer; there are no "
                                  "batches for \"{}\" yet",
                                  endpoint.substr(0, 80)));
}

absl::Status CheckMetadata(const google::protobuf::Map<std::string, std::string>& metadata) {
  if (metadata.size() > kMaxMetadata) {
    return InvalidField("batch.metadata", fmt::format("must have at most {} keys", kMaxMetadata));
  }
  for (const auto& entry : metadata) {
    if (entry.first.size() > kMaxMetadataKey || entry.second.size() > kMaxMetadataValue) {
      return InvalidField("batch.metadata",
                          fmt::format("keys must be at most {} bytes, values at most {}",
                                      kMaxMetadataKey, kMaxMetadataValue));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> ReadWindow(const v1::Batch& batch) {
  if (!batch.has_completion_window()) return kDefaultWindow;
  const absl::Duration window = ToDuration(batch.completion_window());
  if (window < kMinWindow || window > kMaxWindow) {
    return InvalidField("batch.completionWindow", "must be 1 minute to 7 days");
  }
  return window;
}

}  // namespace

std::string NewTimedId(std::string_view kind, absl::Time now) {
  return fmt::format("{}-{:012x}{}", kind, absl::ToUnixMillis(now), RandomHex(6));
}

void BatchService::AddTo(LocalMethods& methods) {
  methods.Add<v1::CreateBatchRequest, v1::Batch>(
      "slipway.gateway.v1.BatchService/CreateBatch",
      [this](const Principal& who, const auto& request) { return CreateBatch(who, request); });
  methods.Add<v1::GetBatchRequest, v1::Batch>(
      "slipway.gateway.v1.BatchService/GetBatch",
      [this](const Principal&, const auto& request) { return GetBatch(request); });
  methods.Add<v1::ListBatchesRequest, v1::ListBatchesResponse>(
      "slipway.gateway.v1.BatchService/ListBatches",
      [this](const Principal&, const auto& request) { return ListBatches(request); });
  methods.Add<v1::CancelBatchRequest, v1::Batch>(
      "slipway.gateway.v1.BatchService/CancelBatch",
      [this](const Principal&, const auto& request) { return CancelBatch(request); });
}

absl::StatusOr<v1::Batch> BatchService::CreateBatch(const Principal& who,
                                                    const v1::CreateBatchRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  const v1::Batch& asked = request.batch();
  RETURN_IF_ERROR(CheckEndpoint(asked.endpoint()));
  ASSIGN_OR_RETURN(const DatasetName input,
                   DatasetName::Parse("batch.inputDataset", asked.input_dataset()));
  if (input.tenant != tenant.tenant) return NotFound(asked.input_dataset());
  // Its lines call the models of the key's own tenant, for as long as the key is good.
  if (who.tenant != tenant.tenant || !keys_.Find(who.key_id).ok()) {
    return absl::PermissionDeniedError("a batch is made by an API key of its tenant");
  }
  RETURN_IF_ERROR(CheckMetadata(asked.metadata()));
  ASSIGN_OR_RETURN(const absl::Duration window, ReadWindow(asked));

  const absl::Time now = clock_.Now();
  const BatchName name{tenant.tenant, NewTimedId("batch", now)};
  v1::Batch batch;
  batch.set_name(name.ToString());
  batch.set_endpoint(asked.endpoint());
  batch.set_input_dataset(asked.input_dataset());
  batch.mutable_completion_window()->set_seconds(absl::ToInt64Seconds(window));
  *batch.mutable_metadata() = asked.metadata();
  batch.set_state(v1::Batch::VALIDATING);
  *batch.mutable_create_time() = ToTimestamp(now);
  *batch.mutable_expire_time() = ToTimestamp(now + window);
  batch.set_key_id(who.key_id);
  RETURN_IF_ERROR(store_.Create(name, batch, kMaxOpenBatches, now));
  wake_();
  return batch;
}

absl::StatusOr<v1::Batch> BatchService::GetBatch(const v1::GetBatchRequest& request) {
  ASSIGN_OR_RETURN(const BatchName name, BatchName::Parse("name", request.name()));
  return store_.Get(name);
}

absl::StatusOr<v1::ListBatchesResponse> BatchService::ListBatches(
    const v1::ListBatchesRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(std::vector<v1::Batch> batches,
                   store_.List(tenant.tenant, page.after, page.size + 1));
  v1::ListBatchesResponse response;
  page.Fill(
      std::move(batches), response,
      [&](v1::Batch&& batch) { *response.add_batches() = std::move(batch); },
      [](const v1::Batch& batch) { return batch.name().substr(batch.name().rfind('/') + 1); });
  return response;
}

absl::StatusOr<v1::Batch> BatchService::CancelBatch(const v1::CancelBatchRequest& request) {
  ASSIGN_OR_RETURN(const BatchName name, BatchName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(v1::Batch batch, store_.Cancel(name, clock_.Now()));
  wake_();
  return batch;
}

}  // namespace slipway::gateway
