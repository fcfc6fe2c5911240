#include "services/gateway/oip/shadows.h"

#include <atomic>
#include <optional>
#include <utility>

#include "services/gateway/oip/answers_alike.h"
#include "services/gateway/oip/attempt.h"
#include "services/gateway/routing/traffic.h"

namespace slipway::gateway {

// What all copies under way share; the last of them may outlive the Shadows.
struct Shadows::Room {
  std::atomic<int> in_flight = 0;
  std::atomic<int64_t> bytes = 0;
};

// A copy: where it goes, and what is done when it has ended.
class Shadows::Call {
 public:
  Call(Original of, const Clock& time) : original(std::move(of)), clock(time) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (room == nullptr) return;
    room->in_flight.fetch_sub(1, std::memory_order_relaxed);
    room->bytes.fetch_sub(bytes, std::memory_order_relaxed);
  }

  bool TakeRoom(std::shared_ptr<Room> in, const Options& options) {
    bytes = static_cast<int64_t>(original.message.size());
    if (original.answer.ok()) {
      for (const absl::Cord& content : original.answer->contents) {
        bytes += static_cast<int64_t>(content.size());
      }
    }
    room = std::move(in);
    const int calls = room->in_flight.fetch_add(1, std::memory_order_relaxed);
    const int64_t before = room->bytes.fetch_add(bytes, std::memory_order_relaxed);
    return calls < options.max_in_flight && before + bytes <= options.max_bytes;
  }

  void OnOutcome(Worker::Outcome outcome) {
    const absl::Duration now = clock.Monotonic();
    worker->worker->in_flight().fetch_sub(1, std::memory_order_relaxed);
    const Attempt attempt = ReadAttempt(std::move(outcome));
    if (probe) {
      endpoint->state->RecordProbe(*worker, attempt.result == Outliers::Result::kAnswered, now);
      return;
    }
    endpoint->state->Leave(entry, attempt.end, now);
    if (attempt.result) endpoint->state->Record(*worker, *attempt.result, now);
    original.endpoint->shadow->tally->Add(Compare(attempt.answer), original.took, now - entry.time);
  }

  ShadowTally::Outcome Compare(const absl::StatusOr<InferAnswer>& answer) const {
    using Outcome = ShadowTally::Outcome;
    if (original.answer.status().code() != answer.status().code()) return Outcome::kFailed;
    if (!answer.ok() ||
        AnswersAlike(*original.answer, *answer, original.endpoint->shadow->tolerance)) {
      return Outcome::kAgreed;
    }
    return Outcome::kDiffered;
  }

  const Original original;
  const Clock& clock;
  bool probe = false;
  std::shared_ptr<const Endpoint> endpoint;
  const Target* target = nullptr;  // of `endpoint`
  std::shared_ptr<RoutedWorker> worker;
  EndpointState::Entry entry;
  std::shared_ptr<Room> room;
  int64_t bytes = 0;
};

Shadows::Shadows(const Options& options, const Parts& parts)
    : options_(options), parts_(parts), room_(std::make_shared<Room>()) {}

void Shadows::Copy(Original original, uint64_t random) {
  const auto call = std::make_shared<Call>(std::move(original), parts_.clock);
  const Shadow& shadow = *call->original.endpoint->shadow;
  const auto skip = [&] { shadow.tally->Skip(); };
  call->endpoint = parts_.routes.Get()->Find(call->original.endpoint->tenant, shadow.endpoint);
  if (call->endpoint == nullptr) return skip();
  call->target = call->endpoint->Choose(shadow.version, random);
  if (call->target == nullptr) return skip();
  call->worker = ChooseWorker(*call->target, nullptr, random);
  if (call->worker == nullptr || !call->TakeRoom(room_, options_)) return skip();
  if (!call->endpoint->state->EnterBackground(parts_.clock.Monotonic(), call->entry)) {
    return skip();
  }
  if (!Send(call)) {
    call->endpoint->state->Leave(call->entry, EndpointState::End::kOther, call->entry.time);
    skip();
  }
}

void Shadows::Probe(Original original, std::shared_ptr<RoutedWorker> worker) {
  const auto call = std::make_shared<Call>(std::move(original), parts_.clock);
  call->probe = true;
  call->endpoint = call->original.endpoint;
  call->target = call->original.target;
  call->worker = std::move(worker);
  // Where there is no room, another call will be copied once this probe counts as lost.
  if (call->TakeRoom(room_, options_)) Send(call);
}

bool Shadows::Send(std::shared_ptr<Call> call) {
  const Original& original = call->original;
  const auto token = parts_.tokens.Issue(original.principal, ServiceId::kWorker);
  if (!token.ok()) return false;
  absl::Cord message = original.message;
  message.Append(absl::string_view(call->target->model_fields));
  Worker& worker = *call->worker->worker;
  worker.in_flight().fetch_add(1, std::memory_order_relaxed);
  worker.Call("ModelInfer",
              {.token = *token,
               .request_id = original.request_id,
               .deadline = parts_.clock.Now() + options_.timeout},
              std::move(message), [call = std::move(call)](Worker::Outcome outcome) {
                call->OnOutcome(std::move(outcome));
              });
  return true;
}

}  // namespace slipway::gateway
