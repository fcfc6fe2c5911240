#include "services/gateway/gateway.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <optional>
#include <utility>

#include "common/config/version.h"
#include "common/crypto/ed25519.h"
#include "common/files/file_lock.h"
#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/http/io/io_threads.h"
#include "common/http/server/server.h"
#include "common/identity/token.h"
#include "common/jose/json_web_keys.h"
#include "common/log/log.h"
#include "common/sql/database.h"
#include "common/sync/repeating_thread.h"
#include "common/tracing/otlp/otlp.h"
#include "fmt/format.h"
#include "grpcpp/channel.h"
#include "prometheus/gauge.h"
#include "services/gateway/api/descriptor_set.h"
#include "services/gateway/api/openapi.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/batches/batches.h"
#include "services/gateway/body_coding.h"
#include "services/gateway/cors.h"
#include "services/gateway/document.h"
#include "services/gateway/error_body.h"
#include "services/gateway/grpc/grpc_door.h"
#include "services/gateway/identity/identity_service.h"
#include "services/gateway/identity/key_feed.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/identity/oidc_tokens.h"
#include "services/gateway/identity/request_key.h"
#include "services/gateway/identity/sql_identity_store.h"
#include "services/gateway/identity/tenant_deleter.h"
#include "services/gateway/identity/tenant_purge_client.h"
#include "services/gateway/limits/admission.h"
#include "services/gateway/limits/lease_keeper.h"
#include "services/gateway/limits/limit_service.h"
#include "services/gateway/limits/sql_limit_store.h"
#include "services/gateway/oip/oip_handler.h"
#include "services/gateway/oip/shadows.h"
#include "services/gateway/openai/openai_handler.h"
#include "services/gateway/refusal_of.h"
#include "services/gateway/relay/api_handler.h"
#include "services/gateway/relay/inner_call.h"
#include "services/gateway/request_observer.h"
#include "services/gateway/routing/route_watcher_client.h"
#include "services/gateway/routing/traffic_reporter_client.h"
#include "services/gateway/routing/worker_directory.h"
#include "services/gateway/schema.h"
#include "services/gateway/usage/audit_rounds.h"
#include "services/gateway/usage/ledger_feed.h"
#include "services/gateway/usage/outbox_client.h"
#include "services/gateway/usage/outbox_feed.h"
#include "services/gateway/usage/refusals.h"
#include "services/gateway/usage/usage_service.h"
#include "slipway/gateway/v1/gateway.pb.h"

namespace slipway::gateway {
namespace {

constexpr int64_t kSegmentBytes = 2 << 20;
constexpr absl::Duration kGaugeInterval = absl::Seconds(1);
// So long a connection without a request stays open while the listener drains.
constexpr absl::Duration kIdleGrace = absl::Milliseconds(200);
// Between two looks at the deletions of tenants, and for their last audit record.
constexpr absl::Duration kDeletionInterval = absl::Seconds(1);
constexpr absl::Duration kVouchTimeout = absl::Seconds(5);

// Limits in a file are one gateway's (SqlLimitStore): two would each let in all of them.
absl::StatusOr<FileLock> LockDatabase(const GatewayConfig& config) {
  constexpr std::string_view kFile = "sqlite:";
  if (!config.database.starts_with(kFile)) return FileLock();
  const std::string path = config.database.substr(kFile.size());
  return FileLock::Take(path + ".lock",
                        path + ", which is for one gateway (several share PostgreSQL),");
}

absl::StatusOr<std::unique_ptr<sql::Database>> OpenDatabase(const GatewayConfig& config) {
  ASSIGN_OR_RETURN(auto database, sql::Database::Open(config.database));
  RETURN_IF_ERROR(database->Migrate(Schema()));
  return database;
}

// The pepper is made at the first start. Later its loss must not be papered over with a new one:
// every key would be refused.
absl::StatusOr<Peppers> OpenPeppers(const GatewayConfig& config, SqlIdentityStore& store) {
  struct stat info;
  if (::stat(config.pepper_file.c_str(), &info) != 0 && errno == ENOENT) {
    ASSIGN_OR_RETURN(const bool has_keys, store.HasKeys());
    if (has_keys) {
      return absl::FailedPreconditionError(
          fmt::format("{} is missing, and without it no key of this database can be checked",
                      config.pepper_file));
    }
    RETURN_IF_ERROR(Peppers::Create(config.pepper_file));
  }
  return Peppers::Load(config.pepper_file);
}

// The chains of the audit log are signed with the peppers: these are kept outside of the database
// already, and each has a version. An API key's text never begins as a signed entry does.
AuditKey AuditKeyOf(const Peppers& peppers) {
  return {.newest = peppers.newest(), .mac = [&peppers](int64_t version, std::string_view message) {
            return peppers.Mac(version, message);
          }};
}

std::string HeadsFile(const GatewayConfig& config) {
  return config.data_dir + "/audit-heads.jsonl";
}

// Services that hold another public key would refuse every call, one by one and without saying
// why: better to say it once, here.
absl::Status CheckTrust(const GatewayConfig& config, const Ed25519PrivateKey& key) {
  const std::string path = config.trust_dir + "/gateway.pub";
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, 1 << 20));
  ASSIGN_OR_RETURN(const auto trusted, Ed25519PublicKey::AllFromPem(pem, path));
  const std::string own = key.public_key().ToRaw();
  if (std::any_of(trusted.begin(), trusted.end(),
                  [&](const Ed25519PublicKey& each) { return each.ToRaw() == own; })) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("{} does not hold the public key of {}", path, config.identity_key));
}

}  // namespace

class Gateway::Impl : public http::Handler {
 public:
  Impl(const GatewayConfig& config, Metrics& metrics, const Clock& clock)
      : config_(config), clock_(clock), metrics_(metrics), io_threads_(config.io_threads) {}

  absl::Status Start() {
    RETURN_IF_ERROR(OpenObserver());
    RETURN_IF_ERROR(OpenState());
    RETURN_IF_ERROR(OpenBackends());
    RETURN_IF_ERROR(OpenDoors());
    key_feed_->Start();
    oidc_->Start();
    lease_keeper_->Start();
    ledger_feed_->Start();
    audit_rounds_->Start();
    training_outbox_->Start();
    registry_outbox_->Start();
    watcher_->Start();
    reporter_->Start();
    deleter_->Start();
    batches_->Start();
    RETURN_IF_ERROR(Listen());
    KeepGauges();
    return absl::OkStatus();
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    exchange = observer_->Observe(std::move(exchange));
    const http::RequestHead& head = exchange->head();
    if (cors_.IsPreflight(head)) return Send(*exchange, cors_.AnswerPreflight(head));
    if (http::grpc::IsGrpc(head)) return grpc_->Handle(std::move(exchange));
    const std::string_view path = head.path();
    const bool protocol = path == "/v2" || path.starts_with("/v2/");
    if (protocol && oip_->HandleAnonymous(exchange)) return;
    if (path == "/openapi.json") return SendOpenApi(std::move(exchange));

    auto key = Authenticate(head);
    if (!key.ok()) return Refuse(*exchange, key.status());
    Note(*exchange, **key);
    // A body in another coding would be read as what it is not.
    if (!BodyCoding(head.headers)) {
      return Send(*exchange, CodingNotTaken(head, "gzip, deflate, identity"));
    }
    if (protocol) return oip_->Handle(std::move(exchange), *std::move(key));
    if (path.starts_with("/v1/")) return openai_->Handle(std::move(exchange), *std::move(key));
    if (path.starts_with("/api/")) return api_->Handle(std::move(exchange), *std::move(key));
    Refuse(*exchange, absl::NotFoundError("there is nothing at this path"));
  }

  bool ready() const {
    return !draining_ && routes_.Get()->known() && table_->age() < config_.keys_stale;
  }

  int Drain() {
    draining_ = true;
    if (config_.drain_delay > absl::ZeroDuration()) clock_.SleepFor(config_.drain_delay);
    api_->EndWatches();
    grpc_->Refresh(/*end=*/true);
    batches_->Stop();
    return server_->Drain(config_.drain_timeout, kIdleGrace);
  }

  const http::Server& server() const { return *server_; }

 private:
  absl::Status OpenObserver() {
    ASSIGN_OR_RETURN(cors_, Cors::Parse(config_.cors_origins, "cors_origins"));
    ASSIGN_OR_RETURN(
        tracer_, tracing::OpenTracer(config_.tracing, {"slipway-gateway", std::string(Version())},
                                     metrics_.metrics(), clock_));
    observer_ = std::make_unique<RequestObserver>(
        RequestObserver::Options{.access_log = config_.access_log, .tracer = tracer_.get()}, cors_,
        clock_);
    return absl::OkStatus();
  }

  absl::Status OpenState() {
    ASSIGN_OR_RETURN(database_lock_, LockDatabase(config_));
    ASSIGN_OR_RETURN(database_, OpenDatabase(config_));
    store_ = std::make_unique<SqlIdentityStore>(*database_);
    ASSIGN_OR_RETURN(Peppers peppers, OpenPeppers(config_, *store_));
    if (!config_.admin_key_file.empty()) {
      RETURN_IF_ERROR(CreateFirstOperatorKey(*store_, peppers, config_.key_environment,
                                             config_.admin_key_file, clock_.Now())
                          .status());
    }
    table_ = std::make_unique<KeyTable>(
        std::move(peppers),
        KeyTable::Limits{.unknown = std::max(absl::Seconds(2), 4 * config_.keys_poll),
                         .known = config_.keys_stale},
        clock_);
    key_feed_ = std::make_unique<KeyFeed>(*store_, *table_, config_.keys_poll, clock_);
    RETURN_IF_ERROR(key_feed_->Refresh());
    oidc_ = std::make_unique<OidcTokens>(config_.oidc, *table_, clock_);
    if (table_->key_count() == 0) {
      Log(Severity::kWarning, "no_key_found",
          {{"hint", "slipway-gateway --set recover_admin_key=true makes an operator's key"}});
    }
    JournalOptions journal;
    journal.folder = config_.data_dir + "/journal";
    journal.segments = static_cast<int>(
        std::max<int64_t>(2, (config_.journal_bytes + kSegmentBytes - 1) / kSegmentBytes));
    journal.segment_bytes = std::min(kSegmentBytes, config_.journal_bytes / journal.segments);
    ASSIGN_OR_RETURN(journal_, Journal::Open(journal));
    recorder_ = std::make_unique<Recorder>(*journal_, clock_);
    refusals_ = std::make_unique<Refusals>(*recorder_);
    audit_ = std::make_unique<AuditLog>(*database_, AuditKeyOf(table_->peppers()));
    audit_rounds_ =
        std::make_unique<AuditRounds>(*audit_, *refusals_, HeadsFile(config_), absl::Minutes(1));
    ledger_ = std::make_unique<Ledger>(*database_, *audit_);
    ledger_feed_ =
        std::make_unique<LedgerFeed>(*journal_, *ledger_, config_.ledger_interval, clock_);
    limits_ = std::make_unique<SqlLimitStore>(*database_, clock_);
    admission_ = std::make_unique<Admission>(config_.keys_stale, metrics_.metrics(), clock_);
    admission_->SetOnRefused([this](const KnownKey& key, const http::RequestHead& head,
                                    std::string_view reason, int http_code) {
      refusals_->Count(RefusalOf(reason, http_code, head, &key.principal));
    });
    lease_keeper_ =
        std::make_unique<LeaseKeeper>(*limits_, *admission_, metrics_.metrics(), clock_);
    RETURN_IF_ERROR(lease_keeper_->Refresh());
    return absl::OkStatus();
  }

  absl::Status OpenBackends() {
    ASSIGN_OR_RETURN(Ed25519PrivateKey key, Ed25519PrivateKey::Load(config_.identity_key));
    RETURN_IF_ERROR(CheckTrust(config_, key));
    tokens_ = std::make_unique<TokenIssuer>(ServiceId::kGateway, std::move(key), clock_);
    backends_ = std::make_unique<Backends>(*tokens_);
    for (const auto& [name, address] :
         {std::pair("registry", config_.registry), std::pair("training", config_.training),
          std::pair("controller", config_.controller)}) {
      ChannelOptions options;
      options.address = address;
      options.tls = config_.tls;
      absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(options);
      if (!channel.ok()) return Annotate(channel.status(), name);
      backends_->Add(name, *channel);
      channels_[name] = *std::move(channel);
    }
    workers_ = std::make_unique<WorkerDirectory>(config_.tls, io_threads_);
    watcher_ = std::make_unique<RouteWatcher>(
        channels_["controller"],
        [this] { return tokens_->Issue(Principal(), ServiceId::kController); },
        [this](const std::string& address) { return workers_->Get(address); }, routes_, metrics_,
        traffic_, RouteWatcher::Options());
    reporter_ = std::make_unique<TrafficReporter>(
        channels_["controller"],
        [this] { return tokens_->Issue(Principal(), ServiceId::kController); }, traffic_, clock_,
        TrafficReporter::Options());
    training_outbox_ = std::make_unique<OutboxFeed>(
        "training", TrainingOutbox(channels_["training"], *tokens_, *table_, clock_), *ledger_,
        config_.usage_poll);
    registry_outbox_ = std::make_unique<OutboxFeed>(
        "registry", RegistryOutbox(channels_["registry"], *tokens_, *table_, clock_), *ledger_,
        config_.usage_poll);
    return absl::OkStatus();
  }

  absl::Status OpenDoors() {
    identity_ = std::make_unique<IdentityService>(*store_, *key_feed_, table_->peppers(),
                                                  config_.key_environment, clock_);
    identity_->AddTo(local_);
    OpenDeleter();
    deleter_->AddTo(local_);
    usage_ = std::make_unique<UsageService>(*ledger_, *audit_, *ledger_feed_);
    usage_->AddTo(local_);
    limit_service_ = std::make_unique<LimitService>(*limits_, *store_, *lease_keeper_);
    limit_service_->AddTo(local_);
    shadows_ =
        std::make_unique<Shadows>(Shadows::Options(), Shadows::Parts{routes_, *tokens_, clock_});
    line_predictions_.emplace(Prediction::Parts{routes_, *admission_, *recorder_, *tokens_, clock_,
                                                metrics_.Method("batches/line"), *shadows_,
                                                config_.timeouts.infer});
    BatchOptions batches;
    batches.window = static_cast<size_t>(config_.batches.window);
    batches.lease = config_.batches.lease;
    batches_ =
        std::make_unique<Batches>(*database_, channels_["registry"], *tokens_, *table_,
                                  *line_predictions_, batches, config_.batches.threads, clock_);
    batches_->AddTo(local_);
    local_.Add<v1::GetPlatformRequest, v1::Platform>(
        "slipway.gateway.v1.PlatformService/GetPlatform",
        [this](const Principal& who, const auto&) { return GetPlatform(who); });
    ASSIGN_OR_RETURN(MethodTable methods, MethodTable::Build(PublicServices(), local_.names()));
    methods_ = std::make_unique<MethodTable>(std::move(methods));
    for (const PublicMethod& method : methods_->methods()) {
      if (!method.backend.empty() && !backends_->Has(method.backend)) {
        return absl::FailedPreconditionError(fmt::format(
            "{} forwards to {}, of which no address is known", method.name, method.backend));
      }
    }
    ASSIGN_OR_RETURN(std::string document,
                     OpenApiDocument(*methods_, DescriptorSetWithComments(), Version()));
    open_api_ = std::make_shared<const std::string>(std::move(document));
    pool_ =
        std::make_unique<WorkPool>(config_.pool_threads, static_cast<size_t>(config_.pool_queue));
    ApiOptions api;
    api.max_body_bytes = static_cast<uint64_t>(config_.limits.max_api_body_bytes);
    api.max_upload_bytes = static_cast<uint64_t>(config_.limits.max_upload_bytes);
    api.timeout = config_.timeouts.api;
    api.max_streams = config_.limits.max_streams;
    api_ = std::make_unique<ApiHandler>(
        api, ApiParts{*methods_, local_, *backends_, *table_, *admission_, *recorder_, *refusals_,
                      *pool_, metrics_, clock_});
    inner_calls_ = std::make_unique<InnerCalls>(*api_, *methods_);
    repository_ = std::make_unique<Repository>(*inner_calls_);
    openai_ = std::make_unique<OpenAiHandler>(
        OpenAiHandler::Parts{*inner_calls_, routes_, *admission_, metrics_, clock_});
    OipHandler::Options oip;
    oip.server_name = config_.server_name;
    oip.version = Version();
    oip.infer.max_body_bytes = static_cast<uint64_t>(config_.limits.max_infer_body_bytes);
    oip.timeout = config_.timeouts.infer;
    oip_ = std::make_unique<OipHandler>(
        oip, OipHandler::Parts{routes_, *admission_, *recorder_, *refusals_, *tokens_, *shadows_,
                               *pool_, metrics_, clock_, *repository_, [this] { return ready(); }});
    GrpcDoor::Options grpc;
    grpc.inference.server_name = config_.server_name;
    grpc.inference.version = Version();
    grpc.inference.timeout = config_.timeouts.infer;
    grpc.inference.max_streams = config_.limits.max_streams;
    grpc.max_api_message_bytes = static_cast<uint64_t>(config_.limits.max_api_body_bytes);
    grpc.max_infer_message_bytes = static_cast<uint64_t>(config_.limits.max_infer_body_bytes);
    ASSIGN_OR_RETURN(
        grpc_, GrpcDoor::Create(grpc,
                                GrpcDoor::Parts{*methods_, *api_,
                                                InferenceDoor::Parts{
                                                    routes_, *admission_, *recorder_, *refusals_,
                                                    *tokens_, *shadows_, metrics_, clock_,
                                                    *repository_, [this] { return ready(); }},
                                                [this](http::Exchange& exchange) {
                                                  auto key = Authenticate(exchange.head());
                                                  if (key.ok()) Note(exchange, **key);
                                                  return key;
                                                }},
                                DescriptorSetWithComments()));
    return absl::OkStatus();
  }

  void OpenDeleter() {
    deletions_ = std::make_unique<TenantDeletions>(*database_);
    const auto service = [this](ServiceId id, const std::string& method) {
      return ServiceKeeper(id, method, channels_[std::string(ServiceName(id))], *tokens_, clock_);
    };
    // What runs goes before what it is made of. A room that keeps rows of tenants has its keeper
    // before "identity".
    std::vector<TenantKeeper> keepers = {
        service(ServiceId::kController, "/slipway.controller.v1.ControllerService/PurgeTenant"),
        service(ServiceId::kTraining, "/slipway.training.v1.TrainingService/PurgeTenant"),
        service(ServiceId::kRegistry, "/slipway.registry.v1.RegistryService/PurgeTenant"),
        {"limits", [this](const std::string& tenant,
                          bool remove) { return limits_->PurgeTenant(tenant, remove); }},
        {"identity", [this](const std::string& tenant, bool remove) {
           return deletions_->PurgeIdentity(tenant, remove);
         }}};
    deleter_ = std::make_unique<TenantDeleter>(
        *deletions_, *key_feed_, std::move(keepers),
        [this](const std::string& tenant, const v1::TenantDeletion& deletion) {
          return Vouch(tenant, deletion);
        },
        kDeletionInterval, clock_);
  }

  absl::Status Vouch(const std::string& tenant, const v1::TenantDeletion& deletion) {
    ASSIGN_OR_RETURN(Recorder::Ticket ticket, recorder_->Admit());
    v1::AuditRecord record;
    record.set_resource(fmt::format("{}/sha256:{}", deletion.name(), deletion.report_sha256()));
    record.set_tenant(tenant);
    record.set_key_id(deletion.requested_by());
    record.set_method("slipway.gateway.v1.TenantService/DeleteTenant");
    RETURN_IF_ERROR(recorder_->Record(ticket, record));
    recorder_->Settle(std::move(ticket), 200);
    return ledger_feed_->Flush(kVouchTimeout);
  }

  absl::Status Listen() {
    http::ServerOptions options;
    options.address = config_.listen;
    options.io_threads = &io_threads_;
    options.tls_certificate_file = config_.listen_tls.certificate_file;
    options.tls_key_file = config_.listen_tls.key_file;
    options.on_certificate = [](const absl::Status& status) {
      if (status.ok()) {
        Log(Severity::kInfo, "certificate_reloaded", {});
      } else {
        Log(Severity::kWarning, "certificate_reload_failed",
            {{"error", std::string(status.message())}});
      }
    };
    ASSIGN_OR_RETURN(options.trusted_proxies,
                     Networks::Parse(config_.trusted_proxies, "trusted_proxies"));
    options.max_header_bytes = static_cast<size_t>(config_.limits.max_header_bytes);
    options.max_body_bytes = static_cast<uint64_t>(config_.limits.max_api_body_bytes);
    options.max_connections = config_.limits.max_connections;
    options.max_connections_per_address = config_.limits.max_connections_per_address;
    options.header_timeout = config_.timeouts.header;
    options.stall_timeout = config_.timeouts.stall;
    options.idle_timeout = config_.timeouts.idle;
    options.total_timeout = config_.timeouts.total;
    options.render_error = [this](const http::ServerError& error) {
      http::Response response = ListenerError(error);
      if (error.head != nullptr && cors_.Concerns(*error.head)) {
        cors_.AddTo(*error.head, response.headers);
      }
      return response;
    };
    options.clock = &clock_;
    ASSIGN_OR_RETURN(server_, http::Server::Start(options, *this));
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const KnownKey>> Authenticate(const http::RequestHead& head) {
    const auto text = RequestKey(head.headers);
    if (!text.ok()) {
      metrics_.CountRefusal("no_key");
      refusals_->Count(RefusalOf("no_key", ToHttpCode(text.status()), head, nullptr));
      return text.status();
    }
    auto key = LooksLikeToken(*text) ? oidc_->Authenticate(*text)
                                     : table_->Authenticate(*text, head.peer_address);
    if (key.ok()) return key;
    if (absl::IsUnavailable(key.status())) {
      metrics_.CountRefusal("keys_unavailable");
      return key;
    }
    const char* const reason =
        absl::IsPermissionDenied(key.status()) ? "key_not_allowed" : "bad_key";
    metrics_.CountRefusal(reason);
    refusals_->Count(RefusalOf(reason, ToHttpCode(key.status()), head, nullptr));
    return key;
  }

  static void Note(http::Exchange& exchange, const KnownKey& key) {
    http::Observation* const observation = exchange.observation();
    if (observation == nullptr) return;
    observation->tenant = key.principal.tenant;
    observation->key_id = key.principal.key_id;
  }

  void Send(http::Exchange& exchange, http::Response response) {
    metrics_.Method("other").Observe(response.status, absl::ZeroDuration());
    exchange.Respond(std::move(response));
  }

  void Refuse(http::Exchange& exchange, const absl::Status& status) {
    const http::RequestHead& head = exchange.head();
    Send(exchange, ErrorFor(head.path(), status, head.request_id));
  }

  void SendOpenApi(std::shared_ptr<http::Exchange> exchange) {
    const http::RequestHead& head = exchange->head();
    if (head.method != "GET") {
      return Send(*exchange, MethodNotAllowed(head.path(), "GET", head.request_id));
    }
    metrics_.Method("other").Observe(200, absl::ZeroDuration());
    SendDocument(std::move(exchange), "application/json", open_api_);
  }

  absl::StatusOr<v1::Platform> GetPlatform(const Principal& who) {
    v1::Platform platform;
    platform.set_version(std::string(Version()));
    if (!who.tenant.empty()) platform.set_tenant("tenants/" + who.tenant);
    platform.set_role(static_cast<options::v1::Role>(who.role));
    for (const auto& [name, channel] : channels_) {
      v1::Platform::Component& component = *platform.add_components();
      component.set_service(name);
      component.set_ready(WaitForReady(*channel, absl::Milliseconds(200)).ok());
    }
    return platform;
  }

  void KeepGauges() {
    Metrics& metrics = metrics_.metrics();
    auto& connections =
        metrics.Gauge("http_connections_open", "Connections of the public listener");
    auto& abandoned =
        metrics.Gauge("http_requests_abandoned", "Requests whose caller left before the answer");
    auto& journal = metrics.Gauge("journal_free_bytes", "Room for usage that is not in SQL yet");
    auto& failures = metrics.Gauge("ledger_failures", "Batches of usage that SQL refused so far");
    auto& keys = metrics.Gauge("keys", "Keys in the table, dead ones too");
    auto& age = metrics.Gauge("keys_age_seconds", "Since keys were last read from the database");
    std::map<std::string, prometheus::Gauge*> refused;
    for (int i = 0; i < static_cast<int>(http::Refusal::kCount); ++i) {
      const std::string name(http::RefusalName(static_cast<http::Refusal>(i)));
      refused[name] = &metrics.Gauge("http_refusals", "What the listener turned away so far",
                                     {{"reason", name}});
    }
    auto set = [this, &connections, &abandoned, &journal, &failures, &keys, &age,
                refused = std::move(refused)] {
      grpc_->Refresh();
      const http::ServerStats stats = server_->stats();
      connections.Set(static_cast<double>(stats.connections_open));
      abandoned.Set(static_cast<double>(stats.requests_abandoned));
      journal.Set(static_cast<double>(journal_->free_bytes()));
      failures.Set(static_cast<double>(ledger_feed_->failures()));
      keys.Set(static_cast<double>(table_->key_count()));
      age.Set(absl::ToDoubleSeconds(table_->age()));
      for (int i = 0; i < static_cast<int>(http::Refusal::kCount); ++i) {
        refused.at(std::string(http::RefusalName(static_cast<http::Refusal>(i))))
            ->Set(static_cast<double>(stats.refused[i]));
      }
    };
    gauges_.Start(kGaugeInterval, RepeatingThread::First::kAfterInterval, std::move(set));
  }

  const GatewayConfig config_;
  const Clock& clock_;
  GatewayMetrics metrics_;
  std::atomic<bool> draining_ = false;

  // In the order of their making; they end in reverse, the listener first.
  Cors cors_;
  std::unique_ptr<tracing::Tracer> tracer_;  // null where nothing is traced
  std::unique_ptr<RequestObserver> observer_;
  http::IoThreads io_threads_;
  FileLock database_lock_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<SqlIdentityStore> store_;
  std::unique_ptr<KeyTable> table_;
  std::unique_ptr<KeyFeed> key_feed_;
  std::unique_ptr<OidcTokens> oidc_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<LedgerFeed> ledger_feed_;
  std::unique_ptr<SqlLimitStore> limits_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<LeaseKeeper> lease_keeper_;
  std::unique_ptr<Refusals> refusals_;
  std::unique_ptr<AuditRounds> audit_rounds_;
  std::unique_ptr<TokenIssuer> tokens_;
  std::unique_ptr<Backends> backends_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
  Routes routes_;
  TrafficBook traffic_;
  std::unique_ptr<WorkerDirectory> workers_;
  std::unique_ptr<RouteWatcher> watcher_;
  std::unique_ptr<TrafficReporter> reporter_;
  std::unique_ptr<OutboxFeed> training_outbox_;
  std::unique_ptr<OutboxFeed> registry_outbox_;
  std::unique_ptr<IdentityService> identity_;
  std::unique_ptr<TenantDeletions> deletions_;
  std::unique_ptr<TenantDeleter> deleter_;
  std::unique_ptr<UsageService> usage_;
  std::unique_ptr<LimitService> limit_service_;
  std::unique_ptr<Shadows> shadows_;
  std::optional<Prediction::Parts> line_predictions_;
  std::unique_ptr<Batches> batches_;
  LocalMethods local_;
  std::unique_ptr<MethodTable> methods_;
  std::shared_ptr<const std::string> open_api_;
  std::unique_ptr<WorkPool> pool_;
  std::unique_ptr<ApiHandler> api_;
  std::unique_ptr<InnerCalls> inner_calls_;
  std::unique_ptr<Repository> repository_;
  std::unique_ptr<OipHandler> oip_;
  std::unique_ptr<OpenAiHandler> openai_;
  std::unique_ptr<GrpcDoor> grpc_;
  std::unique_ptr<http::Server> server_;
  RepeatingThread gauges_;
};

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayConfig& config,
                                                        Metrics& metrics, const Clock& clock) {
  auto impl = std::make_unique<Impl>(config, metrics, clock);
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Gateway>(new Gateway(std::move(impl)));
}

Gateway::Gateway(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Gateway::~Gateway() = default;
std::string Gateway::address() const { return impl_->server().address(); }
int Gateway::port() const { return impl_->server().port(); }
bool Gateway::ready() const { return impl_->ready(); }
int Gateway::Drain() { return impl_->Drain(); }

absl::Status VerifyAudit(const GatewayConfig& config) {
  ASSIGN_OR_RETURN(const auto database, sql::Database::Open(config.database));
  ASSIGN_OR_RETURN(const Peppers peppers, Peppers::Load(config.pepper_file));
  ASSIGN_OR_RETURN(const auto exported, ReadHeads(HeadsFile(config)));
  AuditLog log(*database, AuditKeyOf(peppers));
  ASSIGN_OR_RETURN(const AuditVerdict verdict, log.Verify(exported));
  for (const AuditHead& head : verdict.heads) {
    fmt::print("chain {}: {} entries, head {}\n", head.writer, head.number, head.mac);
  }
  for (const std::string& fault : verdict.faults) fmt::print("FAULT {}\n", fault);
  if (exported.empty()) {
    fmt::print(
        "no head of a chain is in {} yet: a gateway writes them there once a minute, and "
        "until then an end that was cut off is not seen\n",
        HeadsFile(config));
  }
  if (!verdict.faults.empty()) return absl::DataLossError("the audit log has been tampered with");
  fmt::print("{} audit records verified\n", verdict.rows);
  return absl::OkStatus();
}

absl::Status RecoverAdminKey(const GatewayConfig& config, const Clock& clock) {
  ASSIGN_OR_RETURN(const auto database, OpenDatabase(config));
  SqlIdentityStore store(*database);
  ASSIGN_OR_RETURN(const Peppers peppers, OpenPeppers(config, store));
  const OperatorKey key =
      MakeOperatorKey(peppers, config.key_environment, "recovered operator key", clock.Now());
  RETURN_IF_ERROR(store.CreateKey(key.record));
  Log(Severity::kWarning, "operator_key_recovered", {{"key", key.record.id}});
  if (!config.admin_key_file.empty()) {
    return WriteFileAtomically(config.admin_key_file, key.text.Reveal(), 0600);
  }
  const std::string line = std::string(key.text.Reveal()) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) {
    return absl::InternalError("the key could not be written to standard output");
  }
  return absl::OkStatus();
}

}  // namespace slipway::gateway
