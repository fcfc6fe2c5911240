#include "services/gateway/routing/grpc_worker_client.h"

#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "inference/open_inference.grpc.pb.h"

namespace slipway::gateway {
namespace {

// gRPC tells a call that found no connection from one whose connection broke by its message only.
// The integration tests hold this together with the library that is installed.
bool NeverSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().starts_with("failed to connect to all addresses");
}

class GrpcCall final : public WorkerCall {
 public:
  explicit GrpcCall(Worker::Done done) : done_(std::move(done)) {}

  void Cancel() override { context.TryCancel(); }

  void End(const grpc::Status& status) {
    if (status.ok()) {
      done_(absl::OkStatus(), false);
    } else {
      const bool never_sent = NeverSent(status);
      // Where a worker was looked for is nothing that callers should read.
      done_(status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty()
                ? absl::UnavailableError("the model's worker cannot be reached; try again")
                : FromGrpcStatus(status),
            never_sent);
    }
    // It owns what owns this call.
    done_ = nullptr;
  }

  grpc::ClientContext context;

 private:
  Worker::Done done_;
};

class GrpcWorker final : public Worker {
 public:
  GrpcWorker(std::string address, std::shared_ptr<grpc::Channel> channel)
      : Worker(std::move(address)),
        channel_(std::move(channel)),
        stub_(inference::GRPCInferenceService::NewStub(channel_)) {
    channel_->GetState(/*try_to_connect=*/true);
  }

  std::shared_ptr<WorkerCall> Infer(const Options& options,
                                    const inference::ModelInferRequest& request,
                                    inference::ModelInferResponse& response, Done done) override {
    auto call = std::make_shared<GrpcCall>(std::move(done));
    PrepareContext(call->context, {.token = options.token,
                                   .request_id = options.request_id,
                                   .deadline = options.deadline,
                                   .wait_for_ready = false});
    stub_->async()->ModelInfer(&call->context, &request, &response,
                               [call](const grpc::Status& status) { call->End(status); });
    return call;
  }

  bool reachable() const override {
    return channel_->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_TRANSIENT_FAILURE;
  }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

}  // namespace

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
  auto worker = std::make_shared<GrpcWorker>(address, *std::move(channel));
  workers_[address] = worker;
  return worker;
}

}  // namespace slipway::gateway
