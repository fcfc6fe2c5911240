#include "tests/bench/serving/floor_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>

#include "common/grpc/server.h"
#include "common/process/shutdown.h"
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

class EmptyService final : public inference::GRPCInferenceService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext* context,
                                       const inference::ServerLiveRequest*,
                                       inference::ServerLiveResponse*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  // As large as the small MLP's answer.
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    response->set_model_name(request->model_name());
    response->set_model_version("1");
    auto& output = *response->add_outputs();
    output.set_name("probabilities");
    output.set_datatype("FP32");
    output.add_shape(1);
    output.add_shape(10);
    response->add_raw_output_contents(std::string(40, 'x'));
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
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

int RunForwardServer(const std::string& socket) {
  ForwardService service;
  return Serve(socket, service);
}

}  // namespace slipway
