#include "services/gateway/grpc/infer_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/http/status_headers.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "services/gateway/grpc/answer_frame.h"
#include "services/gateway/grpc/frame.h"
#include "services/gateway/grpc/model_head.h"
#include "services/gateway/observation.h"
#include "services/gateway/oip/model_lookup.h"

namespace slipway::gateway {
namespace {

// How many requests of one stream may be between their reading and their answer's writing.
constexpr size_t kMaxInFlight = 16;

// What a refusal says of the limits.
http::Headers RateHeadersIn(const http::Headers& said) {
  http::Headers found;
  for (const http::Headers::Field field : said) {
    if (field.name.starts_with("x-ratelimit-")) found.Add(field.name, field.value);
  }
  return found;
}

}  // namespace

// One request of the stream.
struct InferStream::Item {
  std::string id;  // the caller's
  bool wants_final = false;
  std::shared_ptr<Prediction> prediction;  // null where there is none to ask for
  Prediction::Request request;             // until it is asked
  std::string sequence;                    // with its model; empty: it belongs to none
  bool waits = false;                      // for the one before it in its sequence
  std::string frame;                       // the answer
  http::Headers limits;                    // what is left after it
  int code = 0;                            // its status, as HTTP has it; 0: not yet
};

InferStream::InferStream(const Parts& parts, Call call, std::shared_ptr<const KnownKey> key)
    : parts_(parts),
      in_flight_(parts.in_flight),
      stream_(parts.streams),
      call_(std::move(call)),
      key_(std::move(key)) {}

void InferStream::Start() {
  end_ = call_->Deadline(parts_.predictions.clock.Now(), absl::InfiniteDuration());
  call_->AllowStream();
  call_->exchange().OnCancel([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Break();
  });
  Read();
}

// Reads for as long as there is room; whoever makes room calls it again.
void InferStream::Read() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (reading_ || ended_ || items_.size() >= kMaxInFlight) return;
      reading_ = true;
    }
    absl::StatusOr<std::optional<http::grpc::Message>> message = call_->Take();
    if (!message.ok()) return Break();
    if (!*message) {
      return call_->ReadMore([self = shared_from_this()](absl::StatusOr<bool> more) {
        if (!more.ok()) return self->Break();
        {
          MutexLock lock(self->mutex_);
          self->reading_ = false;
          self->ended_ = !*more;
        }
        self->Read();
        self->Write();
      });
    }
    Begin(**std::move(message));
    MutexLock lock(mutex_);
    reading_ = false;
  }
}

void InferStream::Begin(http::grpc::Message message) {
  auto item = std::make_shared<Item>();
  {
    MutexLock lock(mutex_);
    items_.push_back(item);
  }
  const absl::StatusOr<ModelHead> head = ReadModelHead(message.view());
  if (!head.ok()) return OnAnswer(item, head.status());
  item->id = head->id;
  item->wants_final = head->wants_final;
  auto endpoint = FindEndpoint(parts_.predictions.routes, *key_, head->model, head->version);
  if (!endpoint.ok()) return OnAnswer(item, endpoint.status());
  NoteModel(call_->exchange(), (*endpoint)->name);
  auto prediction =
      std::make_shared<Prediction>(parts_.predictions, key_, *std::move(endpoint), head->version,
                                   fmt::format("{}-{}", call_->request_id(), ++count_));
  const auto input_bytes = static_cast<int64_t>(message.view().size());
  item->request = {.message = ToCord(std::move(message)),
                   .sequence = head->sequence,
                   .less_urgent = head->less_urgent,
                   .input_bytes = input_bytes,
                   .rows = head->rows,
                   .sticky = StickyValue(prediction->endpoint(), call_->exchange().head().headers),
                   .head = &call_->exchange().head(),
                   .span = SpanOf(call_->exchange())};
  {
    MutexLock lock(mutex_);
    item->prediction = std::move(prediction);
    if (!head->sequence.id.empty()) {
      item->sequence = fmt::format("{} {}", head->model, head->sequence.id);
      // On their ways to the worker they could overtake each other.
      item->waits = std::any_of(items_.begin(), items_.end(), [&](const auto& other) {
        return other != item && other->sequence == item->sequence && other->code == 0;
      });
    }
    if (item->waits) return;
  }
  Ask(item);
}

void InferStream::Ask(const std::shared_ptr<Item>& item) {
  const Prediction::Parts& parts = parts_.predictions;
  const absl::Duration longest = std::max(parts.timeout, item->prediction->endpoint().timeout);
  item->request.deadline = std::min(end_, parts.clock.Now() + longest);
  item->prediction->Start(std::move(item->request),
                          [self = shared_from_this(), item](absl::StatusOr<InferAnswer> answer) {
                            self->OnAnswer(item, std::move(answer));
                          });
}

void InferStream::OnAnswer(const std::shared_ptr<Item>& item, absl::StatusOr<InferAnswer> answer) {
  absl::Status status = answer.status();
  std::string frame;
  http::Headers limits;
  Prediction* const prediction = item->prediction.get();
  if (status.ok()) {
    if (item->wants_final) {
      (*answer->head.mutable_parameters())[kFinalResponse].set_bool_param(true);
    }
    frame = StreamInferFrame(*answer, prediction->model_name(), prediction->model_version());
    // Before the first byte of the answer.
    status = prediction->Book(*answer, static_cast<int64_t>(frame.size()));
  }
  if (prediction != nullptr) prediction->AddLimitHeaders(limits);
  const int code = status.ok() ? 200 : ToHttpCode(status);
  if (!status.ok()) {
    if (code == 500) {
      Log(Severity::kError, "prediction_failed",
          {{"request_id", call_->request_id()}, {"error", status}});
    }
    inference::ModelStreamInferResponse response;
    response.set_error_message(std::string(ForCaller(status).message()));
    inference::ModelInferResponse& failed = *response.mutable_infer_response();
    failed.set_id(item->id);
    const http::Headers said = http::HeadersOf(status);
    for (const http::Headers::Field field : said) {
      (*failed.mutable_parameters())[std::string(field.name)].set_string_param(
          std::string(field.value));
    }
    // Who was refused holds no permit.
    if (limits.empty()) limits = RateHeadersIn(said);
    if (item->wants_final) (*failed.mutable_parameters())[kFinalResponse].set_bool_param(true);
    frame = FrameOf(response);
    if (prediction != nullptr) {
      prediction->Fail(code);
    } else {
      parts_.predictions.metrics.Observe(code, absl::ZeroDuration());
    }
  }
  std::shared_ptr<Item> next;
  {
    MutexLock lock(mutex_);
    item->frame = std::move(frame);
    item->limits = std::move(limits);
    item->code = code;
    if (!item->sequence.empty() && !broken_) {
      const auto found = std::find_if(items_.begin(), items_.end(), [&](const auto& other) {
        return other->waits && other->sequence == item->sequence;
      });
      if (found != items_.end()) next = *found;
    }
    if (next != nullptr) next->waits = false;
  }
  Write();
  if (next != nullptr) Ask(next);
}

// Writes the first answer where it is there and no other is on its way, or ends the call.
void InferStream::Write() {
  std::shared_ptr<Item> first;
  http::Headers limits;
  bool begins = false;
  {
    MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (!items_.empty()) {
      if (items_.front()->code == 0) return;
      writing_ = true;
      first = items_.front();
      begins = !std::exchange(begun_, true);
      if (!first->limits.empty()) limits_ = std::move(first->limits);
    } else if (ended_) {
      finished_ = true;
    } else {
      return;
    }
    limits = limits_;
  }
  if (first == nullptr) return call_->Finish(absl::OkStatus(), limits);
  if (begins) call_->AddHeaders(limits);
  call_->Write(std::move(first->frame),
               [self = shared_from_this(), first](const absl::Status& sent) {
                 if (first->code == 200) first->prediction->Settle(sent.ok() ? 200 : kCallerLeft);
                 {
                   MutexLock lock(self->mutex_);
                   self->writing_ = false;
                   self->items_.pop_front();
                 }
                 self->Write();
                 self->Read();
               });
}

// Nobody takes the answers any more.
void InferStream::Break() {
  std::vector<std::shared_ptr<Prediction>> under_way;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    broken_ = true;
    reading_ = false;
    for (const auto& item : items_) {
      if (item->prediction != nullptr && item->code == 0) under_way.push_back(item->prediction);
    }
  }
  for (const auto& prediction : under_way) prediction->Cancel();
}

}  // namespace slipway::gateway
