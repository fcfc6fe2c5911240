#ifndef SLIPWAY_SERVICES_REGISTRY_CONFIG_H_
#define SLIPWAY_SERVICES_REGISTRY_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/log/log.h"

namespace slipway::registry {

/// Settings of slipway-registry. Durations as "10s"; the descriptions below are the documentation.
struct RegistryConfig {
  std::string listen = "unix:/run/slipway/registry.sock";
  std::string admin_listen = "unix:/run/slipway/registry-admin.sock";
  TlsFiles tls;
  std::string trust_dir = "/var/lib/slipway/trust";
  std::string database = "sqlite:/var/lib/slipway/registry/registry.db";
  std::string blobs = "/var/lib/slipway/registry/blobs";

  int64_t max_blob_bytes = int64_t{100} << 30;
  absl::Duration unused_blob_ttl = absl::Hours(24 * 7);
  absl::Duration request_id_ttl = absl::Hours(24 * 30);
  absl::Duration garbage_interval = absl::Hours(1);
  int max_streams = 192;
  absl::Duration drain_timeout = absl::Seconds(20);
  LogConfig log;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "Where the gRPC service listens: unix:/path, or host:port with TLS");
    v.Field("admin_listen", admin_listen,
            "Where /healthz, /readyz and /metrics are served: unix:/path or host:port");
    v.Field("tls", tls, "Mutual TLS, for addresses that are no Unix sockets");
    v.Field("trust_dir", trust_dir, "The folder of the services' public keys: gateway.pub, ...");
    v.Field("database", database, "sqlite:/path or postgresql://user@host:port/name");
    v.Field("blobs", blobs, "The folder of uploaded bytes; this process owns it");
    v.Field("max_blob_bytes", max_blob_bytes, "The largest blob that is taken", {.min = 1});
    v.Field("unused_blob_ttl", unused_blob_ttl,
            "How long a blob stays that no version or dataset has", {.min = absl::Hours(1)});
    v.Field("request_id_ttl", request_id_ttl, "How long the answer to a request id is kept",
            {.min = absl::Hours(1)});
    v.Field("garbage_interval", garbage_interval, "Time between two searches for unused blobs",
            {.min = absl::Seconds(1)});
    v.Field("max_streams", max_streams, "How many uploads and downloads may run at once",
            {.min = 1, .max = 10000});
    v.Field("drain_timeout", drain_timeout, "How long calls in flight may go on after SIGTERM",
            {.max = absl::Minutes(10)});
    v.Field("log", log, "Log lines");
  }

  absl::Status Check() const { return tls.Check(); }
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_CONFIG_H_
