#include "services/gateway/oip/prediction.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "fmt/format.h"
#include "services/gateway/oip/model_lookup.h"
#include "services/gateway/routing/traffic.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {
namespace {

// Fallbacks of fallbacks end somewhere, whatever the tables of two moments say together.
constexpr int kMaxFallbacks = 4;

// A caller's random number from the id that the listener made for the request.
uint64_t RandomOf(std::string_view request_id) { return std::hash<std::string_view>()(request_id); }

}  // namespace

Prediction::Prediction(const Parts& parts, std::shared_ptr<const KnownKey> key,
                       std::shared_ptr<const Endpoint> endpoint, std::string version,
                       std::string request_id)
    : parts_(parts),
      key_(std::move(key)),
      asked_for_(std::move(endpoint)),
      version_(std::move(version)),
      request_id_(std::move(request_id)),
      start_(parts.clock.Monotonic()),
      endpoint_(asked_for_) {}

uint64_t Prediction::HashOf(const Request& request) const {
  const std::hash<std::string> hash;
  if (!request.sequence.id.empty()) {
    return hash(fmt::format("{} {}", endpoint_->deployment, request.sequence.id));
  }
  if (!request.sticky.empty()) {
    return hash(fmt::format("{} {}", endpoint_->deployment, request.sticky));
  }
  return RandomOf(request_id_);
}

void Prediction::Start(Request request, Done done) {
  hash_ = HashOf(request);
  sticky_ = !request.sticky.empty();
  request_ = std::move(request);
  done_ = std::move(done);
  if (request_.deadline == absl::InfiniteFuture()) {
    timeout_ = parts_.timeout;
    request_.deadline = parts_.clock.Now() + std::max(parts_.timeout, endpoint_->timeout);
  }
  const Target* target = endpoint_->Choose(version_, hash_);
  absl::StatusOr<Permit> permit = parts_.admission.Admit(
      *key_, request_.head,
      {.deployment = endpoint_->deployment,
       .model_version = target == nullptr ? std::string_view() : target->model_version,
       .tokens = request_.rows});
  if (!permit.ok()) return End(permit.status());
  permit_ = *std::move(permit);
  absl::StatusOr<Recorder::Ticket> ticket = parts_.recorder.Admit();
  if (!ticket.ok()) return End(ticket.status());
  ticket_ = *std::move(ticket);
  Route();
}

void Prediction::Route() {
  for (;;) {
    absl::Status entered = Enter();
    if (entered.ok()) break;
    if (!FallBack()) return End(std::move(entered));
  }
  if (!in_sequence()) return Ask(Choose(nullptr));
  first_ = {endpoint_, target_};
  if (AskForSequence()) return;
  Leave(EndpointState::End::kOther);
  End(NoWorker());
}

absl::Status Prediction::Enter() {
  target_ = endpoint_->Choose(version_, hash_);
  if (target_ == nullptr || target_->workers.empty()) return NoWorker();
  const absl::Time now = parts_.clock.Now();
  const absl::Duration timeout =
      endpoint_->timeout > absl::ZeroDuration() ? endpoint_->timeout : timeout_;
  deadline_ = std::min(request_.deadline, now + timeout);
  ASSIGN_OR_RETURN(entry_, endpoint_->state->Enter(parts_.clock.Monotonic(), deadline_ - now,
                                                   request_.less_urgent));
  state_ = endpoint_->state;
  return absl::OkStatus();
}

void Prediction::Leave(EndpointState::End end) {
  state_->Leave(entry_, end, parts_.clock.Monotonic());
}

bool Prediction::FallBack() {
  // A version and a sequence's state are nowhere else.
  if (endpoint_->fallback.empty() || !version_.empty() || in_sequence()) return false;
  if (!key_->MayCall(endpoint_->fallback)) return false;
  if (parts_.clock.Now() >= request_.deadline || ++fallbacks_ > kMaxFallbacks) return false;
  auto next = parts_.routes.Get()->Find(endpoint_->tenant, endpoint_->fallback);
  if (next == nullptr) return false;
  endpoint_->state->CountFallback();
  // What was sent and failed counts against its version, although its caller may get an answer.
  if (worker_ != nullptr) {
    target_->traffic->Add(/*answered=*/false, parts_.clock.Monotonic() - entry_.time);
  }
  endpoint_ = std::move(next);
  target_ = nullptr;
  worker_ = nullptr;
  attempts_ = 0;
  return true;
}

std::shared_ptr<RoutedWorker> Prediction::Choose(const RoutedWorker* except) const {
  return sticky_ ? ChooseStickyWorker(*target_, except, hash_)
                 : ChooseWorker(*target_, except, hash_ + static_cast<uint64_t>(attempts_));
}

void Prediction::Ask(std::shared_ptr<RoutedWorker> worker) {
  ++attempts_;
  worker_ = std::move(worker);
  const absl::StatusOr<std::string> token =
      parts_.tokens.Issue(key_->principal, ServiceId::kWorker);
  if (!token.ok()) {
    Leave(EndpointState::End::kOther);
    return End(token.status());
  }
  Worker& asked = *worker_->worker;
  if (request_.span != nullptr) {
    call_span_ = request_.span->Child("worker.call", tracing::Kind::kClient);
    call_span_.Set("server.address", asked.address());
    call_span_.Set("slipway.model_version", target_->model_version);
    call_span_.Set("slipway.attempt", attempts_);
  }
  absl::Cord message = request_.message;
  message.Append(absl::string_view(target_->model_fields));
  asked.in_flight().fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<WorkerCall> call =
      asked.Call("ModelInfer",
                 {.token = *token,
                  .request_id = request_id_,
                  .deadline = deadline_,
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
  worker_->worker->in_flight().fetch_sub(1, std::memory_order_relaxed);
  Attempt attempt = ReadAttempt(std::move(outcome));
  if (attempt.answer.ok()) {
    call_span_.Set("slipway.compute_us", attempt.answer->compute_micros);
  } else {
    call_span_.Fail(std::string(attempt.answer.status().message()));
  }
  call_span_.End();
  if (attempt.result) {
    state_->Record(*worker_, *attempt.result, parts_.clock.Monotonic());
  }
  const absl::Status status = attempt.answer.status();
  // A worker that does not know the sequence runs nothing either.
  const bool elsewhere = attempt.never_ran || (in_sequence() && !request_.sequence.start &&
                                               absl::IsFailedPrecondition(status));
  if (elsewhere && attempts_ < parts_.max_attempts &&
      (in_sequence() ? AskForSequence() : AskAgain())) {
    return;
  }
  Leave(attempt.end);
  if (attempt.may_fall_back && FallBack()) return Route();
  if (in_sequence() && !status.ok()) std::tie(endpoint_, target_) = first_;
  End(std::move(attempt.answer));
}

bool Prediction::AskAgain() {
  // By now worker and version may have been replaced.
  const auto fresh = parts_.routes.Get()->Find(endpoint_->tenant, endpoint_->name);
  const Target* target = fresh == nullptr ? nullptr : fresh->Choose(version_, hash_);
  if (target == nullptr) return false;
  // A worker without the old version may well have the new one.
  const std::shared_ptr<RoutedWorker> gone =
      target->version == target_->version ? worker_ : nullptr;
  if (std::all_of(target->workers.begin(), target->workers.end(),
                  [&](const auto& worker) { return worker == gone; })) {
    return false;
  }
  if (!state_->TryRetry(parts_.clock.Monotonic())) return false;
  endpoint_ = fresh;
  target_ = target;
  Ask(Choose(gone.get()));
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
  // The caller's answer goes first, and may take this with it.
  std::optional<Shadows::Original> original;
  std::shared_ptr<RoutedWorker> probe;
  // Not the bits that have chosen the version.
  const uint64_t random = std::rotl(RandomOf(request_id_), 32);
  const bool copied = endpoint_->shadow && endpoint_->shadow->Copies(random);
  if (worker_ != nullptr && !in_sequence()) {
    const absl::Duration now = parts_.clock.Monotonic();
    probe = state_->DueForProbe(target_->workers, now);
    if (copied || probe != nullptr) {
      original = {.principal = key_->principal,
                  .request_id = request_id_,
                  .endpoint = endpoint_,
                  .target = target_,
                  .message = std::move(request_.message),
                  .answer = answer,
                  .took = now - entry_.time};
    }
  }
  request_.message.Clear();
  Shadows& shadows = parts_.shadows;
  Done done = std::exchange(done_, nullptr);
  done(std::move(answer));
  if (probe != nullptr) shadows.Probe(*original, std::move(probe));
  if (original && copied) shadows.Copy(*std::move(original), random);
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
  if (endpoint_->name != asked_for_->name) record.set_asked_for(asked_for_->name);
  record.set_http_code(200);
  record.set_input_bytes(request_.input_bytes);
  record.set_output_bytes(output_bytes);
  record.set_compute_micros(answer.compute_micros);
  record.set_units(
      permit_.Charge({.input_tokens = request_.rows, .compute_micros = answer.compute_micros}));
  return parts_.recorder.Record(ticket_, record);
}

void Prediction::Settle(int http_code) {
  parts_.recorder.Settle(std::move(ticket_), http_code);
  permit_.Release();
  Observe(http_code);
}

void Prediction::Fail(int http_code) {
  // Where it was not the caller's fault, it may come again.
  if (http_code < 500) permit_.KeepRequest();
  permit_.Release();
  Observe(http_code);
}

void Prediction::Observe(int http_code) {
  const absl::Duration took = parts_.clock.Monotonic() - start_;
  parts_.metrics.Observe(http_code, took);
  asked_for_->metrics->Observe(http_code, took);
  if (worker_ != nullptr && http_code != kCallerLeft) {
    target_->traffic->Add(http_code == 200, took);
  }
}

}  // namespace slipway::gateway
