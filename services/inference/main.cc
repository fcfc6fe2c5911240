// slipway-worker: loads models and answers inference calls.

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/admin/admin.h"
#include "common/blob/blob_cache.h"
#include "common/config/service_main.h"
#include "common/config/version.h"
#include "common/grpc/service_listener.h"
#include "common/http/server/held_writes.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/process/memory.h"
#include "common/process/shutdown.h"
#include "common/runtime_settings/torchscript.h"
#include "common/tracing/otlp/otlp.h"
#include "services/inference/auto_runtime.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/config.h"
#include "services/inference/grpc_blob_client.h"
#include "services/inference/inference_service.h"
#include "services/inference/loaded_models.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/parallelism.h"
#include "services/inference/pipeline/pipeline_runtime.h"
#include "services/inference/raw_rows_runtime.h"
#include "services/inference/shared_memory.h"
#include "services/inference/torch/torch_runtime.h"
#include "services/inference/worker_service.h"

namespace slipway::worker {
namespace {

// Cores to one thread that reads calls and parses them: models need the others.
constexpr int kCoresPerIoThread = 8;

int CoreCount() {
  // Those that this process may run on, which a container or taskset may have cut.
  cpu_set_t cores;
  return ::sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

absl::StatusOr<std::unique_ptr<ModelRuntime>> OpenVinoFor(const WorkerConfig& config,
                                                          const Parallelism& parallelism) {
  return MakeOpenVinoRuntime({.instances = parallelism.instances,
                              .threads = parallelism.threads,
                              .staging_dir = config.data_dir + "/staging"});
}

absl::StatusOr<Parallelism> MeasureHere(const WorkerConfig& config, int cores, const Clock& clock) {
  ASSIGN_OR_RETURN(
      const MeasuredParallelism measured,
      MeasureParallelism(
          cores, [&](const Parallelism& parallelism) { return OpenVinoFor(config, parallelism); },
          config.data_dir + "/reference", clock));
  for (const auto& [parallelism, rows_a_second] : measured.candidates) {
    Log(Severity::kInfo, "parallelism_measured",
        {{"instances", parallelism.instances},
         {"threads", parallelism.threads},
         {"rows_a_second", rows_a_second}});
  }
  return measured.best;
}

// As it is set; measured where nothing is said and there is a choice.
absl::StatusOr<Parallelism> ChooseParallelism(const WorkerConfig& config, const Clock& clock) {
  const int cores = CoreCount();
  Parallelism chosen = {.instances = config.instances, .threads = config.threads};
  if (chosen.instances == 0 && chosen.threads == 0 && config.device == "cpu" && cores > 1) {
    ASSIGN_OR_RETURN(chosen, MeasureHere(config, cores, clock));
  }
  if (chosen.threads == 0) {
    chosen.threads = chosen.instances == 0 ? 1 : std::max(1, cores / chosen.instances);
  }
  if (chosen.instances == 0) chosen.instances = std::max(1, cores / chosen.threads);
  Log(Severity::kInfo, "parallelism_chosen",
      {{"instances", chosen.instances}, {"threads", chosen.threads}, {"cores", cores}});
  return chosen;
}

absl::Status Run(const WorkerConfig& config) {
  KeepFreedMemory();
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  Metrics metrics("worker");

  ASSIGN_OR_RETURN(const auto verifier,
                   TokenVerifier::Create(config.trust_dir, ServiceId::kWorker, clock));
  ASSIGN_OR_RETURN(const auto registry,
                   GrpcBlobClient::Create({.address = config.registry, .tls = config.tls}, clock));
  ASSIGN_OR_RETURN(const auto tracer,
                   tracing::OpenTracer(config.tracing, {"slipway-worker", std::string(Version())},
                                       metrics, clock));
  ASSIGN_OR_RETURN(BlobCache cache, BlobCache::Open({.folder = config.data_dir + "/blobs",
                                                     .max_bytes = config.max_cache_bytes},
                                                    *registry));
  ASSIGN_OR_RETURN(const Parallelism parallelism, ChooseParallelism(config, clock));
  std::atomic<bool> hung = false;
  TorchOptions torch_options = {.device = config.device, .threads = parallelism.threads};
  // Code is loaded where nothing else is.
  if (!config.model_version.empty()) {
    torch_options.torchscript = {.digests = config.torchscript.digests,
                                 .max_run = config.torchscript.max_run,
                                 .on_hang = [&] {
                                   hung = true;
                                   shutdown.Trigger("a model ran for longer than it may");
                                 }};
  }
  ASSIGN_OR_RETURN(auto torch, MakeTorchRuntime(torch_options));
  ASSIGN_OR_RETURN(auto openvino, OpenVinoFor(config, parallelism));
  AutoRuntime single(std::move(torch), std::move(openvino), /*on_cpu=*/config.device == "cpu");
  RawRowsRuntime raw_rows(single);
  PipelineRuntime runtime(raw_rows, clock);
  BatchPolicy batching = {.max_rows = config.batching.max_rows,
                          .max_delay = config.batching.max_delay};
  batching.queues[0].max_calls = static_cast<size_t>(config.max_queue);
  std::map<std::string, double> weights;
  for (const TenantWeight& tenant : config.tenant_weights) weights[tenant.tenant] = tenant.weight;
  Batcher batcher({.instances = parallelism.instances,
                   .weights = std::move(weights),
                   .answer_together =
                       [](absl::FunctionRef<void()> answer) {
                         const http::HeldWrites held;
                         answer();
                       }},
                  clock);

  LoadedModels models(
      cache, runtime, batcher, metrics,
      {.loaders = config.loaders,
       .batching = batching,
       .parallelism = parallelism,
       .max_bytes = config.max_model_bytes,
       .max_device_bytes = config.max_device_model_bytes,
       .on_device = config.device != "cpu",
       .max_idle = config.max_model_idle == absl::ZeroDuration() ? absl::InfiniteDuration()
                                                                 : config.max_model_idle,
       .max_response_cache_bytes = config.max_response_cache_bytes,
       .max_sequence_bytes = config.max_sequence_bytes,
       .isolation = {.tenant = config.tenant,
                     .model_version = config.model_version,
                     .share_uploaded = config.share_uploaded}},
      clock);
  SharedMemory memory;
  std::atomic<bool> ready = false;
  ASSIGN_OR_RETURN(
      const auto inference,
      InferenceService::Create(models, batcher, config.shared_memory ? &memory : nullptr,
                               tracer.get(), ready, *verifier, metrics, clock));
  ASSIGN_OR_RETURN(const auto control,
                   WorkerService::Create(models, ready, *verifier, metrics, clock));
  ASSIGN_OR_RETURN(const auto admin,
                   AdminServer::Start(config.admin_listen, metrics, [&] { return ready.load(); }));
  ASSIGN_OR_RETURN(
      const auto listener,
      ServiceListener::Start({.address = config.listen,
                              .tls = config.tls,
                              .threads = (CoreCount() + kCoresPerIoThread - 1) / kCoresPerIoThread},
                             {&inference->service(), &control->service()}));

  listener->SetServing(true);
  ready = true;
  Log(Severity::kInfo, "service_started",
      {{"address", listener->address()}, {"version", Version()}});
  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  ready = false;
  listener->SetServing(false);
  // The controller need not be told of a process that hangs: it starts another.
  if (!hung) clock.SleepFor(config.drain_delay);
  listener->Drain(config.drain_timeout);
  Log(Severity::kInfo, "service_stopped");
  // A thread that still runs the model cannot be waited for.
  if (hung) std::_Exit(kHungModelExit);
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::worker

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::worker::WorkerConfig>("worker", argc, argv,
                                                             slipway::worker::Run);
}
