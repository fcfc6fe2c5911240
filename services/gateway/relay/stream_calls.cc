#include <atomic>
#include <memory>
#include <utility>

#include "common/grpc/status.h"
#include "fmt/format.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/alarm.h"
#include "grpcpp/support/client_callback.h"
#include "services/gateway/error_body.h"
#include "services/gateway/relay/api_call.h"

namespace slipway::gateway {

// The generic stub knows streams in both directions only; on the wire the others are the same.
using Reactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

namespace {

constexpr int kCallerLeft = 499;

}  // namespace

// A call whose answer is a stream: the next message is read when the kernel has taken the last,
// so that a slow caller slows the service down.
class ServerStreamCall : public ApiCall, protected Reactor {
 public:
  ServerStreamCall(ApiCore& core, RequestMetrics& metrics, std::shared_ptr<http::Exchange> exchange,
                   std::shared_ptr<const KnownKey> key, MethodTable::Match match)
      : ApiCall(core, metrics, std::move(exchange), std::move(key), std::move(match)),
        stream_(core.streams) {}

 protected:
  /// A message as a piece of the answer; `headers` are for the first.
  virtual absl::StatusOr<std::string> Piece(const google::protobuf::Message& message,
                                            http::Headers& headers) = 0;
  virtual http::Headers FirstHeaders() = 0;
  /// Tells an error in an answer that has begun. False where it cannot but break off.
  virtual bool TellError(const absl::Status& status) = 0;
  /// No more comes.
  virtual void OnEnd() {}
  /// What the caller is told of the stream's end.
  virtual absl::Status Explain(const absl::Status& status) { return status; }

  bool started() const { return started_; }
  void StartAnswer(http::Headers headers) {
    if (std::exchange(started_, true)) return;
    exchange().StartResponse(200, std::move(headers));
  }

  Mutex mutex_;  // the order of what goes out

  void Begin() override {
    const absl::Status prepared = PrepareContext(absl::InfiniteFuture());
    if (!prepared.ok()) {
      OnEnd();
      return Fail(prepared);
    }
    self_ = shared_from_this();
    sent_ = ToBuffer(request());
    core()
        .parts.backends.stub(method().backend)
        .PrepareBidiStreamingCall(&context_, method().forward, grpc::StubOptions(), this);
    // Reads are started from the listener's threads too, which the hold allows.
    AddHold();
    StartWriteLast(&sent_, grpc::WriteOptions());
    StartRead(&received_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    std::unique_ptr<google::protobuf::Message> message(method().response->New());
    absl::Status status = FromBuffer(received_, *message);
    std::string piece;
    http::Headers headers = FirstHeaders();
    if (status.ok()) {
      absl::StatusOr<std::string> made = Piece(*message, headers);
      status = made.status();
      if (made.ok()) piece = *std::move(made);
    }
    if (!status.ok()) {
      error_ = status;
      context_.TryCancel();
      return RemoveHold();
    }
    MutexLock lock(mutex_);
    StartAnswer(std::move(headers));
    exchange().Write(std::move(piece), [this, self = shared_from_this()](const absl::Status& sent) {
      if (sent.ok()) return StartRead(&received_);
      caller_left_ = true;
      context_.TryCancel();
      RemoveHold();
    });
  }

  void OnDone(const grpc::Status& grpc_status) override {
    OnEnd();
    absl::Status status = error_;
    if (status.ok() && !grpc_status.ok()) status = FromBackend(grpc_status, method().backend);
    status = Explain(status);
    const std::shared_ptr<ApiCall> self = std::move(self_);
    MutexLock lock(mutex_);
    if (caller_left_) return End(kCallerLeft);
    if (!started_ && !status.ok()) return Fail(status);
    StartAnswer(FirstHeaders());
    if (!status.ok() && !TellError(status)) {
      // The exchange ends without its end, and the peer sees it cut.
      return End(ToHttpCode(status));
    }
    exchange().Finish();
    End(status.ok() ? 200 : ToHttpCode(status));
  }

  const InFlight::Guard stream_;
  std::shared_ptr<ApiCall> self_;  // until OnDone
  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
  absl::Status error_;
  std::atomic<bool> caller_left_ = false;
  bool started_ = false;  // under mutex_ once the stream has begun
};

// One JSON object a line, and an empty line where nothing happens for a while.
class WatchCall final : public ServerStreamCall {
 public:
  using ServerStreamCall::ServerStreamCall;

  /// The gateway stops: the caller is told to come back.
  void EndByGateway() {
    ended_by_gateway_ = true;
    context_.TryCancel();
  }

 private:
  void Begin() override {
    {
      MutexLock lock(core().mutex);
      if (!core().ending) core().watches.insert(this);
      ended_by_gateway_ = core().ending;
    }
    if (ended_by_gateway_) return Fail(Stopping());
    {
      MutexLock lock(mutex_);
      SetHeartbeat();
    }
    ServerStreamCall::Begin();
  }

  static absl::Status Stopping() {
    return absl::UnavailableError("the gateway is stopping; watch again");
  }

  absl::StatusOr<std::string> Piece(const google::protobuf::Message& message,
                                    http::Headers&) override {
    silent_ = false;
    return ToJson(message) + "\n";
  }

  http::Headers FirstHeaders() override {
    return {{"content-type", "application/x-ndjson"}, {"cache-control", "no-store"}};
  }

  bool TellError(const absl::Status& status) override {
    exchange().Write(ApiErrorJson(status, request_id()) + "\n", nullptr);
    return true;
  }

  absl::Status Explain(const absl::Status& status) override {
    return ended_by_gateway_ && !status.ok() ? Stopping() : status;
  }

  void SetHeartbeat() REQUIRES(mutex_) {
    // A fresh one each time: this may be the callback of the last.
    heartbeat_ = std::make_unique<grpc::Alarm>();
    heartbeat_->Set(absl::ToChronoTime(core().parts.clock.Now() + core().options.heartbeat),
                    [this, self = shared_from_this()](bool due) {
                      if (due) Beat();
                    });
  }

  void Beat() {
    MutexLock lock(mutex_);
    if (over_) return;
    if (silent_.exchange(true)) {
      StartAnswer(FirstHeaders());
      exchange().Write("\n", nullptr);
    }
    SetHeartbeat();
  }

  void OnEnd() override {
    {
      MutexLock lock(core().mutex);
      core().watches.erase(this);
    }
    MutexLock lock(mutex_);
    over_ = true;
    // An alarm keeps its callback, which owns this call, for as long as it lives.
    heartbeat_.reset();
  }

  std::unique_ptr<grpc::Alarm> heartbeat_ GUARDED_BY(mutex_);
  std::atomic<bool> silent_ = true;
  std::atomic<bool> ended_by_gateway_ = false;
  bool over_ GUARDED_BY(mutex_) = false;
};

namespace {

// The bytes of google.api.HttpBody messages, one after the other.
class DownloadCall final : public ServerStreamCall {
 public:
  using ServerStreamCall::ServerStreamCall;

 private:
  absl::StatusOr<std::string> Piece(const google::protobuf::Message& message,
                                    http::Headers& headers) override {
    const auto& body = static_cast<const google::api::HttpBody&>(message);
    if (!body.content_type().empty()) headers.Set("content-type", body.content_type());
    return body.data();
  }

  http::Headers FirstHeaders() override {
    // What a tenant uploaded is shown by no browser as a page of ours.
    return {{"content-type", "application/octet-stream"}, {"x-content-type-options", "nosniff"}};
  }

  bool TellError(const absl::Status&) override { return false; }
};

// A body of any length into messages of one piece each. The next piece is taken from the caller
// when the service has taken the last.
class UploadCall final : public ApiCall, private Reactor {
 public:
  UploadCall(ApiCore& core, RequestMetrics& metrics, std::shared_ptr<http::Exchange> exchange,
             std::shared_ptr<const KnownKey> key, MethodTable::Match match)
      : ApiCall(core, metrics, std::move(exchange), std::move(key), std::move(match)),
        stream_(core.streams) {}

 private:
  void Begin() override {
    const absl::Status prepared = PrepareContext(absl::InfiniteFuture());
    if (!prepared.ok()) return Fail(prepared);
    exchange().LimitBody(core().options.max_upload_bytes);
    Content(request()).set_content_type(std::string(exchange().head().headers.Get("content-type")));
    self_ = shared_from_this();
    core()
        .parts.backends.stub(method().backend)
        .PrepareBidiStreamingCall(&context_, method().forward, grpc::StubOptions(), this);
    AddHold();
    StartRead(&received_);
    StartCall();
    ReadPiece();
  }

  google::api::HttpBody& Content(google::protobuf::Message& message) {
    return static_cast<google::api::HttpBody&>(
        *message.GetReflection()->MutableMessage(&message, binding().body_field));
  }

  void ReadPiece() {
    exchange().ReadSome([this, self = shared_from_this()](absl::StatusOr<std::string> piece) {
      if (!piece.ok()) {
        // The listener has answered, or there is nobody left to.
        refused_ = ToHttpCode(piece.status());
        context_.TryCancel();
        return RemoveHold();
      }
      last_ = piece->empty();
      if (last_ && any_sent_) {
        StartWritesDone();
        return RemoveHold();
      }
      // Names travel with the first piece only.
      if (any_sent_) request().Clear();
      any_sent_ = true;
      Content(request()).set_data(*std::move(piece));
      sent_ = ToBuffer(request());
      if (!last_) return StartWrite(&sent_);
      StartWriteLast(&sent_, grpc::WriteOptions());
      RemoveHold();
    });
  }

  void OnWriteDone(bool ok) override {
    if (last_) return;
    if (ok) return ReadPiece();
    // The service has ended the call; OnDone says why.
    RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<ApiCall> self = std::move(self_);
    if (refused_ != 0) return End(refused_);
    if (!status.ok()) return Fail(FromBackend(status, method().backend));
    std::unique_ptr<google::protobuf::Message> answer(method().response->New());
    const absl::Status parsed = FromBuffer(received_, *answer);
    if (!parsed.ok()) return Fail(parsed);
    Succeed(*answer);
  }

  const InFlight::Guard stream_;
  std::shared_ptr<ApiCall> self_;  // until OnDone
  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
  bool any_sent_ = false;
  std::atomic<bool> last_ = false;
  std::atomic<int> refused_ = 0;
};

}  // namespace

std::shared_ptr<ApiCall> MakeStreamCall(ApiCore& core, RequestMetrics& metrics,
                                        std::shared_ptr<http::Exchange> exchange,
                                        std::shared_ptr<const KnownKey> key,
                                        MethodTable::Match match) {
  const PublicMethod& method = *match.method;
  if (method.client_streaming()) {
    return std::make_shared<UploadCall>(core, metrics, std::move(exchange), std::move(key),
                                        std::move(match));
  }
  if (method.answers_bytes()) {
    return std::make_shared<DownloadCall>(core, metrics, std::move(exchange), std::move(key),
                                          std::move(match));
  }
  return std::make_shared<WatchCall>(core, metrics, std::move(exchange), std::move(key),
                                     std::move(match));
}

void EndWatches(ApiCore& core) {
  MutexLock lock(core.mutex);
  core.ending = true;
  for (WatchCall* watch : core.watches) watch->EndByGateway();
}

}  // namespace slipway::gateway
