#include "services/inference/infer_stream_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "common/grpc/status.h"
#include "common/sync/mutex.h"

namespace slipway::worker {
namespace {

// How many requests of one stream may be between their reading and their answer's writing.
constexpr size_t kMaxInFlight = 16;
// By which clients of streams with any number of responses know the last one.
constexpr char kWantsFinal[] = "triton_enable_empty_final_response";
constexpr char kIsFinal[] = "triton_final_response";

class InferStream final : public InferStreamReactor {
 public:
  InferStream(grpc::CallbackServerContext& context, ServiceEdge& edge, const Clock& clock,
              StartInference start)
      : edge_(edge), clock_(clock), start_(std::move(start)) {
    absl::StatusOr<CallContext> call = edge_.Admit(context, edge_.MethodIndex("ModelStreamInfer"));
    if (!call.ok()) {
      Finish(ToGrpcStatus(call.status()));
      return;
    }
    call_.emplace(*std::move(call));
    Proceed();
  }

  void OnReadDone(bool ok) override {
    Item* item = nullptr;
    {
      MutexLock lock(mutex_);
      reading_ = false;
      if (ok) {
        item = next_.get();
        items_.push_back(std::move(next_));
      } else {
        ended_ = true;
      }
    }
    // Others of the stream may be read, run and be answered while this one runs here.
    Proceed();
    if (item != nullptr) item->Start();
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      items_.pop_front();
      if (!ok) gone_ = true;
    }
    Proceed();
  }

  void OnCancel() override { gone_ = true; }
  void OnDone() override { delete this; }

 private:
  // One request of the stream.
  class Item final : public InferenceCaller {
   public:
    explicit Item(InferStream& stream) : stream_(stream) {}

    void Start() {
      // Of its own: a stream may have none.
      const absl::Time deadline =
          std::min(stream_.call_->deadline, stream_.clock_.Now() + ServiceEdge::kDefaultDeadline);
      stream_.start_({.principal = stream_.call_->principal,
                      .deadline = deadline,
                      .start = stream_.clock_.Monotonic(),
                      .message = request,
                      .response = *response.mutable_infer_response()},
                     *this);
    }

    bool Gone() const override { return stream_.gone_; }

    void Answer(const absl::Status& status) override {
      inference::ModelInferResponse& answer = *response.mutable_infer_response();
      if (!status.ok()) {
        answer.Clear();
        answer.set_id(request.id());
        const absl::Status shown = stream_.edge_.Report(*stream_.call_, status);
        response.set_error_message(std::string(shown.message()));
      }
      const auto wants_final = request.parameters().find(kWantsFinal);
      if (wants_final != request.parameters().end() && wants_final->second.bool_param()) {
        (*answer.mutable_parameters())[kIsFinal].set_bool_param(true);
      }
      stream_.Answered(*this);
    }

    inference::ModelInferRequest request;
    inference::ModelStreamInferResponse response;
    bool answered = false;  // under the stream's mutex

   private:
    InferStream& stream_;
  };

  void Answered(Item& item) {
    {
      MutexLock lock(mutex_);
      item.answered = true;
    }
    Proceed();
  }

  // Starts whatever can be started now. What gRPC starts may end before it returns, so that no
  // lock is held; once the stream is finished nothing of it may be touched.
  void Proceed() {
    inference::ModelInferRequest* read = nullptr;
    const inference::ModelStreamInferResponse* write = nullptr;
    bool finish = false;
    {
      MutexLock lock(mutex_);
      if (!ended_ && !reading_ && items_.size() < kMaxInFlight) {
        next_ = std::make_unique<Item>(*this);
        reading_ = true;
        read = &next_->request;
      }
      // Nobody takes the answers of a stream that has gone.
      while (gone_ && !writing_ && !items_.empty() && items_.front()->answered) items_.pop_front();
      if (!writing_ && !items_.empty() && items_.front()->answered) {
        writing_ = true;
        write = &items_.front()->response;
      }
      finish = ended_ && items_.empty() && !finished_;
      if (finish) finished_ = true;
    }
    if (read != nullptr) StartRead(read);
    if (write != nullptr) StartWrite(write);
    if (finish) {
      Finish(edge_.Finish(*call_,
                          gone_ ? absl::CancelledError("the caller has gone") : absl::OkStatus()));
    }
  }

  ServiceEdge& edge_;
  const Clock& clock_;
  const StartInference start_;
  std::optional<const CallContext> call_;
  std::atomic<bool> gone_ = false;

  Mutex mutex_;
  std::unique_ptr<Item> next_ GUARDED_BY(mutex_);               // being read into
  std::deque<std::unique_ptr<Item>> items_ GUARDED_BY(mutex_);  // in the order of their reading
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;  // the first of items_
  bool ended_ GUARDED_BY(mutex_) = false;    // no more requests come
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace

InferStreamReactor* NewInferStream(grpc::CallbackServerContext& context, ServiceEdge& edge,
                                   const Clock& clock, StartInference start) {
  return new InferStream(context, edge, clock, std::move(start));
}

}  // namespace slipway::worker
