// slipway-controller: deployments, the workers that serve them, and the routes to those.

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "common/admin/admin.h"
#include "common/config/service_main.h"
#include "common/config/version.h"
#include "common/crypto/ed25519.h"
#include "common/grpc/server.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/process/local_process_launcher.h"
#include "common/process/shutdown.h"
#include "services/controller/config.h"
#include "services/controller/control_loop.h"
#include "services/controller/controller.h"
#include "services/controller/controller_service.h"
#include "services/controller/fixed_worker_pool.h"
#include "services/controller/grpc_registry_client.h"
#include "services/controller/grpc_worker_client.h"
#include "services/controller/kubernetes/kubernetes_api.h"
#include "services/controller/kubernetes/kubernetes_worker_pool.h"
#include "services/controller/local_worker_pool.h"
#include "services/controller/route_board.h"
#include "services/controller/sql_deployment_store.h"
#include "services/controller/worker_spec.h"

namespace slipway::controller {
namespace {

struct Pools {
  std::vector<std::unique_ptr<LocalWorkerPool>> local;
  std::vector<std::unique_ptr<WorkerPool>> elsewhere;
  std::vector<WorkerPool*> all;
};

// Whose workers for everybody a StatefulSet keeps running.
absl::StatusOr<std::unique_ptr<WorkerPool>> MakePoolElsewhere(
    const ControllerConfig& config, const PoolConfig& pool, KubernetesApi& kubernetes,
    const Clock& clock, const std::function<void()>& changed) {
  if (pool.pod_template.empty()) {
    return std::make_unique<FixedWorkerPool>(pool.name, pool.addresses, pool.share_uploaded);
  }
  return KubernetesWorkerPool::Open(
      {.name = pool.name,
       .addresses = pool.addresses,
       .share_uploaded = pool.share_uploaded,
       .isolated_workers = pool.isolated_workers,
       .pod_template = pool.pod_template,
       .arguments = [&config](const std::string& owner) { return OwnerArguments(config, owner); }},
      kubernetes, clock, changed);
}

absl::StatusOr<Pools> MakePools(const ControllerConfig& config, ProcessLauncher& launcher,
                                KubernetesApi& kubernetes, const Clock& clock,
                                const std::function<void()>& changed) {
  Pools pools;
  std::string program = config.worker_program;
  for (const PoolConfig& pool : config.pools) {
    if (!pool.addresses.empty()) {
      ASSIGN_OR_RETURN(pools.elsewhere.emplace_back(),
                       MakePoolElsewhere(config, pool, kubernetes, clock, changed));
      pools.all.push_back(pools.elsewhere.back().get());
      continue;
    }
    if (program.empty()) {
      ASSIGN_OR_RETURN(program, SiblingProgram("slipway-worker"));
    }
    LocalWorkerPool::Options options;
    options.name = pool.name;
    options.workers = pool.workers;
    options.isolated_workers = pool.isolated_workers;
    options.share_uploaded = pool.share_uploaded;
    options.spare = config.recycle_above > 0;
    options.spec = [&config, pool, program](int index, const std::string& owner) {
      return WorkerSpec(config, pool, index, owner, program);
    };
    options.address = [&config, pool](int index) { return WorkerAddress(config, pool, index); };
    pools.local.push_back(
        std::make_unique<LocalWorkerPool>(std::move(options), launcher, clock, changed));
    pools.all.push_back(pools.local.back().get());
  }
  return pools;
}

ControllerOptions OptionsOf(const ControllerConfig& config) {
  ControllerOptions options;
  options.torchscript_digests = config.torchscript.digests;
  options.fragmented_above = config.recycle_above;
  options.patience = {.drain = config.drain,
                      .silence = config.worker_silence,
                      .hang = config.worker_hang,
                      .first_restart = config.first_restart,
                      .last_restart = config.last_restart,
                      .first_reload = config.first_reload,
                      .last_reload = config.last_reload,
                      .fragmented = config.recycle_after};
  return options;
}

absl::Status Run(const ControllerConfig& config) {
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  Metrics metrics("controller");

  ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::Load(config.identity_key));
  TokenIssuer tokens(ServiceId::kController, std::move(key), clock);
  ASSIGN_OR_RETURN(const auto verifier,
                   TokenVerifier::Create(config.trust_dir, ServiceId::kController, clock));
  ASSIGN_OR_RETURN(
      const auto registry,
      GrpcRegistryClient::Create({.address = config.registry, .tls = config.tls}, tokens, clock));
  GrpcWorkerClient workers(tokens, config.tls, clock);
  ASSIGN_OR_RETURN(const auto store, SqlDeploymentStore::Open(config.database));

  LocalProcessLauncher launcher;
  LoopPeriods periods;
  periods.resolve = config.alias_poll;
  ControlLoop loop(periods);
  KubernetesApi kubernetes(config.kubernetes);
  ASSIGN_OR_RETURN(const Pools pools,
                   MakePools(config, launcher, kubernetes, clock, [&loop] { loop.Wake(); }));
  RouteBoard board(absl::ToUnixMicros(clock.Now()));
  Controller controller(*store, *registry, workers, pools.all, board, clock, metrics,
                        OptionsOf(config), [&loop] { loop.Wake(); });
  RETURN_IF_ERROR(controller.Load());
  // The gateways' first table is to have what serves on workers that outlived the last controller.
  controller.Resolve();

  ASSIGN_OR_RETURN(const auto service,
                   ControllerService::Create(controller, board, *verifier, metrics, clock));
  std::atomic<bool> ready = false;
  ASSIGN_OR_RETURN(const auto admin,
                   AdminServer::Start(config.admin_listen, metrics, [&] { return ready.load(); }));
  GrpcServerOptions listen;
  listen.address = config.listen;
  listen.tls = config.tls;
  // A watch holds a thread; the rest is for short calls.
  listen.max_threads = config.max_watchers + 64;
  ASSIGN_OR_RETURN(const auto server, GrpcServer::Start(listen, {service->service()}));
  loop.Start(controller);

  server->SetServing(true);
  ready = true;
  Log(Severity::kInfo, "service_started", {{"address", server->address()}, {"version", Version()}});
  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  ready = false;
  server->SetServing(false);
  // The gateway has stopped asking by now: nothing restarts what stops below.
  loop.Stop();
  board.Close();
  for (const auto& pool : pools.local) pool->Shutdown(config.drain_timeout);
  server->Drain(config.drain_timeout);
  Log(Severity::kInfo, "service_stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::controller

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::controller::ControllerConfig>("controller", argc, argv,
                                                                     slipway::controller::Run);
}
