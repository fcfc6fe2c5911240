#ifndef SLIPWAY_SERVICES_INFERENCE_CONFIG_H_
#define SLIPWAY_SERVICES_INFERENCE_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/log/log.h"
#include "common/runtime_settings/torchscript.h"
#include "common/tracing/tracer.h"

namespace slipway::worker {

/// How calls run together, where a deployment does not say.
struct BatchingConfig {
  int64_t max_rows = 0;
  absl::Duration max_delay = absl::Milliseconds(1);

  template <class V>
  void Describe(V& v) {
    v.Field("max_rows", max_rows,
            "Rows of one run; 1: none run together; 0: what is measured to be best when a model is "
            "loaded",
            {.min = 0, .max = 65536});
    v.Field("max_delay", max_delay,
            "The longest that a call waits for others while an instance is idle; less where "
            "waiting cannot pay",
            {.max = absl::Minutes(1)});
  }
};

/// A tenant's share of a worker's time.
struct TenantWeight {
  std::string tenant;
  double weight = 1;

  template <class V>
  void Describe(V& v) {
    v.Field("tenant", tenant, "The tenant's id");
    v.Field("weight", weight, "Its share beside the others'", {.min = 0.001, .max = 1000});
  }
};

/// Settings of slipway-worker. Durations as "10s"; the descriptions below are the documentation.
struct WorkerConfig {
  std::string listen = "unix:/run/slipway/worker.sock";
  std::string admin_listen = "unix:/run/slipway/worker-admin.sock";
  std::string registry = "unix:/run/slipway/registry.sock";
  TlsFiles tls;
  std::string trust_dir = "/var/lib/slipway/trust";
  std::string data_dir = "/var/lib/slipway/worker";
  int64_t max_cache_bytes = int64_t{20} << 30;
  std::string tenant;
  std::string model_version;
  TorchScriptConfig torchscript;
  bool share_uploaded = false;
  std::string device = "cpu";
  int threads = 0;
  int instances = 0;
  int loaders = 2;
  int64_t max_model_bytes = 0;
  int64_t max_device_model_bytes = 0;
  absl::Duration max_model_idle = absl::ZeroDuration();
  int64_t max_response_cache_bytes = int64_t{256} << 20;
  int64_t max_sequence_bytes = int64_t{256} << 20;
  int64_t max_queue = 1024;
  BatchingConfig batching;
  std::vector<TenantWeight> tenant_weights;
  bool shared_memory = false;
  absl::Duration drain_delay = absl::ZeroDuration();
  absl::Duration drain_timeout = absl::Seconds(10);
  tracing::TracingConfig tracing;
  LogConfig log;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "Where the gRPC services listen: unix:/path, or host:port with TLS");
    v.Field("admin_listen", admin_listen,
            "Where /healthz, /readyz and /metrics are served: unix:/path or host:port");
    v.Field("registry", registry, "The registry service, for models' files");
    v.Field("tls", tls, "Mutual TLS, for addresses that are no Unix sockets");
    v.Field("trust_dir", trust_dir, "The folder of the services' public keys: gateway.pub, ...");
    v.Field("data_dir", data_dir,
            "Where models' files are kept by digest; workers of one machine share it");
    v.Field("max_cache_bytes", max_cache_bytes,
            "What is longest unused goes when these files grow past this", {.min = 0});
    v.Field("tenant", tenant, "Only this tenant's models are loaded; empty: any tenant's");
    v.Field("model_version", model_version,
            "Only this version is loaded, which may be TorchScript then; empty: any that is not");
    v.Field("torchscript", torchscript, "What is allowed of TorchScript, which is code");
    v.Field("share_uploaded", share_uploaded,
            "Without a tenant: may models that tenants uploaded be loaded beside those of others");
    v.Field("device", device, "What models run on: cpu, cuda or cuda:1");
    v.Field("threads", threads,
            "Threads of one run; 0: as many as there are cores, divided by instances, and with "
            "instances 0, too, what is measured to be best when the worker starts",
            {.min = 0, .max = 1024});
    v.Field("instances", instances,
            "How many runs there are at once; 0: as many as there are cores, divided by threads",
            {.min = 0, .max = 1024});
    v.Field("loaders", loaders, "How many models load at once", {.min = 1, .max = 64});
    v.Field("max_model_bytes", max_model_bytes,
            "Of the machine's memory for all models' weights; those that were called longest ago "
            "leave it to make room, and come back with their next call; 0: no bound",
            {.min = 0});
    v.Field("max_device_model_bytes", max_device_model_bytes,
            "The same of a GPU's memory, where models lie in that; 0: no bound", {.min = 0});
    v.Field("max_model_idle", max_model_idle,
            "A model that nobody has called for so long leaves memory, too; 0: none does", {});
    v.Field("max_response_cache_bytes", max_response_cache_bytes,
            "Of memory for the answers that one tenant's deployments keep, where they ask for it; "
            "0: none is kept",
            {.min = 0});
    v.Field("max_sequence_bytes", max_sequence_bytes,
            "Of memory for the states that one model keeps of its sequences", {.min = 0});
    v.Field(
        "max_queue", max_queue,
        "How many calls may wait for a model, where its deployment does not say; further ones are "
        "refused",
        {.min = 1});
    v.Field("batching", batching, "How calls run together");
    v.Field("tenant_weights", tenant_weights,
            "Tenants that get more or less of the instances' time than the others, whose weight is "
            "1, while several want it");
    v.Field("shared_memory", shared_memory,
            "May tensors lie in POSIX shared memory objects of this machine whose names start with "
            "the caller's tenant and a dot");
    v.Field("drain_delay", drain_delay,
            "From SIGTERM to the end of accepting: time for the controller to send calls elsewhere",
            {.max = absl::Minutes(10)});
    v.Field("drain_timeout", drain_timeout, "How long calls in flight may go on after SIGTERM",
            {.max = absl::Minutes(10)});
    v.Field("tracing", tracing, "OpenTelemetry spans of calls whose trace the gateway records");
    v.Field("log", log, "Log lines");
  }

  absl::Status Check() const {
    RETURN_IF_ERROR(torchscript.Check("torchscript"));
    return tls.Check();
  }
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_CONFIG_H_
