#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_PREDICTION_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_PREDICTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "common/identity/token.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "common/tracing/tracer.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/oip/attempt.h"
#include "services/gateway/oip/infer_message.h"
#include "services/gateway/oip/shadows.h"
#include "services/gateway/routing/route_table.h"
#include "services/gateway/usage/recorder.h"

namespace slipway::gateway {

/// One prediction, whatever door it came through, from its request to its row in the journal:
///
///   1. Start() takes what the call may use of its key's limits, chooses version and worker, and
///      asks. Another worker is asked where nothing of the call has run (the first was not there,
///      or does not know the sequence that it goes on with) and the endpoint's RetryBudget has
///      room; another endpoint, the fallback, where this one fails and the caller still waits.
///   2. `done` has the answer, and the door writes it down.
///   3. Book() puts the row into the journal, with what the call cost: before the answer's first
///      byte.
///   4. Settle() once it is known whether the caller got it. Without an answer: Fail().
///
/// Held by its shared_ptr. Start, Book, Settle and Fail come one after the other, Cancel from any
/// thread at any time.
class Prediction : public std::enable_shared_from_this<Prediction> {
 public:
  struct Parts {
    const Routes& routes;
    Admission& admission;
    Recorder& recorder;
    TokenIssuer& tokens;
    const Clock& clock;
    RequestMetrics& metrics;  ///< of the door, beside the endpoint's own
    Shadows& shadows;
    /// For a worker's answer, where neither endpoint nor caller says how long it may take.
    absl::Duration timeout;
    /// How many workers are asked where one was not there.
    int max_attempts = 3;
  };
  using Done = absl::AnyInvocable<void(absl::StatusOr<InferAnswer>)>;

  /// `parts` outlive it. `version`: empty where the weights choose. The key may call models.
  Prediction(const Parts& parts, std::shared_ptr<const KnownKey> key,
             std::shared_ptr<const Endpoint> endpoint, std::string version, std::string request_id);

  struct Request {
    /// A serialized ModelInferRequest, whose own model name and version do not count.
    absl::Cord message;
    /// What it says of its sequence.
    SequenceHead sequence;
    /// Turned away first where there is no room for all.
    bool less_urgent = false;
    /// Of the request as the caller sent it.
    int64_t input_bytes = 0;
    /// Of its tensors: see RowsOf.
    int64_t rows = 1;
    /// Calls of the same text stay together (StickyValue); empty: any worker will do. Seen by Start
    /// alone.
    std::string_view sticky = {};
    /// Of the request; null where there is none. Seen by Start alone.
    const http::RequestHead* head = nullptr;
    /// When the caller no longer waits; infinite: it does not say.
    absl::Time deadline = absl::InfiniteFuture();
    /// What the calls to workers are steps of; null: nothing. Lives until `done` has run.
    const tracing::Span* span = nullptr;
  };
  /// `done` runs once, here or on another thread, and must not block.
  void Start(Request request, Done done);

  /// The caller left: its work need not go on.
  void Cancel();

  /// Errors: what the journal says; then there is no answer.
  absl::Status Book(const InferAnswer& answer, int64_t output_bytes);

  /// How the answer that was booked came to its end: 200, or 499 where the caller was gone.
  void Settle(int http_code);

  /// There is no answer, and the caller was told so.
  void Fail(int http_code);

  /// How much of its limits the key has left, for the answer's head.
  void AddLimitHeaders(http::Headers& headers) const { permit_.AddHeaders(headers); }

  const KnownKey& key() const { return *key_; }
  const Endpoint& endpoint() const { return *endpoint_; }
  /// What the caller named as `model`, or the fallback that answered.
  const std::string& model_name() const { return endpoint_->name; }
  /// The version that answered.
  const std::string& model_version() const { return target_->version; }
  const std::string& deployment() const { return endpoint_->deployment; }
  const std::string& request_id() const { return request_id_; }
  /// Has a worker been asked? Once `done` has run.
  bool asked() const { return worker_ != nullptr; }

 private:
  bool in_sequence() const { return !request_.sequence.id.empty(); }
  uint64_t HashOf(const Request& request) const;
  /// Chooses at this endpoint, or at its fallback, and asks.
  void Route();
  absl::Status Enter();
  void Leave(EndpointState::End end);
  /// Goes on to the fallback. False where there is none for this.
  bool FallBack();
  std::shared_ptr<RoutedWorker> Choose(const RoutedWorker* except) const;
  void Ask(std::shared_ptr<RoutedWorker> worker);
  void OnOutcome(Worker::Outcome outcome);
  /// False where nobody is left to be asked.
  bool AskAgain();
  bool AskForSequence();
  void End(absl::StatusOr<InferAnswer> answer);
  void Observe(int http_code);

  const Parts& parts_;
  const std::shared_ptr<const KnownKey> key_;
  const std::shared_ptr<const Endpoint> asked_for_;
  const std::string version_;
  const std::string request_id_;
  const absl::Duration start_;

  std::shared_ptr<const Endpoint> endpoint_;
  const Target* target_ = nullptr;        // of endpoint_
  std::shared_ptr<RoutedWorker> worker_;  // null until one is asked there
  std::shared_ptr<EndpointState> state_;  // of the endpoint that let it in
  EndpointState::Entry entry_;
  absl::Time deadline_;  // there
  int attempts_ = 0;     // there
  int fallbacks_ = 0;

  Request request_;
  tracing::Span call_span_;                            // of the call under way
  absl::Duration timeout_ = absl::InfiniteDuration();  // where the endpoint does not say
  bool sticky_ = false;
  // Of the request's id or, where it has one, of its sequence, or of what it is to stay with.
  uint64_t hash_ = 0;
  // Of a sequence: who was asked, as version and worker, and what is to blame where all refuse.
  std::vector<std::pair<std::string, std::shared_ptr<RoutedWorker>>> asked_;
  std::pair<std::shared_ptr<const Endpoint>, const Target*> first_;
  Done done_;
  Permit permit_;
  Recorder::Ticket ticket_;

  Mutex mutex_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<WorkerCall> call_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_PREDICTION_H_
