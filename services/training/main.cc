// slipway-training: the queue of training jobs and the trainers that run them.

#include <algorithm>
#include <atomic>
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
#include "common/sql/database.h"
#include "services/training/board.h"
#include "services/training/config.h"
#include "services/training/event_bell.h"
#include "services/training/local_launcher.h"
#include "services/training/objects/s3_object_store.h"
#include "services/training/plan/planner.h"
#include "services/training/registry_client.h"
#include "services/training/runner.h"
#include "services/training/sql_job_store.h"
#include "services/training/training.h"
#include "services/training/training_service.h"

namespace slipway::training {
namespace {

absl::StatusOr<ObjectStores> OpenObjectStores(const std::vector<ObjectStoreConfig>& configs) {
  std::vector<ObjectStores::Store> stores;
  for (const ObjectStoreConfig& config : configs) {
    ObjectStores::Store& store = stores.emplace_back();
    store.name = config.name;
    for (const ObjectGrantConfig& grant : config.grants) {
      store.grants.push_back({grant.tenant, grant.prefix});
    }
    ASSIGN_OR_RETURN(store.objects, OpenS3Store({.name = config.name,
                                                 .endpoint = config.endpoint,
                                                 .region = config.region,
                                                 .bucket = config.bucket,
                                                 .access_key = config.access_key_file.secret(),
                                                 .secret_key = config.secret_key_file.secret(),
                                                 .ca_file = config.ca_file}));
  }
  return ObjectStores(std::move(stores));
}

absl::Status Run(const TrainingConfig& config) {
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  Metrics metrics("training");

  // Before other threads.
  ASSIGN_OR_RETURN(const ObjectStores objects, OpenObjectStores(config.object_stores));

  ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::Load(config.identity_key));
  TokenIssuer tokens(ServiceId::kTraining, std::move(key), clock);
  ASSIGN_OR_RETURN(const auto verifier,
                   TokenVerifier::Create(config.trust_dir, ServiceId::kTraining, clock));
  ASSIGN_OR_RETURN(const auto registry,
                   RegistryClient::Create({.address = config.registry, .tls = config.tls}, tokens));
  ASSIGN_OR_RETURN(const auto database, sql::Database::Open(config.database));
  ASSIGN_OR_RETURN(const auto store,
                   SqlJobStore::Create(*database, {.keep_newest = config.progress_events_kept,
                                                   .keep_every = config.progress_events_every}));

  const RetryPolicy retry{config.max_failed_attempts, config.first_retry, config.last_retry};
  Board board(metrics);
  EventBell bell;
  Training training(*store, *registry, objects, board, bell, clock,
                    {.max_unfinished_per_tenant = config.max_unfinished_jobs_per_tenant,
                     .max_watchers = config.max_watchers,
                     .retry = retry,
                     .code_version = std::string(Version())});
  Planner planner(*registry, objects, *store, {.scratch_dir = config.data_dir});
  ASSIGN_OR_RETURN(const auto edge,
                   TrainingEdge::Create(training, planner, *verifier, metrics, clock));
  std::atomic<bool> ready = false;
  ASSIGN_OR_RETURN(const auto admin,
                   AdminServer::Start(config.admin_listen, metrics, [&] { return ready.load(); }));
  GrpcServerOptions listen;
  listen.address = config.listen;
  listen.tls = config.tls;
  // A watch holds a thread; the rest is for short calls.
  listen.max_threads = config.max_watchers + 128;
  ASSIGN_OR_RETURN(const auto server, GrpcServer::Start(listen, edge->services()));

  std::string program = config.trainer_program;
  if (program.empty()) {
    ASSIGN_OR_RETURN(program, SiblingProgram("slipway-trainer"));
  }
  LocalProcessLauncher processes;
  ASSIGN_OR_RETURN(
      const auto launcher,
      LocalLauncher::Create(
          processes, tokens,
          {.program = program,
           .data_dir = config.data_dir,
           .max_cache_bytes = config.max_cache_bytes,
           .registry_address =
               config.trainer_registry.empty() ? config.registry : config.trainer_registry,
           .training_address =
               config.trainer_training.empty() ? server->address() : config.trainer_training,
           .tls = config.tls}));
  RunnerOptions options;
  options.scheduling = {.max_trainers = config.max_trainers,
                        .max_trainers_per_tenant = config.max_trainers_per_tenant,
                        .min_run = config.min_run,
                        .stop_grace = config.stop_grace,
                        .max_wait = std::max(config.last_retry, absl::Minutes(1)),
                        .default_time_limit = config.default_time_limit};
  options.retry = retry;
  options.registry_timeout = config.registry_timeout;
  options.copies = {.max_bytes = config.max_copied_bytes,
                    .object_timeout = config.copy_timeout,
                    .call_timeout = config.registry_timeout};
  Runner runner(*store, *launcher, *registry, objects, board, bell, clock, options);
  RETURN_IF_ERROR(runner.Start());

  server->SetServing(true);
  ready = true;
  Log(Severity::kInfo, "service_started", {{"address", server->address()}, {"version", Version()}});
  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  ready = false;
  server->SetServing(false);
  // Watches end; trainers may still report while they stop.
  bell.Close();
  runner.Stop();
  server->Drain(config.drain_timeout);
  Log(Severity::kInfo, "service_stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::training

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::training::TrainingConfig>("training", argc, argv,
                                                                 slipway::training::Run);
}
