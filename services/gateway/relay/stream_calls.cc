#include <atomic>
#include <memory>
#include <utility>

#include "common/grpc/status.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/alarm.h"
#include "grpcpp/support/client_callback.h"
#include "services/gateway/relay/api_call.h"

namespace slipway::gateway {

// The generic stub knows streams in both directions only; on the wire the others are the same.
using Reactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A call whose answer is a stream: the next message is read when the kernel has taken the last,
// so that a slow caller slows the service down.
class ServerStreamCall : public ApiCall, protected Reactor {
 public:
  ServerStreamCall(ApiCore& core, RequestMetrics& metrics, const PublicMethod& method,
                   std::shared_ptr<const KnownKey> key, std::unique_ptr<ApiTransport> transport)
      : ApiCall(core, metrics, method, std::move(key), std::move(transport)),
        stream_(core.streams) {}

 protected:
  /// A message came.
  virtual void OnMessage() {}
  /// No more comes.
  virtual void OnEnd() {}
  /// What the caller is told of the stream's end.
  virtual absl::Status Explain(const absl::Status& status) { return status; }

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
    if (const absl::Status status = FromBuffer(received_, *message); !status.ok()) {
      error_ = status;
      context_.TryCancel();
      return RemoveHold();
    }
    OnMessage();
    MutexLock lock(mutex_);
    transport().Write(*message, [this, self = shared_from_this()](const absl::Status& sent) {
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
    const std::shared_ptr<ApiCall> self = std::move(self_);
    MutexLock lock(mutex_);
    End(caller_left_ ? kCallerLeft : transport().Finish(Explain(status)));
  }

  const InFlight::Guard stream_;
  std::shared_ptr<ApiCall> self_;  // until OnDone
  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
  absl::Status error_;
  std::atomic<bool> caller_left_ = false;
};

// Events for as long as the caller likes, with a sign of life where none comes for a while.
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

  void OnMessage() override { silent_ = false; }

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
    if (silent_.exchange(true)) transport().Beat();
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

// A stream of requests, any number of bytes in all. The next one is taken from the caller when the
// service has taken the last.
class UploadCall final : public ApiCall, private Reactor {
 public:
  UploadCall(ApiCore& core, RequestMetrics& metrics, const PublicMethod& method,
             std::shared_ptr<const KnownKey> key, std::unique_ptr<ApiTransport> transport)
      : ApiCall(core, metrics, method, std::move(key), std::move(transport)),
        stream_(core.streams) {}

 private:
  void Begin() override {
    const absl::Status prepared = PrepareContext(absl::InfiniteFuture());
    if (!prepared.ok()) return Fail(prepared);
    self_ = shared_from_this();
    core()
        .parts.backends.stub(method().backend)
        .PrepareBidiStreamingCall(&context_, method().forward, grpc::StubOptions(), this);
    AddHold();
    StartRead(&received_);
    StartCall();
    SendNext();
  }

  void SendNext() {
    transport().ReceiveNext(request(),
                            [this, self = shared_from_this()](absl::StatusOr<bool> more) {
                              if (more.ok() && *more) {
                                sent_ = ToBuffer(request());
                                return StartWrite(&sent_);
                              }
                              if (more.ok()) {
                                StartWritesDone();
                              } else {
                                answered_ = ToHttpCode(more.status());
                                context_.TryCancel();
                              }
                              RemoveHold();
                            });
  }

  void OnWriteDone(bool ok) override {
    if (ok) return SendNext();
    // The service has ended the call; OnDone says why.
    RemoveHold();
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<ApiCall> self = std::move(self_);
    if (answered_ != 0) return End(answered_);
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
  std::atomic<int> answered_ = 0;  // already
};

// A stream of answers that the gateway makes itself, in the pool: the next one when the kernel has
// taken the last.
class LocalStreamCall final : public ApiCall {
 public:
  LocalStreamCall(ApiCore& core, RequestMetrics& metrics, const PublicMethod& method,
                  std::shared_ptr<const KnownKey> key, std::unique_ptr<ApiTransport> transport)
      : ApiCall(core, metrics, method, std::move(key), std::move(transport)),
        stream_(core.streams) {}

 private:
  void Begin() override {
    const LocalMethods::StreamHandler* handler = core().parts.local.FindStream(method().name);
    if (handler == nullptr) return Fail(absl::InternalError("a local method lost its handler"));
    absl::StatusOr<LocalMethods::Pieces> pieces = (*handler)(principal(), request());
    if (!pieces.ok()) return Fail(pieces.status());
    pieces_ = *std::move(pieces);
    Next();
  }

  void Next() {
    message_.reset(method().response->New());
    const absl::StatusOr<bool> more = pieces_(*message_);
    if (!more.ok() || !*more) return End(transport().Finish(more.status()));
    transport().Write(*message_, [this, self = shared_from_this()](const absl::Status& sent) {
      if (!sent.ok()) return End(kCallerLeft);
      if (core().parts.pool.Submit([this, self] { Next(); })) return;
      End(transport().Finish(absl::UnavailableError("the gateway is busy; try again")));
    });
  }

  const InFlight::Guard stream_;
  LocalMethods::Pieces pieces_;
  std::unique_ptr<google::protobuf::Message> message_;
};

}  // namespace

std::shared_ptr<ApiCall> MakeStreamCall(ApiCore& core, RequestMetrics& metrics,
                                        const PublicMethod& method,
                                        std::shared_ptr<const KnownKey> key,
                                        std::unique_ptr<ApiTransport> transport) {
  if (method.forward.empty()) {
    return std::make_shared<LocalStreamCall>(core, metrics, method, std::move(key),
                                             std::move(transport));
  }
  if (method.client_streaming()) {
    return std::make_shared<UploadCall>(core, metrics, method, std::move(key),
                                        std::move(transport));
  }
  // Bytes end by themselves.
  if (method.answers_bytes()) {
    return std::make_shared<ServerStreamCall>(core, metrics, method, std::move(key),
                                              std::move(transport));
  }
  return std::make_shared<WatchCall>(core, metrics, method, std::move(key), std::move(transport));
}

void EndWatches(ApiCore& core) {
  MutexLock lock(core.mutex);
  core.ending = true;
  for (WatchCall* watch : core.watches) watch->EndByGateway();
}

}  // namespace slipway::gateway
