#ifndef SLIPWAY_SERVICES_CONTROLLER_CONFIG_H_
#define SLIPWAY_SERVICES_CONTROLLER_CONFIG_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/runtime_settings/torchscript.h"
#include "common/status/status.h"
#include "fmt/format.h"
#include "services/controller/kubernetes/kubernetes_config.h"

namespace slipway::controller {

/// Workers of one hardware.
struct PoolConfig {
  std::string name = "default";
  std::string kind = "cpu";
  int workers = 1;
  int isolated_workers = 8;
  bool share_uploaded = false;
  int threads = 0;
  std::vector<std::string> addresses;
  std::string pod_template;

  template <class V>
  void Describe(V& v) {
    v.Field("name", name, "What deployments call the pool");
    v.Choice("kind", kind, {"cpu", "gpu"}, "What its workers run models on");
    v.Field("workers", workers, "How many worker processes this controller starts and keeps",
            {.min = 0, .max = 1000});
    v.Field(
        "isolated_workers", isolated_workers,
        "How many more it starts at most while models that tenants uploaded, or TorchScript, are "
        "deployed: each is for one tenant, or for one TorchScript version",
        {.min = 0, .max = 1000});
    v.Field("share_uploaded", share_uploaded,
            "May the pool's workers load what tenants uploaded beside models of others");
    v.Field("threads", threads, "Threads of one run of a model; 0: each worker measures",
            {.min = 0, .max = 1024});
    v.Field("addresses", addresses,
            "Workers that somebody else keeps running (a StatefulSet); none is started then");
    v.Field("pod_template", pod_template,
            "Beside `addresses`: the Kubernetes PodTemplate by which isolated workers are made; "
            "empty: there are none");
  }
};

/// Settings of slipway-controller. Durations as "10s"; the descriptions below are the
/// documentation.
struct ControllerConfig {
  std::string listen = "unix:/run/slipway/controller.sock";
  std::string admin_listen = "unix:/run/slipway/controller-admin.sock";
  std::string registry = "unix:/run/slipway/registry.sock";
  TlsFiles tls;
  std::string identity_key = "/var/lib/slipway/controller/identity.pem";
  std::string trust_dir = "/var/lib/slipway/trust";
  std::string database = "sqlite:/var/lib/slipway/controller/controller.db";
  std::string data_dir = "/var/lib/slipway/worker";
  std::string run_dir = "/run/slipway";
  std::string worker_program;
  std::vector<PoolConfig> pools = {PoolConfig{}};
  KubernetesConfig kubernetes;
  TorchScriptConfig torchscript;

  int max_watchers = 64;
  absl::Duration alias_poll = absl::Seconds(1);
  absl::Duration drain = absl::Seconds(2);
  absl::Duration worker_silence = absl::Seconds(10);
  absl::Duration worker_hang = absl::Seconds(90);
  absl::Duration first_restart = absl::Milliseconds(200);
  absl::Duration last_restart = absl::Seconds(30);
  absl::Duration first_reload = absl::Seconds(10);
  absl::Duration last_reload = absl::Minutes(10);
  double recycle_above = 0;
  absl::Duration recycle_after = absl::Minutes(10);
  absl::Duration drain_timeout = absl::Seconds(10);
  LogConfig log;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "Where the gRPC service listens: unix:/path, or host:port with TLS");
    v.Field("admin_listen", admin_listen,
            "Where /healthz, /readyz and /metrics are served: unix:/path or host:port");
    v.Field("registry", registry, "The registry service");
    v.Field("tls", tls, "Mutual TLS, for addresses that are no Unix sockets");
    v.Field("identity_key", identity_key, "This service's own signing key (Ed25519, PKCS #8 PEM)");
    v.Field("trust_dir", trust_dir, "The folder of the services' public keys: gateway.pub, ...");
    v.Field("database", database, "sqlite:/path or postgresql://user@host:port/name");
    v.Field("data_dir", data_dir, "Where the workers that it starts keep models' files");
    v.Field("run_dir", run_dir,
            "Where they listen: worker-<pool>-<index>.sock and worker-<pool>-<index>-admin.sock");
    v.Field("worker_program", worker_program,
            "Path of slipway-worker; empty: the one beside this program");
    v.Field("pools", pools, "The pools of workers");
    v.Field("kubernetes", kubernetes, "Its API server, for pools with a pod_template");
    v.Field("torchscript", torchscript, "What is allowed of TorchScript, which is code");
    v.Field("max_watchers", max_watchers, "How many gateways may watch the routes at once",
            {.min = 1, .max = 10000});
    v.Field("alias_poll", alias_poll, "How often the registry is asked what an alias names",
            {.min = absl::Milliseconds(50), .max = absl::Hours(1)});
    v.Field("drain", drain,
            "From the moment that a version leaves the routes until its worker unloads it",
            {.max = absl::Minutes(10)});
    v.Field("worker_silence", worker_silence,
            "A worker that has not answered for so long takes no traffic",
            {.min = absl::Seconds(1)});
    v.Field("worker_hang", worker_hang,
            "A worker process that has not answered for so long is stopped",
            {.min = absl::Seconds(1)});
    v.Field("first_restart", first_restart,
            "Wait before a worker that died starts again; doubles with each time");
    v.Field("last_restart", last_restart, "The longest wait before a worker starts again");
    v.Field("first_reload", first_reload,
            "Wait before a version that failed to load is tried again; doubles with each time");
    v.Field("last_reload", last_reload, "The longest wait before a load is tried again");
    v.Field("recycle_above", recycle_above,
            "A worker that this controller starts is replaced where more than so many times the "
            "memory is resident that its models, their answers and states and what it had at its "
            "start account for: its heap is in fragments; 0: none is",
            {.min = 0, .max = 1000});
    v.Field("recycle_after", recycle_after, "... and was so at each look for so long",
            {.max = absl::Hours(24)});
    v.Field("drain_timeout", drain_timeout, "How long calls in flight may go on after SIGTERM",
            {.max = absl::Minutes(10)});
    v.Field("log", log, "Log lines");
  }

  absl::Status Check() const {
    RETURN_IF_ERROR(torchscript.Check("torchscript"));
    std::set<std::string_view> names;
    for (size_t i = 0; i < pools.size(); ++i) {
      const std::string field = fmt::format("pools[{}].name", i);
      RETURN_IF_ERROR(CheckSlug(field, pools[i].name));
      if (!names.insert(pools[i].name).second) return InvalidField(field, "is there twice");
      if (!pools[i].pod_template.empty() && pools[i].addresses.empty()) {
        return InvalidField(fmt::format("pools[{}].pod_template", i),
                            "goes with addresses; without them workers are processes here");
      }
    }
    return tls.Check();
  }
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_CONFIG_H_
