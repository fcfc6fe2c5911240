#include "services/controller/grpc_worker_client.h"

#include <grpcpp/grpcpp.h>

#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "fmt/format.h"
#include "slipway/worker/v1/worker.grpc.pb.h"

namespace slipway::controller {
namespace {

absl::StatusOr<ReportedModel> Read(const worker::v1::LoadedModel& model) {
  ReportedModel report;
  ASSIGN_OR_RETURN(report.key.deployment, DeploymentName::Parse("deployment", model.deployment()));
  ASSIGN_OR_RETURN(report.key.version, VersionName::Parse("model_version", model.model_version()));
  report.error = model.error();
  report.facts = model.facts();
  switch (model.state()) {
    case worker::v1::LoadedModel::LOADING:
      report.state = ObservedModel::State::kLoading;
      return report;
    case worker::v1::LoadedModel::READY:
      report.state = ObservedModel::State::kReady;
      return report;
    case worker::v1::LoadedModel::FAILED:
      report.state = ObservedModel::State::kFailed;
      return report;
    case worker::v1::LoadedModel::UNLOADING:
      report.state = ObservedModel::State::kUnloading;
      return report;
    default:
      return absl::InternalError(fmt::format("unknown state {}", static_cast<int>(model.state())));
  }
}

absl::StatusOr<WorkerReport> Read(const worker::v1::ListLoadedModelsResponse& response) {
  WorkerReport report;
  for (const worker::v1::LoadedModel& model : response.models()) {
    ASSIGN_OR_RETURN(report.models.emplace_back(), Read(model));
  }
  const worker::v1::ProcessMemory& memory = response.memory();
  if (memory.accounted_bytes() > 0) {
    report.memory_ratio = static_cast<double>(memory.resident_bytes()) /
                          static_cast<double>(memory.accounted_bytes());
  }
  return report;
}

// A worker that has not made its socket yet is not dialled: a dial that fails would put the next
// ones off.
bool MayListen(const std::string& address) {
  static constexpr std::string_view kUnix = "unix:";
  if (!address.starts_with(kUnix)) return true;
  std::error_code ignored;
  return std::filesystem::exists(address.substr(kUnix.size()), ignored);
}

}  // namespace

struct GrpcWorkerClient::Peer {
  std::unique_ptr<worker::v1::WorkerService::Stub> stub;
};

// The calls of one List(). Shared with the callbacks.
struct GrpcWorkerClient::Listing {
  struct Call {
    std::shared_ptr<Peer> peer;
    grpc::ClientContext context;
    worker::v1::ListLoadedModelsRequest request;
    worker::v1::ListLoadedModelsResponse response;
    absl::Status status = absl::UnavailableError("it has not begun to listen");
  };

  explicit Listing(size_t size) : calls(size) {}

  Mutex mutex;
  CondVar done;
  size_t open GUARDED_BY(mutex) = 0;
  // Each is written by its callback before `open` falls.
  std::vector<Call> calls;
};

GrpcWorkerClient::GrpcWorkerClient(TokenIssuer& issuer, TlsFiles tls, const Clock& clock)
    : issuer_(issuer), tls_(std::move(tls)), clock_(clock) {}

GrpcWorkerClient::~GrpcWorkerClient() = default;

absl::StatusOr<std::shared_ptr<GrpcWorkerClient::Peer>> GrpcWorkerClient::Dial(
    const std::string& address) {
  MutexLock lock(mutex_);
  if (const auto known = peers_.find(address); known != peers_.end()) return known->second;
  ASSIGN_OR_RETURN(auto channel, OpenChannel({.address = address, .tls = tls_}));
  auto peer = std::make_shared<Peer>();
  peer->stub = worker::v1::WorkerService::NewStub(channel);
  peers_[address] = peer;
  return peer;
}

absl::StatusOr<std::string> GrpcWorkerClient::OwnToken() {
  Principal self;
  self.caller = ServiceId::kController;
  return issuer_.Issue(self, ServiceId::kWorker);
}

std::vector<absl::StatusOr<WorkerReport>> GrpcWorkerClient::List(
    const std::vector<std::string>& addresses, absl::Duration timeout) {
  const absl::StatusOr<std::string> token = OwnToken();
  if (!token.ok()) return {addresses.size(), token.status()};

  const auto listing = std::make_shared<Listing>(addresses.size());
  const absl::Time deadline = clock_.Now() + timeout;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (!MayListen(addresses[i])) continue;
    Listing::Call& call = listing->calls[i];
    absl::StatusOr<std::shared_ptr<Peer>> peer = Dial(addresses[i]);
    if (!peer.ok()) {
      call.status = peer.status();
      continue;
    }
    call.peer = *std::move(peer);
    PrepareContext(call.context, {.token = *token, .deadline = deadline});
    {
      MutexLock lock(listing->mutex);
      ++listing->open;
    }
    call.peer->stub->async()->ListLoadedModels(&call.context, &call.request, &call.response,
                                               [listing, &call](grpc::Status status) {
                                                 call.status = FromGrpcStatus(status);
                                                 MutexLock lock(listing->mutex);
                                                 --listing->open;
                                                 listing->done.Signal();
                                               });
  }
  {
    // Every call has a deadline, so every callback comes.
    MutexLock lock(listing->mutex);
    while (listing->open > 0) listing->done.Wait(listing->mutex);
  }
  std::vector<absl::StatusOr<WorkerReport>> answers;
  for (Listing::Call& call : listing->calls) {
    if (call.status.ok()) {
      answers.push_back(Read(call.response));
    } else {
      answers.push_back(call.status);
    }
  }
  return answers;
}

absl::Status GrpcWorkerClient::Load(const std::string& address, const ModelKey& model,
                                    const VersionDetails& version,
                                    const worker::v1::RuntimeSettings& runtime) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Peer> peer, Dial(address));
  ASSIGN_OR_RETURN(const std::string token, OwnToken());
  // What the worker shows the registry: this tenant, this version and its steps, nothing else.
  Principal worker;
  worker.tenant = model.deployment.tenant;
  worker.caller = ServiceId::kWorker;
  worker.scopes = {model.version.ToString()};
  for (const auto& step : version.steps) worker.scopes.push_back(step.name());
  worker::v1::LoadModelRequest request;
  request.set_deployment(model.deployment.ToString());
  *request.mutable_model_version() = version.version;
  request.mutable_steps()->Add(version.steps.begin(), version.steps.end());
  *request.mutable_runtime() = runtime;
  ASSIGN_OR_RETURN(*request.mutable_token(), issuer_.IssueLasting(worker, kLoadTokenLifetime));
  grpc::ClientContext context;
  PrepareContext(context, {.token = token, .deadline = clock_.Now() + kCallTimeout});
  worker::v1::LoadedModel response;
  return FromGrpcStatus(peer->stub->LoadModel(&context, request, &response));
}

absl::Status GrpcWorkerClient::Unload(const std::string& address, const ModelKey& model) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Peer> peer, Dial(address));
  ASSIGN_OR_RETURN(const std::string token, OwnToken());
  worker::v1::UnloadModelRequest request;
  request.set_deployment(model.deployment.ToString());
  request.set_model_version(model.version.ToString());
  grpc::ClientContext context;
  PrepareContext(context, {.token = token, .deadline = clock_.Now() + kCallTimeout});
  google::protobuf::Empty response;
  return FromGrpcStatus(peer->stub->UnloadModel(&context, request, &response));
}

}  // namespace slipway::controller
