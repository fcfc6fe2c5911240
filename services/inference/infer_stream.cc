#include "services/inference/infer_stream.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "common/http/grpc/messages.h"
#include "common/sync/mutex.h"
#include "services/inference/infer_messages.h"

namespace slipway::worker {
namespace {

// How many requests of one stream may be between their reading and their answer's writing.
constexpr size_t kMaxInFlight = 16;
// By which clients of streams with any number of responses know the last one.
constexpr char kWantsFinal[] = "triton_enable_empty_final_response";
constexpr char kIsFinal[] = "triton_final_response";

// Owned by whatever it waits for: a read, a write, or requests under way.
class InferStream : public std::enable_shared_from_this<InferStream> {
 public:
  InferStream(std::unique_ptr<ServiceCall> call, const Clock& clock, StartInference start)
      : call_(std::move(call)), clock_(clock), start_(std::move(start)) {}

  void Start() {
    call_->wire().AllowStream();
    Read();
  }

 private:
  // One request of the stream.
  class Item final : public InferenceCaller {
   public:
    Item(std::shared_ptr<InferStream> stream, http::grpc::Message message)
        : stream_(std::move(stream)), messages_(std::move(message)) {}

    void Start() {
      if (const absl::Status parsed = messages_.Parse(); !parsed.ok()) return Answer(parsed);
      // Of its own: a stream may have none.
      const CallContext& context = stream_->call_->context();
      const absl::Time deadline =
          std::min(context.deadline, stream_->clock_.Now() + ServiceEdge::kDefaultDeadline);
      stream_->start_({.principal = context.principal,
                       .deadline = deadline,
                       .start = stream_->clock_.Monotonic(),
                       .metadata = stream_->call_->metadata(),
                       .message = messages_.request(),
                       .contents = messages_.contents(),
                       .answer = messages_.answer()},
                      *this);
    }

    bool Gone() const override { return stream_->call_->gone(); }

    void Answer(const absl::Status& status) override {
      std::string frame = FrameFor(status);
      // The stream owns this one.
      const std::shared_ptr<InferStream> stream = std::move(stream_);
      stream->Answered(*this, std::move(frame));
    }

    std::string frame;  // under the stream's mutex, as the next
    bool answered = false;

   private:
    std::string FrameFor(const absl::Status& status) {
      InferAnswer& answer = messages_.answer();
      if (!status.ok()) {
        answer.contents.clear();
        answer.response.Clear();
        answer.response.set_id(messages_.request().id());
      }
      const auto& parameters = messages_.request().parameters();
      const auto wants_final = parameters.find(kWantsFinal);
      if (wants_final != parameters.end() && wants_final->second.bool_param()) {
        (*answer.response.mutable_parameters())[kIsFinal].set_bool_param(true);
      }
      if (status.ok()) return StreamInferFrame(answer);
      inference::ModelStreamInferResponse response;
      const ServiceCall& call = *stream_->call_;
      const absl::Status shown = call.edge().Report(call.context(), status);
      response.set_error_message(std::string(shown.message()));
      *response.mutable_infer_response() = answer.response;
      return http::grpc::FrameOf(response);
    }

    std::shared_ptr<InferStream> stream_;  // until it is answered
    InferMessages messages_;
  };

  // Reads for as long as there is room; whoever makes room calls it again.
  void Read() {
    for (;;) {
      {
        MutexLock lock(mutex_);
        if (reading_ || ended_ || items_.size() >= kMaxInFlight) return;
        reading_ = true;
      }
      absl::StatusOr<std::optional<http::grpc::Message>> message = call_->wire().Take();
      if (!message.ok()) return End(message.status());
      if (!*message) {
        return call_->wire().ReadMore([self = shared_from_this()](absl::StatusOr<bool> more) {
          if (!more.ok() || !*more) return self->End(more.status());
          {
            MutexLock lock(self->mutex_);
            self->reading_ = false;
          }
          self->Read();
        });
      }
      Item* item = nullptr;
      {
        MutexLock lock(mutex_);
        items_.push_back(std::make_unique<Item>(shared_from_this(), **std::move(message)));
        item = items_.back().get();
        reading_ = false;
      }
      item->Start();
    }
  }

  // No more requests come.
  void End(absl::Status status) {
    {
      MutexLock lock(mutex_);
      ended_ = true;
      end_ = std::move(status);
    }
    Write();
  }

  void Answered(Item& item, std::string frame) {
    {
      MutexLock lock(mutex_);
      item.frame = std::move(frame);
      item.answered = true;
    }
    Write();
  }

  // Writes the first answer where it is there and no other is on its way, or ends the call.
  void Write() {
    std::string frame;
    absl::Status end;
    {
      MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (!items_.empty()) {
        if (!items_.front()->answered) return;
        writing_ = true;
        frame = std::move(items_.front()->frame);
      } else {
        if (!ended_) return;
        finished_ = true;
        end = end_.ok() && call_->gone() ? absl::CancelledError("the caller has gone") : end_;
      }
    }
    if (frame.empty()) return call_->Finish(end);
    call_->wire().Write(std::move(frame), [self = shared_from_this()](const absl::Status&) {
      {
        MutexLock lock(self->mutex_);
        self->writing_ = false;
        self->items_.pop_front();
      }
      self->Write();
      self->Read();
    });
  }

  const std::unique_ptr<ServiceCall> call_;
  const Clock& clock_;
  const StartInference start_;

  Mutex mutex_;
  std::deque<std::unique_ptr<Item>> items_ GUARDED_BY(mutex_);  // in the order of the requests
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;  // the first of items_
  bool ended_ GUARDED_BY(mutex_) = false;    // no more requests come,
  absl::Status end_ GUARDED_BY(mutex_);      // and why
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace

void RunInferStream(std::unique_ptr<ServiceCall> call, const Clock& clock, StartInference start) {
  std::make_shared<InferStream>(std::move(call), clock, std::move(start))->Start();
}

}  // namespace slipway::worker
