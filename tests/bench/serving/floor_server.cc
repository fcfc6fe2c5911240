#include "tests/bench/serving/floor_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

#include "common/grpc/server.h"
#include "common/process/shutdown.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/bench/serving/bare_forward.h"
#include "tests/bench/serving/models.h"

namespace slipway {
namespace {

int Serve(const std::string& socket, grpc::Service& service) {
  ShutdownSignal shutdown;
  GrpcServerOptions options;
  options.address = "unix:" + socket;
  const auto server = GrpcServer::Start(options, {&service});
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  shutdown.Wait();
  return 0;
}

// As large as the small MLP's answer.
void SetAnswer(const inference::ModelInferRequest& request,
               inference::ModelInferResponse& response) {
  response.set_model_name(request.model_name());
  response.set_model_version("1");
  auto& output = *response.add_outputs();
  output.set_name("probabilities");
  output.set_datatype("FP32");
  output.add_shape(1);
  output.add_shape(10);
  response.add_raw_output_contents(std::string(40, 'x'));
}

class EmptyService final : public inference::GRPCInferenceService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext* context,
                                       const inference::ServerLiveRequest*,
                                       inference::ServerLiveResponse*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    SetAnswer(*request, *response);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class SlowService final : public inference::GRPCInferenceService::CallbackService {
 public:
  explicit SlowService(absl::Duration each) : each_(each) {
    answerer_ = std::jthread([this] { Answer(); });
  }
  ~SlowService() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.SignalAll();
  }
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    SetAnswer(*request, *response);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    MutexLock lock(mutex_);
    // By the clock, so that waking up late costs no capacity.
    last_ = std::max(last_, Clock::Real().Monotonic()) + each_;
    waiting_.push_back({last_, reactor});
    if (waiting_.size() == 1) changed_.SignalAll();
    return reactor;
  }

 private:
  struct Call {
    absl::Duration ends;
    grpc::ServerUnaryReactor* reactor;
  };
  void Answer() {
    for (;;) {
      grpc::ServerUnaryReactor* due = nullptr;
      {
        MutexLock lock(mutex_);
        if (stopping_) return;
        const absl::Duration left = waiting_.empty()
                                        ? absl::InfiniteDuration()
                                        : waiting_.front().ends - Clock::Real().Monotonic();
        if (left > absl::ZeroDuration()) {
          changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(left));
          continue;
        }
        due = waiting_.front().reactor;
        waiting_.pop_front();
      }
      due->Finish(grpc::Status::OK);
    }
  }

  const absl::Duration each_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Call> waiting_ GUARDED_BY(mutex_);
  absl::Duration last_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread answerer_;
};

class ForwardService final : public inference::GRPCInferenceService::Service {
 public:
  grpc::Status ModelReady(grpc::ServerContext*, const inference::ModelReadyRequest* request,
                          inference::ModelReadyResponse*) override {
    (request->name() == "mlp" ? mlp_ : cnn_).Run(std::atoi(request->version().c_str()));
    return grpc::Status::OK;
  }

 private:
  BareForward mlp_{BenchMlp(), kMlpShape};
  BareForward cnn_{BenchCnn(), kCnnShape};
};

}  // namespace

int RunEmptyServer(const std::string& socket) {
  EmptyService service;
  return Serve(socket, service);
}

int RunSlowServer(const std::string& socket, int micros) {
  SlowService service(absl::Microseconds(micros));
  return Serve(socket, service);
}

int RunForwardServer(const std::string& socket) {
  ForwardService service;
  return Serve(socket, service);
}

}  // namespace slipway
