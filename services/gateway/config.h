#ifndef SLIPWAY_SERVICES_GATEWAY_CONFIG_H_
#define SLIPWAY_SERVICES_GATEWAY_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/log/log.h"
#include "common/net/network.h"
#include "common/status/status.h"
#include "common/tracing/tracer.h"
#include "services/gateway/cors.h"
#include "services/gateway/identity/api_key.h"
#include "services/gateway/identity/oidc_config.h"

namespace slipway::gateway {

/// What one request or one caller may take.
struct LimitsConfig {
  int64_t max_header_bytes = 16 << 10;
  int64_t max_api_body_bytes = 4 << 20;
  int64_t max_infer_body_bytes = 32 << 20;
  int64_t max_upload_bytes = int64_t{100} << 30;
  int max_connections = 10'000;
  int max_connections_per_address = 1'000;
  int max_streams = 512;

  template <class V>
  void Describe(V& v) {
    v.Field("max_header_bytes", max_header_bytes, "Request line and headers; 431 above it",
            {.min = 1024, .max = 1 << 20});
    v.Field("max_api_body_bytes", max_api_body_bytes, "JSON bodies of /api; 413 above it",
            {.min = 1024, .max = 4 << 20});
    v.Field("max_infer_body_bytes", max_infer_body_bytes,
            "Bodies of /v2, also after they are decompressed; 413 above it",
            {.min = 1024, .max = 1 << 30});
    v.Field("max_upload_bytes", max_upload_bytes, "Uploaded blobs; 413 above it", {.min = 1024});
    v.Field("max_connections", max_connections, "Open connections; 503 above it",
            {.min = 1, .max = 1'000'000});
    v.Field("max_connections_per_address", max_connections_per_address,
            "The same for one peer address", {.min = 1, .max = 1'000'000});
    v.Field("max_streams", max_streams, "Uploads, downloads and watches at once; 503 above it",
            {.min = 1, .max = 100'000});
  }
};

/// How long things may take.
struct TimeoutsConfig {
  // They are looked at every now and then: a slow connection is closed within 10 s.
  absl::Duration header = absl::Seconds(9);
  absl::Duration stall = absl::Seconds(8);
  absl::Duration idle = absl::Seconds(75);
  absl::Duration total = absl::Seconds(60);
  absl::Duration api = absl::Seconds(30);
  absl::Duration infer = absl::Seconds(30);

  template <class V>
  void Describe(V& v) {
    v.Field("header", header, "From a head's first byte to its end", {.min = absl::Seconds(1)});
    v.Field("stall", stall,
            "The longest wait for the next 4 KB of a body or of its answer's taking",
            {.min = absl::Seconds(1)});
    v.Field("idle", idle, "Between two requests of a connection", {.min = absl::Seconds(1)});
    v.Field("total", total, "From a request's head to its answer; streams are not cut by it",
            {.min = absl::Seconds(1)});
    v.Field("api", api, "For a service's answer to a call of /api", {.min = absl::Seconds(1)});
    v.Field("infer", infer, "For a worker's answer to a prediction",
            {.min = absl::Milliseconds(10)});
  }
};

/// How this replica runs batches.
struct BatchesConfig {
  int threads = 2;
  int window = 16;
  absl::Duration lease = absl::Seconds(30);

  template <class V>
  void Describe(V& v) {
    v.Field("threads", threads, "Batches that run at once here", {.min = 1, .max = 64});
    v.Field("window", window,
            "Lines of one batch that are called at once: so many may be called again after a kill",
            {.min = 1, .max = 1000});
    v.Field("lease", lease, "When another replica takes up the batches of one that was killed",
            {.min = absl::Seconds(1), .max = absl::Minutes(10)});
  }
};

/// The certificate that callers see. Both files or none; read again for new connections once they
/// have changed.
struct ListenTlsConfig {
  std::string certificate_file;
  std::string key_file;

  template <class V>
  void Describe(V& v) {
    v.Field("certificate_file", certificate_file,
            "The certificate chain (PEM) for the public address; empty: no TLS there");
    v.Field("key_file", key_file, "Its private key (PEM)");
  }
};

/// Settings of slipway-gateway. Durations as "10s"; the descriptions below are the documentation.
struct GatewayConfig {
  std::string listen = "127.0.0.1:8080";
  ListenTlsConfig listen_tls;
  std::vector<std::string> trusted_proxies;
  std::vector<std::string> cors_origins;
  std::string admin_listen = "unix:/run/slipway/gateway-admin.sock";
  std::string metrics_listen;
  std::vector<std::string> metrics_targets;
  std::string registry = "unix:/run/slipway/registry.sock";
  std::string training = "unix:/run/slipway/training.sock";
  std::string controller = "unix:/run/slipway/controller.sock";
  TlsFiles tls;
  std::string identity_key = "/var/lib/slipway/gateway/identity.pem";
  std::string trust_dir = "/var/lib/slipway/trust";
  std::string database = "sqlite:/var/lib/slipway/gateway/gateway.db";
  std::string data_dir = "/var/lib/slipway/gateway";
  std::string pepper_file = "/var/lib/slipway/gateway/pepper";
  std::string admin_key_file;
  bool recover_admin_key = false;
  bool verify_audit = false;
  std::string key_environment = "local";
  std::vector<OidcIssuerConfig> oidc;
  std::string server_name = "slipway";

  int io_threads = 1;
  int pool_threads = 4;
  int pool_queue = 256;
  LimitsConfig limits;
  TimeoutsConfig timeouts;
  BatchesConfig batches;
  absl::Duration keys_poll = absl::Milliseconds(250);
  absl::Duration keys_stale = absl::Minutes(5);
  int64_t journal_bytes = 32 << 20;
  absl::Duration ledger_interval = absl::Milliseconds(500);
  absl::Duration usage_poll = absl::Seconds(1);
  absl::Duration drain_delay = absl::ZeroDuration();
  absl::Duration drain_timeout = absl::Seconds(20);
  LogConfig log;
  bool access_log = false;
  tracing::TracingConfig tracing;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "The public address, host:port; port 0: any free one");
    v.Field("listen_tls", listen_tls, "TLS at the public address: HTTP/2 and HTTP/1.1 by ALPN");
    v.Field("trusted_proxies", trusted_proxies,
            "Networks (192.0.2.0/24) of proxies that are believed, by X-Forwarded-For or PROXY "
            "protocol version 2, about who calls");
    v.Field("cors_origins", cors_origins,
            "Web pages whose scripts may call, as https://app.example.com, or * for all; never "
            "with cookies");
    v.Field("admin_listen", admin_listen,
            "Where /healthz, /readyz and /metrics are served: unix:/path or host:port");
    v.Field("metrics_listen", metrics_listen,
            "Where the metrics of all metrics_targets are served together; empty: nowhere");
    v.Field("metrics_targets", metrics_targets,
            "Admin listeners whose metrics are served there, as <service>=unix:/path; a * in both, "
            "in the path's last part, stands for the same");
    v.Field("registry", registry, "The registry service: unix:/path, or host:port with TLS");
    v.Field("training", training, "The training service");
    v.Field("controller", controller, "The controller service");
    v.Field("tls", tls, "Mutual TLS inside, for addresses that are no Unix sockets");
    v.Field("identity_key", identity_key, "This service's own signing key (Ed25519, PKCS #8 PEM)");
    v.Field("trust_dir", trust_dir,
            "The folder of the services' public keys; gateway.pub must be of identity_key");
    v.Field("database", database, "sqlite:/path or postgresql://user@host:port/name");
    v.Field("data_dir", data_dir,
            "The usage journal, and the heads of the audit log's chains; one gateway a folder");
    v.Field(
        "pepper_file", pepper_file,
        "The secret under which keys are stored, outside the database; made at the first start");
    v.Field(
        "admin_key_file", admin_key_file,
        "Where the first operator's key is written, on a database without keys; empty: nowhere");
    v.Field(
        "recover_admin_key", recover_admin_key,
        "Makes another operator's key, writes it to admin_key_file or standard output, and ends");
    v.Field("verify_audit", verify_audit,
            "Checks the audit log against its chains, prints what it finds, and ends");
    v.Field("key_environment", key_environment, "The word in keys' text: slw_<word>_...");
    v.Field("oidc", oidc, "OpenID Connect issuers whose bearer tokens are taken beside keys");
    v.Field("server_name", server_name, "What /v2 says the server is called");
    v.Field("io_threads", io_threads,
            "Threads that serve connections, and as many that take workers' answers",
            {.min = 1, .max = 256});
    v.Field("pool_threads", pool_threads, "Threads for calls of /api and for large bodies",
            {.min = 1, .max = 256});
    v.Field("pool_queue", pool_queue, "How many of those may wait; 503 above it",
            {.min = 1, .max = 100'000});
    v.Field("limits", limits, "What one request or caller may take");
    v.Field("timeouts", timeouts, "How long things may take");
    v.Field("batches", batches, "How this replica runs batches");
    v.Field("keys_poll", keys_poll, "How often changes of keys and tenants are read",
            {.min = absl::Milliseconds(10), .max = absl::Seconds(10)});
    v.Field("keys_stale", keys_stale,
            "How long known keys and limits go on working while the database is away",
            {.min = absl::Seconds(1)});
    v.Field("journal_bytes", journal_bytes,
            "Disk space that the usage journal takes at the start and keeps",
            {.min = 1 << 20, .max = double(int64_t{1} << 40)});
    v.Field("ledger_interval", ledger_interval, "How long usage may stay in the journal alone",
            {.min = absl::Milliseconds(10), .max = absl::Minutes(10)});
    v.Field("usage_poll", usage_poll, "How often other services' usage is pulled",
            {.min = absl::Milliseconds(10), .max = absl::Minutes(10)});
    v.Field("drain_delay", drain_delay,
            "From SIGTERM to the end of accepting: time for a load balancer to look away",
            {.max = absl::Minutes(10)});
    v.Field("drain_timeout", drain_timeout, "How long requests in flight may go on after that",
            {.max = absl::Minutes(10)});
    v.Field("log", log, "Log lines");
    v.Field("access_log", access_log, "A log line for each request: request_answered");
    v.Field("tracing", tracing, "OpenTelemetry spans of requests");
  }

  absl::Status Check() const {
    RETURN_IF_ERROR(tls.Check());
    if (listen_tls.certificate_file.empty() != listen_tls.key_file.empty()) {
      return InvalidField("listen_tls.key_file", "and listen_tls.certificate_file go together");
    }
    RETURN_IF_ERROR(Networks::Parse(trusted_proxies, "trusted_proxies").status());
    RETURN_IF_ERROR(Cors::Parse(cors_origins, "cors_origins").status());
    if (!IsKeyEnvironment(key_environment)) {
      return InvalidField("key_environment", "must be 1 to 16 lower-case letters and digits");
    }
    for (const OidcIssuerConfig& issuer : oidc) RETURN_IF_ERROR(issuer.Check());
    if (metrics_listen.empty() != metrics_targets.empty()) {
      return InvalidField("metrics_targets", "and metrics_listen go together");
    }
    for (const std::string& target : metrics_targets) {
      const size_t equals = target.find("=unix:/");
      if (equals == 0 || equals == std::string::npos) {
        return InvalidField("metrics_targets", "must be <service>=unix:/path each");
      }
    }
    if (timeouts.infer > timeouts.total || timeouts.api > timeouts.total) {
      return InvalidField("timeouts.total", "must not be below timeouts.api and timeouts.infer");
    }
    return absl::OkStatus();
  }
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_CONFIG_H_
