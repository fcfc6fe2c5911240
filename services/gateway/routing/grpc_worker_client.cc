#include "services/gateway/routing/grpc_worker_client.h"

#include <thread>
#include <utility>
#include <vector>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace slipway::gateway {
namespace {

// Pieces under this size are cheaper to copy than to count.
constexpr size_t kCopyBytes = 4096;

// gRPC tells a call that found no connection from one whose connection broke by its message only.
// The integration tests hold this together with the library that is installed.
bool NeverSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect to all addresses");
}

// A slice of a piece's own bytes.
grpc::Slice Share(absl::Cord piece) {
  auto* const held = new absl::Cord(std::move(piece));
  const absl::string_view bytes = *held->TryFlat();
  return grpc::Slice(
      const_cast<char*>(bytes.data()), bytes.size(),
      [](void* owner) { delete static_cast<absl::Cord*>(owner); }, held);
}

grpc::ByteBuffer ToBuffer(const absl::Cord& message) {
  if (message.size() <= kCopyBytes) {
    grpc_slice copy = grpc_slice_malloc(message.size());
    uint8_t* at = GRPC_SLICE_START_PTR(copy);
    for (const absl::string_view chunk : message.Chunks()) {
      at = std::copy(chunk.begin(), chunk.end(), at);
    }
    const grpc::Slice slice(copy, grpc::Slice::STEAL_REF);
    return grpc::ByteBuffer(&slice, 1);
  }
  std::vector<grpc::Slice> slices;
  size_t offset = 0;
  for (const absl::string_view chunk : message.Chunks()) {
    slices.push_back(chunk.size() <= kCopyBytes ? grpc::Slice(chunk.data(), chunk.size())
                                                : Share(message.Subcord(offset, chunk.size())));
    offset += chunk.size();
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::Cord FromBuffer(const grpc::ByteBuffer& buffer) {
  absl::Cord message;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return message;
  for (grpc::Slice& slice : slices) {
    const absl::string_view bytes(reinterpret_cast<const char*>(slice.begin()), slice.size());
    if (bytes.size() <= kCopyBytes) {
      message.Append(bytes);
    } else {
      // Slices of that size lie outside their handle, which may move.
      message.Append(absl::MakeCordFromExternal(bytes, [slice = std::move(slice)] {}));
    }
  }
  return message;
}

class GrpcCall final : public WorkerCall {
 public:
  explicit GrpcCall(Worker::Done done) : done_(std::move(done)) {}

  void Cancel() override { context_.TryCancel(); }

  static void Start(std::shared_ptr<GrpcCall> call, grpc::GenericStub& stub,
                    const std::string& method, const Worker::Options& options,
                    const absl::Cord& request, grpc::CompletionQueue& queue) {
    PrepareContext(call->context_, {.token = options.token,
                                    .request_id = options.request_id,
                                    .deadline = options.deadline,
                                    .wait_for_ready = false});
    call->reader_ = stub.PrepareUnaryCall(&call->context_, method, ToBuffer(request), &queue);
    call->reader_->StartCall();
    // Until its end it owns itself: the tag in the queue is this.
    GrpcCall& started = *call;
    started.self_ = std::move(call);
    started.reader_->Finish(&started.answer_, &started.status_, &started);
  }

  void End() {
    const std::shared_ptr<GrpcCall> self = std::move(self_);
    // What it owns may own this.
    Worker::Done done = std::exchange(done_, nullptr);
    if (status_.ok()) return done({absl::OkStatus(), FromBuffer(answer_), false});
    // Where a worker was looked for is nothing that callers should read.
    const bool unreachable =
        status_.error_code() == grpc::StatusCode::UNAVAILABLE && status_.error_details().empty();
    done({unreachable ? absl::UnavailableError("the model's worker cannot be reached; try again")
                      : FromGrpcStatus(status_),
          {},
          NeverSent(status_)});
  }

 private:
  grpc::ClientContext context_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  Worker::Done done_;
  std::shared_ptr<GrpcCall> self_;
};

class GrpcWorker final : public Worker {
 public:
  GrpcWorker(std::string address, std::shared_ptr<grpc::Channel> channel,
             grpc::CompletionQueue& queue)
      : Worker(std::move(address)), channel_(std::move(channel)), queue_(queue), stub_(channel_) {
    channel_->GetState(/*try_to_connect=*/true);
  }

  std::shared_ptr<WorkerCall> Call(std::string_view method, const Options& options,
                                   const absl::Cord& request, Done done) override {
    auto call = std::make_shared<GrpcCall>(std::move(done));
    GrpcCall::Start(call, stub_, fmt::format("/inference.GRPCInferenceService/{}", method), options,
                    request, queue_);
    return call;
  }

  bool reachable() const override {
    return channel_->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE;
  }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::CompletionQueue& queue_;
  grpc::GenericStub stub_;
};

}  // namespace

// gRPC's callback API would take answers on two threads of its own at least, which spend more time
// on each other's locks and wake-ups than on the answers.
class WorkerDirectory::Answers {
 public:
  explicit Answers(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Take(); });
  }
  ~Answers() { queue_.Shutdown(); }

  grpc::CompletionQueue& queue() { return queue_; }

 private:
  void Take() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) static_cast<GrpcCall*>(tag)->End();
  }

  grpc::CompletionQueue queue_;
  std::vector<std::jthread> threads_;
};

WorkerDirectory::WorkerDirectory(TlsFiles tls, int threads)
    : tls_(std::move(tls)), answers_(std::make_unique<Answers>(threads)) {}

WorkerDirectory::~WorkerDirectory() = default;

std::shared_ptr<Worker> WorkerDirectory::Get(const std::string& address) {
  MutexLock lock(mutex_);
  std::erase_if(workers_, [](const auto& known) { return known.second.expired(); });
  if (const auto known = workers_.find(address); known != workers_.end()) {
    if (auto worker = known->second.lock()) return worker;
  }
  ChannelOptions options;
  options.address = address;
  options.tls = tls_;
  auto channel = OpenChannel(options);
  if (!channel.ok()) {
    Log(Severity::kError, "worker_not_dialled",
        {{"address", address}, {"error", channel.status()}});
    return nullptr;
  }
  auto worker = std::make_shared<GrpcWorker>(address, *std::move(channel), answers_->queue());
  workers_[address] = worker;
  return worker;
}

}  // namespace slipway::gateway
