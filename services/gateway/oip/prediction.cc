#include "services/gateway/oip/prediction.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

#include "fmt/format.h"
#include "services/gateway/oip/model_lookup.h"
#include "services/gateway/routing/traffic.h"
#include "slipway/gateway/v1/gateway.pb.h"

namespace slipway::gateway {
namespace {

// A caller's random number from the id that the listener made for the request.
uint64_t RandomOf(std::string_view request_id) { return std::hash<std::string_view>()(request_id); }

uint64_t HashOfSequence(const std::string& deployment, const std::string& sequence) {
  return std::hash<std::string>()(fmt::format("{} {}", deployment, sequence));
}

}  // namespace

Prediction::Prediction(const Parts& parts, std::shared_ptr<const KnownKey> key,
                       std::shared_ptr<const Endpoint> endpoint, std::string version,
                       std::string request_id)
    : parts_(parts),
      key_(std::move(key)),
      endpoint_(std::move(endpoint)),
      version_(std::move(version)),
      request_id_(std::move(request_id)),
      start_(parts.clock.Monotonic()) {}

void Prediction::Start(Request request, Done done) {
  const bool in_sequence = !request.sequence.id.empty();
  hash_ = in_sequence ? HashOfSequence(endpoint_->deployment, request.sequence.id)
                      : RandomOf(request_id_);
  target_ = endpoint_->Choose(version_, hash_);
  if (target_ == nullptr || target_->workers.empty()) {
    return done(NoWorker());
  }
  absl::StatusOr<Recorder::Ticket> ticket = parts_.recorder.Admit();
  if (!ticket.ok()) return done(ticket.status());
  ticket_ = *std::move(ticket);
  request_ = std::move(request);
  done_ = std::move(done);
  if (!in_sequence) return Ask(ChooseWorker(*target_, nullptr, hash_));
  first_ = {endpoint_, target_};
  if (!AskForSequence()) End(NoWorker());
}

void Prediction::Ask(std::shared_ptr<Worker> worker) {
  ++attempts_;
  worker_ = std::move(worker);
  if (worker_ == nullptr) return End(absl::UnavailableError("no worker can be reached"));
  const absl::StatusOr<std::string> token =
      parts_.tokens.Issue(key_->principal, ServiceId::kWorker);
  if (!token.ok()) return End(token.status());
  if (request_.span != nullptr) {
    call_span_ = request_.span->Child("worker.call", tracing::Kind::kClient);
    call_span_.Set("server.address", worker_->address());
    call_span_.Set("slipway.model_version", target_->model_version);
    call_span_.Set("slipway.attempt", attempts_);
  }
  absl::Cord message = request_.message;
  message.Append(absl::string_view(target_->model_fields));
  worker_->in_flight().fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<WorkerCall> call =
      worker_->Call("ModelInfer",
                    {.token = *token,
                     .request_id = request_id_,
                     .deadline = request_.deadline,
                     .trace = call_span_.context()},
                    std::move(message), [self = shared_from_this()](Worker::Outcome outcome) {
                      self->OnOutcome(std::move(outcome));
                    });
  MutexLock lock(mutex_);
  if (cancelled_) {
    call->Cancel();
  } else {
    call_ = std::move(call);
  }
}

void Prediction::Cancel() {
  std::shared_ptr<WorkerCall> call;
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    call = std::move(call_);
  }
  if (call != nullptr) call->Cancel();
}

void Prediction::OnOutcome(Worker::Outcome outcome) {
  worker_->in_flight().fetch_sub(1, std::memory_order_relaxed);
  if (outcome.status.ok()) {
    absl::StatusOr<InferAnswer> answer = ParseInferAnswer(outcome.answer);
    if (answer.ok()) call_span_.Set("slipway.compute_us", answer->compute_micros);
    call_span_.End();
    return End(std::move(answer));
  }
  call_span_.Fail(std::string(outcome.status.message()));
  call_span_.End();
  // Nothing has run: the worker is gone, or has unloaded the version since it was chosen.
  const bool never_ran = outcome.never_sent || absl::IsNotFound(outcome.status);
  if (request_.sequence.id.empty()) {
    if (never_ran && attempts_ < parts_.max_attempts && AskAgain()) return;
  } else {
    // A worker that does not know the sequence runs nothing either.
    const bool elsewhere =
        never_ran || (!request_.sequence.start && absl::IsFailedPrecondition(outcome.status));
    if (elsewhere && attempts_ < parts_.max_attempts && AskForSequence()) return;
    std::tie(endpoint_, target_) = first_;
  }
  End(std::move(outcome.status));
}

bool Prediction::AskAgain() {
  // By now worker and version may have been replaced.
  const auto fresh = parts_.routes.Get()->Find(endpoint_->tenant, endpoint_->name);
  const Target* target = fresh == nullptr ? nullptr : fresh->Choose(version_, hash_);
  if (target == nullptr) return false;
  // A worker without the old version may well have the new one.
  const std::shared_ptr<Worker> gone = target->version == target_->version ? worker_ : nullptr;
  if (std::all_of(target->workers.begin(), target->workers.end(),
                  [&](const auto& worker) { return worker == gone; })) {
    return false;
  }
  endpoint_ = fresh;
  target_ = target;
  Ask(ChooseWorker(*target_, gone.get(), hash_ + static_cast<uint64_t>(attempts_)));
  return true;
}

bool Prediction::AskForSequence() {
  const auto fresh = parts_.routes.Get()->Find(endpoint_->tenant, endpoint_->name);
  if (fresh == nullptr) return false;
  for (Place& place : PlacesFor(*fresh, version_, hash_, request_.sequence.start)) {
    const std::pair asked{place.target->version, place.worker};
    if (std::find(asked_.begin(), asked_.end(), asked) != asked_.end()) continue;
    asked_.push_back(asked);
    endpoint_ = fresh;
    target_ = place.target;
    Ask(std::move(place.worker));
    return true;
  }
  return false;
}

void Prediction::End(absl::StatusOr<InferAnswer> answer) {
  request_.message.Clear();
  // It may own what owns this.
  Done done = std::exchange(done_, nullptr);
  done(std::move(answer));
}

absl::Status Prediction::Book(const InferAnswer& answer, int64_t output_bytes) {
  v1::UsageRecord record;
  record.set_tenant(key_->principal.tenant);
  record.set_key_id(key_->principal.key_id);
  record.set_project(key_->project());
  record.set_kind("inference");
  record.set_resource(endpoint_->deployment);
  record.set_model_version(target_->model_version);
  record.set_quantity(1);
  record.set_request_id(request_id_);
  record.set_http_code(200);
  record.set_input_bytes(request_.input_bytes);
  record.set_output_bytes(output_bytes);
  record.set_compute_micros(answer.compute_micros);
  return parts_.recorder.Record(ticket_, record);
}

void Prediction::Settle(int http_code) {
  parts_.recorder.Settle(std::move(ticket_), http_code);
  Observe(http_code);
}

void Prediction::Observe(int http_code) {
  const absl::Duration took = parts_.clock.Monotonic() - start_;
  parts_.metrics.Observe(http_code, took);
  endpoint_->metrics->Observe(http_code, took);
  if (target_ != nullptr && http_code != kCallerLeft) {
    target_->traffic->Add(http_code == 200, took);
  }
}

}  // namespace slipway::gateway
