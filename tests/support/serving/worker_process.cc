#include "tests/support/serving/worker_process.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/grpc/client.h"
#include "slipway/worker/v1/worker.grpc.pb.h"
#include "tests/support/eventually.h"
#include "tests/support/launch.h"

namespace slipway {
namespace {

using Stub = worker::v1::WorkerService::Stub;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "slipway-worker: %s\n", what.c_str());
  std::abort();
}

}  // namespace

class WorkerProcess::Controller {
 public:
  Controller(const TestTrust& trust, const std::string& worker)
      : trust_(trust),
        stub_(worker::v1::WorkerService::NewStub(*OpenChannel({.address = worker, .tls = {}}))) {}

  // Calls a method, and aborts where that fails.
  template <class Request, class Response>
  Response Call(grpc::Status (worker::v1::WorkerService::Stub::*method)(grpc::ClientContext*,
                                                                        const Request&, Response*),
                const Request& request) {
    Principal controller;
    controller.caller = ServiceId::kController;
    const std::string token = trust_.Token(controller, ServiceId::kWorker);
    grpc::ClientContext context;
    PrepareContext(context, {.token = token, .wait_for_ready = true});
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) Die(status.error_message());
    return response;
  }

  // Waits until what is asked for is ready; what it takes in memory.
  int64_t Load(worker::v1::LoadModelRequest request) {
    Principal worker;
    worker.tenant = "acme";
    worker.caller = ServiceId::kWorker;
    worker.scopes = {request.model_version().name()};
    for (const auto& step : request.steps()) worker.scopes.push_back(step.name());
    request.set_token(trust_.Token(worker, ServiceId::kNone));
    worker::v1::LoadedModel model;
    const auto loaded = [&] {
      model = Call(&Stub::LoadModel, request);
      return model.state() != worker::v1::LoadedModel::LOADING;
    };
    if (!Eventually(loaded)) Die("LoadModel: it takes too long");
    if (model.state() != worker::v1::LoadedModel::READY) Die("LoadModel: " + model.error());
    return model.memory_bytes();
  }

 private:
  const TestTrust& trust_;
  const std::unique_ptr<worker::v1::WorkerService::Stub> stub_;
};

WorkerProcess::WorkerProcess(ProcessLauncher& launcher, const TestTrust& trust,
                             const Options& options)
    : registry_(trust), address_("unix:" + (folder_ / "worker.sock")) {
  std::vector<std::string> settings = {
      "listen=" + address_, "admin_listen=unix:" + (folder_ / "worker-admin.sock"),
      "registry=" + registry_.address(), "trust_dir=" + trust.folder(),
      "data_dir=" + (folder_ / "data"),
      // Nothing is measured: tests and benchmarks are alike.
      "threads=1", "log.level=warning"};
  settings.insert(settings.end(), options.settings.begin(), options.settings.end());
  auto process = LaunchProgram(launcher, "slipway-worker", settings, options.wrapper);
  if (!process.ok()) Die(process.status().ToString());
  process_ = *std::move(process);
  controller_ = std::make_unique<Controller>(trust, address_);
}

WorkerProcess::~WorkerProcess() {
  process_->Signal(SIGTERM).IgnoreError();
  if (!process_->Wait(absl::Minutes(1)).ok()) process_->Kill();
}

int64_t WorkerProcess::Load(const std::string& name, const TestArtifact& artifact,
                            const worker::v1::RuntimeSettings& settings) {
  const std::string version = "tenants/acme/models/" + name + "/versions/1";
  worker::v1::LoadModelRequest request;
  request.set_deployment("tenants/acme/deployments/" + name);
  *request.mutable_model_version() = registry_.AddVersion(version, artifact);
  *request.mutable_runtime() = settings;
  return controller_->Load(std::move(request));
}

int64_t WorkerProcess::LoadPipeline(const std::string& name,
                                    slipway::registry::v1::Pipeline pipeline,
                                    const std::map<std::string, TestArtifact>& steps) {
  worker::v1::LoadModelRequest request;
  request.set_deployment("tenants/acme/deployments/" + name);
  for (auto& step : *pipeline.mutable_steps()) {
    step.set_model_version("tenants/acme/models/" + step.name() + "/versions/1");
    *request.add_steps() = registry_.AddVersion(step.model_version(), steps.at(step.name()));
  }
  auto& version = *request.mutable_model_version();
  version.set_name("tenants/acme/models/" + name + "/versions/1");
  version.mutable_artifact()->set_format("pipeline");
  version.set_origin(slipway::registry::v1::ModelVersion::TRAINED);
  *version.mutable_pipeline() = std::move(pipeline);
  return controller_->Load(std::move(request));
}

void WorkerProcess::Unload(const std::string& name) {
  worker::v1::UnloadModelRequest request;
  request.set_deployment("tenants/acme/deployments/" + name);
  request.set_model_version("tenants/acme/models/" + name + "/versions/1");
  controller_->Call(&Stub::UnloadModel, request);
  const auto gone = [&] {
    const auto list =
        controller_->Call(&Stub::ListLoadedModels, worker::v1::ListLoadedModelsRequest());
    return std::none_of(list.models().begin(), list.models().end(), [&](const auto& model) {
      return model.deployment() == request.deployment();
    });
  };
  if (!Eventually(gone)) Die("UnloadModel: it takes too long");
}

}  // namespace slipway
