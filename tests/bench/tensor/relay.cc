#include "tests/bench/tensor/relay.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <memory>

#include "common/grpc/client.h"
#include "common/grpc/server.h"
#include "common/process/shutdown.h"

namespace slipway {
namespace {

int Serve(const std::string& address, grpc::CallbackGenericService& service) {
  ShutdownSignal shutdown;
  GrpcServerOptions options;
  options.address = address;
  options.configure = [&](grpc::ServerBuilder& builder) {
    builder.RegisterCallbackGenericService(&service);
  };
  const auto server = GrpcServer::Start(options, {});
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  shutdown.Wait();
  return 0;
}

class EchoReactor final : public grpc::ServerGenericBidiReactor {
 public:
  EchoReactor() { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer message_;
};

class Echo final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new EchoReactor;
  }
};

class RelayReactor final : public grpc::ServerGenericBidiReactor {
 public:
  RelayReactor(grpc::GenericStub& stub, grpc::GenericCallbackServerContext& server)
      : stub_(stub), method_(server.method()) {
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    stub_.UnaryCall(&context_, method_, grpc::StubOptions(), &request_, &answer_,
                    [this](const grpc::Status& status) {
                      if (!status.ok()) return Finish(status);
                      StartWriteAndFinish(&answer_, grpc::WriteOptions(), status);
                    });
  }
  void OnDone() override { delete this; }

 private:
  grpc::GenericStub& stub_;
  const std::string method_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

class Relay final : public grpc::CallbackGenericService {
 public:
  explicit Relay(std::shared_ptr<grpc::Channel> target) : stub_(std::move(target)) {}

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new RelayReactor(stub_, *context);
  }
  grpc::GenericStub stub_;
};

}  // namespace

int RunEcho(const std::string& address) {
  Echo echo;
  return Serve(address, echo);
}

int RunRelay(const std::string& address, const std::string& target) {
  auto channel = OpenChannel({.address = target});
  if (!channel.ok()) return 1;
  Relay relay(*std::move(channel));
  return Serve(address, relay);
}

}  // namespace slipway
