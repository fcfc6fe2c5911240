// slipway-worker: loads models and answers inference calls.

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/admin/admin.h"
#include "common/blob/blob_cache.h"
#include "common/config/service_main.h"
#include "common/config/version.h"
#include "common/grpc/server.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/process/shutdown.h"
#include "services/inference/auto_runtime.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/config.h"
#include "services/inference/grpc_blob_client.h"
#include "services/inference/inference_service.h"
#include "services/inference/loaded_models.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/shared_memory.h"
#include "services/inference/torch/torch_runtime.h"
#include "services/inference/worker_service.h"

namespace slipway::worker {
namespace {

int InstancesOf(const WorkerConfig& config) {
  if (config.instances > 0) return config.instances;
  // Those that this process may run on, which a container or taskset may have cut.
  cpu_set_t cores;
  const int count = ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return std::max(1, count / config.threads);
}

// The threads that are started from now on give way to those that run models: what comes while a
// batch runs is read in one go after it, where both want one core (batching_bench, 8 callers:
// 133 us of CPU a picture, 160 without). No promise: where it is refused nothing else changes.
void LetModelsGoFirst() {
  const sched_param parameters{};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters);
}

absl::Status Run(const WorkerConfig& config) {
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  Metrics metrics("worker");

  ASSIGN_OR_RETURN(const auto verifier,
                   TokenVerifier::Create(config.trust_dir, ServiceId::kWorker, clock));
  ASSIGN_OR_RETURN(const auto registry,
                   GrpcBlobClient::Create({.address = config.registry, .tls = config.tls}, clock));
  ASSIGN_OR_RETURN(BlobCache cache, BlobCache::Open({.folder = config.data_dir + "/blobs",
                                                     .max_bytes = config.max_cache_bytes},
                                                    *registry));
  const int instances = InstancesOf(config);
  ASSIGN_OR_RETURN(auto torch,
                   MakeTorchRuntime({.device = config.device, .threads = config.threads}));
  ASSIGN_OR_RETURN(auto openvino,
                   MakeOpenVinoRuntime({.instances = instances,
                                        .threads = config.threads,
                                        .staging_dir = config.data_dir + "/staging"}));
  AutoRuntime runtime(std::move(torch), std::move(openvino), /*on_cpu=*/config.device == "cpu");
  BatchPolicy batching = {.max_rows = config.batching.max_rows,
                          .max_delay = config.batching.max_delay};
  batching.queues[0].max_calls = static_cast<size_t>(config.max_queue);
  LoadedModels models(cache, runtime, metrics, config.loaders, batching);
  std::map<std::string, double> weights;
  for (const TenantWeight& tenant : config.tenant_weights) weights[tenant.tenant] = tenant.weight;
  Batcher batcher({.instances = instances, .weights = std::move(weights)}, clock);

  LetModelsGoFirst();

  SharedMemory memory;
  std::atomic<bool> ready = false;
  ASSIGN_OR_RETURN(
      const auto inference,
      InferenceService::Create(models, batcher, config.shared_memory ? &memory : nullptr, ready,
                               *verifier, metrics, clock));
  ASSIGN_OR_RETURN(const auto control,
                   WorkerService::Create(models, ready, *verifier, metrics, clock));
  ASSIGN_OR_RETURN(const auto admin,
                   AdminServer::Start(config.admin_listen, metrics, [&] { return ready.load(); }));
  GrpcServerOptions listen;
  listen.address = config.listen;
  listen.tls = config.tls;
  ASSIGN_OR_RETURN(const auto server,
                   GrpcServer::Start(listen, {inference->service(), control->service()}));

  server->SetServing(true);
  ready = true;
  Log(Severity::kInfo, "service_started", {{"address", server->address()}, {"version", Version()}});
  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  ready = false;
  server->SetServing(false);
  clock.SleepFor(config.drain_delay);
  server->Drain(config.drain_timeout);
  Log(Severity::kInfo, "service_stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::worker

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::worker::WorkerConfig>("worker", argc, argv,
                                                             slipway::worker::Run);
}
