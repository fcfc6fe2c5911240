#ifndef SLIPWAY_SERVICES_TRAINING_CONFIG_H_
#define SLIPWAY_SERVICES_TRAINING_CONFIG_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/config/config.h"
#include "common/grpc/tls.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "fmt/format.h"

namespace slipway::training {

/// What tenants may read of an object store.
struct ObjectGrantConfig {
  std::string tenant;
  std::string prefix;

  template <class V>
  void Describe(V& v) {
    v.Field("tenant", tenant, "The tenant; \"*\": each one");
    v.Field("prefix", prefix,
            "The folder whose objects it may read, in which {tenant} stands for the tenant; empty: "
            "the whole bucket");
  }
};

/// A bucket that jobs may take their data from.
struct ObjectStoreConfig {
  std::string name;
  std::string endpoint;
  std::string region = "us-east-1";
  std::string bucket;
  SecretFile access_key_file;
  SecretFile secret_key_file;
  std::string ca_file = "/etc/ssl/certs/ca-certificates.crt";
  std::vector<ObjectGrantConfig> grants;

  template <class V>
  void Describe(V& v) {
    v.Field("name", name, "What specs call it");
    v.Field("endpoint", endpoint,
            "Its S3 interface: https://host or http://host:port; empty: Amazon's, of its region");
    v.Field("region", region, "The bucket's region; whatever the server takes where it has none");
    v.Field("bucket", bucket, "The bucket");
    v.Field("access_key_file", access_key_file, "File that holds the access key's id");
    v.Field("secret_key_file", secret_key_file, "File that holds the secret of the access key");
    v.Field("ca_file", ca_file, "Certificates of those who vouch for the endpoint: PEM");
    v.Field("grants", grants, "Who may read what; nobody else may read anything");
  }

  absl::Status Check(const std::string& field) const {
    RETURN_IF_ERROR(CheckSlug(field + ".name", name));
    const size_t host = endpoint.find("://");
    const bool known = endpoint.starts_with("https://") || endpoint.starts_with("http://");
    if (!endpoint.empty() && (!known || endpoint.find_first_of("/@?#", host + 3) != endpoint.npos ||
                              endpoint.size() == host + 3)) {
      return InvalidField(field + ".endpoint", "must be https://host or http://host:port");
    }
    if (bucket.empty() || bucket.find('/') != bucket.npos) {
      return InvalidField(field + ".bucket", "is required: one bucket");
    }
    if (!access_key_file.configured())
      return InvalidField(field + ".access_key_file", "is required");
    if (!secret_key_file.configured())
      return InvalidField(field + ".secret_key_file", "is required");
    for (size_t i = 0; i < grants.size(); ++i) {
      if (grants[i].tenant == "*") continue;
      RETURN_IF_ERROR(CheckSlug(fmt::format("{}.grants[{}].tenant", field, i), grants[i].tenant));
    }
    return absl::OkStatus();
  }
};

/// Settings of slipway-training. Durations as "10s"; the descriptions below are the documentation.
struct TrainingConfig {
  std::string listen = "unix:/run/slipway/training.sock";
  std::string admin_listen = "unix:/run/slipway/training-admin.sock";
  std::string registry = "unix:/run/slipway/registry.sock";
  std::string trainer_training;
  std::string trainer_registry;
  TlsFiles tls;
  std::string identity_key = "/var/lib/slipway/training/identity.pem";
  std::string trust_dir = "/var/lib/slipway/trust";
  std::string database = "sqlite:/var/lib/slipway/training/training.db";
  std::string data_dir = "/var/lib/slipway/training";
  int64_t max_cache_bytes = int64_t{20} << 30;
  std::vector<ObjectStoreConfig> object_stores;
  int64_t max_copied_bytes = int64_t{100} << 30;
  absl::Duration copy_timeout = absl::Hours(1);
  std::string trainer_program;

  int max_trainers = 1;
  int max_trainers_per_tenant = 0;
  absl::Duration min_run = absl::Minutes(1);
  int64_t max_unfinished_jobs_per_tenant = 1000;
  int max_watchers = 128;
  int max_failed_attempts = 3;
  absl::Duration first_retry = absl::Seconds(2);
  absl::Duration last_retry = absl::Minutes(2);
  absl::Duration default_time_limit = absl::Hours(24);
  absl::Duration stop_grace = absl::Seconds(10);
  absl::Duration registry_timeout = absl::Seconds(30);
  int64_t progress_events_kept = 200;
  int64_t progress_events_every = 20;
  absl::Duration drain_timeout = absl::Seconds(10);
  LogConfig log;

  template <class V>
  void Describe(V& v) {
    v.Field("listen", listen, "Where the gRPC service listens: unix:/path, or host:port with TLS");
    v.Field("admin_listen", admin_listen,
            "Where /healthz, /readyz and /metrics are served: unix:/path or host:port");
    v.Field("registry", registry, "The registry service");
    v.Field("trainer_training", trainer_training,
            "What trainers dial for this service; empty: where it listens");
    v.Field("trainer_registry", trainer_registry,
            "What trainers dial for the registry; empty: as this service does");
    v.Field("tls", tls, "Mutual TLS, for addresses that are no Unix sockets");
    v.Field("identity_key", identity_key, "This service's own signing key (Ed25519, PKCS #8 PEM)");
    v.Field("trust_dir", trust_dir, "The folder of the services' public keys: gateway.pub, ...");
    v.Field("database", database, "sqlite:/path or postgresql://user@host:port/name");
    v.Field("data_dir", data_dir, "Checkpoints, trainers' logs and downloaded datasets");
    v.Field("max_cache_bytes", max_cache_bytes,
            "How much of the disk downloaded datasets may take; the longest unused go first",
            {.min = 1});
    v.Field("object_stores", object_stores, "Buckets that jobs may take their data from");
    v.Field("max_copied_bytes", max_copied_bytes,
            "How many bytes of objects are copied for one job at most", {.min = 1});
    v.Field("copy_timeout", copy_timeout, "For the copy of one object",
            {.min = absl::Seconds(1), .max = absl::Hours(24)});
    v.Field("trainer_program", trainer_program,
            "Path of slipway-trainer; empty: the one beside this program");
    v.Field("max_trainers", max_trainers, "How many trainers run at once", {.min = 1, .max = 1000});
    v.Field("max_trainers_per_tenant", max_trainers_per_tenant,
            "How many trainers of one tenant run at once; 0: as many as of all",
            {.min = 0, .max = 1000});
    v.Field("min_run", min_run,
            "How long a trainer runs before it may be stopped to make room for another job",
            {.max = absl::Hours(24)});
    v.Field("max_unfinished_jobs_per_tenant", max_unfinished_jobs_per_tenant,
            "How many jobs of a tenant may be queued, running or paused", {.min = 1, .max = 1e6});
    v.Field("max_watchers", max_watchers, "How many callers may watch jobs at once",
            {.min = 1, .max = 10000});
    v.Field("max_failed_attempts", max_failed_attempts,
            "How many attempts may fail before the job does", {.min = 1, .max = 100});
    v.Field("first_retry", first_retry, "Wait before the second attempt; doubles with each",
            {.max = absl::Hours(1)});
    v.Field("last_retry", last_retry, "The longest wait before an attempt",
            {.max = absl::Hours(24)});
    v.Field("default_time_limit", default_time_limit,
            "How long a job may run whose spec gives no limit",
            {.min = absl::Seconds(1), .max = absl::Hours(24 * 30)});
    v.Field("stop_grace", stop_grace, "How long a trainer may take to stop before it is killed",
            {.max = absl::Hours(1)});
    v.Field("registry_timeout", registry_timeout, "For one call to the registry",
            {.min = absl::Seconds(1), .max = absl::Minutes(10)});
    v.Field("progress_events_kept", progress_events_kept,
            "How many of a job's newest progress events are kept", {.min = 1, .max = 1e6});
    v.Field("progress_events_every", progress_events_every,
            "Of the older progress events, one in how many is kept", {.min = 1, .max = 1e6});
    v.Field("drain_timeout", drain_timeout, "How long calls in flight may go on after SIGTERM",
            {.max = absl::Minutes(10)});
    v.Field("log", log, "Log lines");
  }

  absl::Status Check() const {
    std::set<std::string_view> names;
    for (size_t i = 0; i < object_stores.size(); ++i) {
      const std::string field = fmt::format("object_stores[{}]", i);
      RETURN_IF_ERROR(object_stores[i].Check(field));
      if (!names.insert(object_stores[i].name).second) {
        return InvalidField(field + ".name", "is there twice");
      }
    }
    return tls.Check();
  }
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_CONFIG_H_
