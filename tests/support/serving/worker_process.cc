#include "tests/support/serving/worker_process.h"

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/grpc/client.h"
#include "slipway/worker/v1/worker.grpc.pb.h"
#include "tests/support/eventually.h"
#include "tests/support/launch.h"

namespace slipway {
namespace {

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "slipway-worker: %s\n", what.c_str());
  std::abort();
}

}  // namespace

WorkerProcess::WorkerProcess(ProcessLauncher& launcher, const TestTrust& trust,
                             const Options& options)
    : trust_(trust), registry_(trust), address_("unix:" + (folder_ / "worker.sock")) {
  std::vector<std::string> settings = {"listen=" + address_,
                                       "admin_listen=unix:" + (folder_ / "worker-admin.sock"),
                                       "registry=" + registry_.address(),
                                       "trust_dir=" + trust.folder(),
                                       "data_dir=" + (folder_ / "data"),
                                       "log.level=warning"};
  settings.insert(settings.end(), options.settings.begin(), options.settings.end());
  auto process = LaunchProgram(launcher, "slipway-worker", settings, options.wrapper);
  if (!process.ok()) Die(process.status().ToString());
  process_ = *std::move(process);
}

WorkerProcess::~WorkerProcess() {
  process_->Signal(SIGTERM).IgnoreError();
  if (!process_->Wait(absl::Minutes(1)).ok()) process_->Kill();
}

void WorkerProcess::Load(const std::string& name, const TestArtifact& artifact) {
  const std::string version = "tenants/acme/models/" + name + "/versions/1";
  Principal worker;
  worker.tenant = "acme";
  worker.caller = ServiceId::kWorker;
  worker.scopes = {version};
  worker::v1::LoadModelRequest request;
  request.set_deployment("tenants/acme/deployments/" + name);
  *request.mutable_model_version() = registry_.AddVersion(version, artifact);
  request.set_token(trust_.Token(worker, ServiceId::kNone));
  Principal controller;
  controller.caller = ServiceId::kController;
  const std::string token = trust_.Token(controller, ServiceId::kWorker);
  const auto stub =
      worker::v1::WorkerService::NewStub(*OpenChannel({.address = address_, .tls = {}}));
  worker::v1::LoadedModel model;
  const auto loaded = [&] {
    grpc::ClientContext context;
    PrepareContext(context, {.token = token, .wait_for_ready = true});
    const grpc::Status status = stub->LoadModel(&context, request, &model);
    if (!status.ok()) Die("LoadModel: " + status.error_message());
    return model.state() != worker::v1::LoadedModel::LOADING;
  };
  if (!Eventually(loaded)) Die("LoadModel: it takes too long");
  if (model.state() != worker::v1::LoadedModel::READY) Die("LoadModel: " + model.error());
}

}  // namespace slipway
