#include "services/gateway/relay/api_call.h"

#include <algorithm>
#include <utility>

#include "common/grpc/status.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/proto_buffer_writer.h"
#include "services/gateway/api/transcoder.h"
#include "services/gateway/observation.h"
#include "services/gateway/refusal_of.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {
namespace {

// The name of what a call made or changed, where its answer says it.
std::string NameIn(const google::protobuf::Message& answer) {
  const auto* field = answer.GetDescriptor()->FindFieldByName("name");
  if (field == nullptr || field->is_repeated() ||
      field->type() != google::protobuf::FieldDescriptor::TYPE_STRING) {
    return "";
  }
  return answer.GetReflection()->GetString(answer, field);
}

class UnaryCall final : public ApiCall {
 public:
  using ApiCall::ApiCall;

 private:
  void Begin() override {
    if (!method().forward.empty()) return Forward();
    std::unique_ptr<google::protobuf::Message> answer(method().response->New());
    const absl::Status status = Local(*answer);
    if (status.ok()) {
      Succeed(*answer);
    } else {
      Fail(status);
    }
  }

  absl::Status Local(google::protobuf::Message& answer) {
    const LocalMethods::Handler* handler = core().parts.local.Find(method().name);
    if (handler == nullptr) return absl::InternalError("a local method lost its handler");
    return (*handler)(principal(), request(), answer);
  }

  void Forward() {
    const absl::Status prepared = PrepareContext(core().parts.clock.Now() + core().options.timeout);
    if (!prepared.ok()) return Fail(prepared);
    sent_ = ToBuffer(request());
    core()
        .parts.backends.stub(method().backend)
        .UnaryCall(
            &context_, method().forward, grpc::StubOptions(), &sent_, &received_,
            [this, self = shared_from_this()](const grpc::Status& status) { OnAnswer(status); });
  }

  void OnAnswer(const grpc::Status& status) {
    if (!status.ok()) return Fail(FromBackend(status, method().backend));
    std::unique_ptr<google::protobuf::Message> answer(method().response->New());
    const absl::Status parsed = FromBuffer(received_, *answer);
    if (!parsed.ok()) return Fail(parsed);
    Succeed(*answer);
  }

  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
};

}  // namespace

ApiCall::ApiCall(ApiCore& core, RequestMetrics& metrics, const PublicMethod& method,
                 std::shared_ptr<const KnownKey> key, std::unique_ptr<ApiTransport> transport)
    : core_(core),
      in_flight_(core.calls),
      metrics_(metrics),
      method_(method),
      key_(std::move(key)),
      transport_(std::move(transport)),
      start_(core.parts.clock.Monotonic()) {}

const Principal& ApiCall::principal() const { return key_->principal; }

void ApiCall::Start() {
  absl::StatusOr<Permit> permit =
      core_.parts.admission.Admit(*key_, &transport_->exchange().head());
  if (!permit.ok()) return Fail(permit.status());
  // It was made, whatever becomes of it.
  permit->KeepRequest();
  http::Headers headers;
  permit->AddHeaders(headers);
  transport_->AddHeaders(headers);
  transport_->Receive([self = shared_from_this()](const absl::Status& received) {
    if (!received.ok()) return self->End(ToHttpCode(received));
    self->Submit();
  });
}

void ApiCall::Submit() {
  const bool taken = core_.parts.pool.Submit([self = shared_from_this()] {
    absl::Status status = self->Check();
    if (status.ok()) status = self->Audit();
    if (!status.ok()) return self->Fail(status);
    self->Begin();
  });
  if (!taken) {
    core_.parts.metrics.CountRefusal("busy");
    Fail(absl::UnavailableError("the gateway is busy; try again"));
  }
}

absl::Status ApiCall::Check() {
  ASSIGN_OR_RETURN(request_, transport_->ReadRequest());
  RETURN_IF_ERROR(ResolveOwnTenant(principal(), *request_));
  // What is left of a deleted tenant is the gateway's own to tell.
  const absl::Status status =
      CheckTenant(transport_->binding(), principal(), *request_, [this](std::string_view tenant) {
        const KeyTable& keys = core_.parts.keys;
        return method().forward.empty() ? keys.TenantKnown(tenant) : keys.TenantExists(tenant);
      });
  if (absl::IsNotFound(status)) {
    core_.parts.metrics.CountRefusal("tenant");
    core_.parts.refusals.Count(
        RefusalOf("tenant", 404, transport_->exchange().head(), &principal()));
  }
  return status;
}

absl::Status ApiCall::Audit() {
  if (!method().mutates()) return absl::OkStatus();
  ASSIGN_OR_RETURN(audit_, core_.parts.recorder.Admit());
  v1::AuditRecord record;
  record.set_resource(ResourceOf(transport_->binding(), *request_));
  const std::string_view tenant = TenantIn(record.resource());
  record.set_tenant(tenant.empty() ? principal().tenant : std::string(tenant));
  record.set_key_id(principal().key_id);
  record.set_method(method().name);
  record.set_peer_address(transport_->exchange().head().peer_address);
  record.set_request_id(request_id());
  return core_.parts.recorder.Record(audit_, record);
}

absl::Status ApiCall::PrepareContext(absl::Time deadline) {
  RETURN_IF_ERROR(core_.parts.backends.Prepare(context_, method().backend, principal(),
                                               request_id(), deadline));
  const tracing::Span* const span = SpanOf(transport_->exchange());
  if (span != nullptr && span->context() != nullptr) {
    context_.AddMetadata(tracing::kTraceparent, span->context()->Traceparent());
    if (!span->context()->state.empty()) {
      context_.AddMetadata(tracing::kTracestate, span->context()->state);
    }
  }
  transport_->exchange().OnCancel([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->context_.TryCancel();
  });
  return absl::OkStatus();
}

void ApiCall::Fail(const absl::Status& status) {
  const int code = ToHttpCode(status);
  if (code == 500) {
    Log(Severity::kError, "call_failed",
        {{"method", method().name}, {"request_id", request_id()}, {"error", status}});
  }
  core_.parts.recorder.Settle(std::move(audit_), code);
  transport_->Fail(status);
  End(code);
}

void ApiCall::Succeed(const google::protobuf::Message& answer) {
  core_.parts.recorder.Settle(std::move(audit_), 200, NameIn(answer));
  transport_->Succeed(answer);
  End(200);
}

void ApiCall::End(int http_code) {
  core_.parts.recorder.Settle(std::move(audit_), http_code);
  metrics_.Observe(http_code, core_.parts.clock.Monotonic() - start_);
}

std::shared_ptr<ApiCall> MakeUnaryCall(ApiCore& core, RequestMetrics& metrics,
                                       const PublicMethod& method,
                                       std::shared_ptr<const KnownKey> key,
                                       std::unique_ptr<ApiTransport> transport) {
  return std::make_shared<UnaryCall>(core, metrics, method, std::move(key), std::move(transport));
}

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  grpc::ByteBuffer buffer;
  // At least one slice, also for an empty message.
  const int size = std::max<int>(1, static_cast<int>(message.ByteSizeLong()));
  grpc::ProtoBufferWriter writer(&buffer, /*block_size=*/64 << 10, size);
  // Fails only for messages over 2 GiB, which no body limit lets arise.
  (void)message.SerializeToZeroCopyStream(&writer);
  return buffer;
}

absl::Status FromBuffer(grpc::ByteBuffer& buffer, google::protobuf::Message& message) {
  grpc::ProtoBufferReader reader(&buffer);
  if (!reader.status().ok() || !message.ParseFromZeroCopyStream(&reader)) {
    return absl::InternalError("a service's answer could not be parsed");
  }
  return absl::OkStatus();
}

absl::Status FromBackend(const grpc::Status& status, const std::string& backend) {
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty()) {
    return absl::UnavailableError(
        fmt::format("the {} service cannot be reached; try again", backend));
  }
  return FromGrpcStatus(status);
}

}  // namespace slipway::gateway
