#include "services/controller/sql_deployment_store.h"

#include <utility>

#include "common/fields/field_reader.h"
#include "common/fields/field_writer.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

namespace slipway::controller {
namespace {

using slipway::worker::v1::RuntimeSettings;

const std::vector<sql::Migration>& Migrations() {
  static const auto* const migrations =
      new std::vector<sql::Migration>{{1, "deployments", R"(
CREATE TABLE deployments (
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  model_version TEXT NOT NULL,
  pool TEXT NOT NULL,
  replicas BIGINT NOT NULL,
  deleting BIGINT NOT NULL,
  serving TEXT,
  create_time_micros BIGINT NOT NULL,
  update_time_micros BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  request_id TEXT,
  PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX deployments_by_request_id ON deployments (tenant, request_id);
)"},
                                      {2, "deployments run in a chosen way", R"(
ALTER TABLE deployments ADD COLUMN runtime BIGINT NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN runtime_precision BIGINT NOT NULL DEFAULT 0;
)"},
                                      {3, "rollouts", R"(
ALTER TABLE deployments ADD COLUMN rollout TEXT;
)"},
                                      {4, "all that deployments say of how they run", R"(
ALTER TABLE deployments ADD COLUMN runtime_settings TEXT;
ALTER TABLE deployments ADD COLUMN unloaded BIGINT NOT NULL DEFAULT 0;
)"},
                                      {5, "how calls are served", R"(
ALTER TABLE deployments ADD COLUMN routing TEXT;
)"}};
  return *migrations;
}

std::optional<std::string> ServingText(const Deployment& deployment) {
  if (!deployment.serving) return std::nullopt;
  return deployment.serving->ToString();
}

constexpr Name<Strategy> kStrategies[] = {{"direct", Strategy::kDirect},
                                          {"canary", Strategy::kCanary},
                                          {"blue_green", Strategy::kBlueGreen},
                                          {"weighted", Strategy::kWeighted}};
constexpr Name<Trial::Phase> kPhases[] = {{"loading", Trial::Phase::kLoading},
                                          {"running", Trial::Phase::kRunning},
                                          {"promoted", Trial::Phase::kPromoted},
                                          {"rolled_back", Trial::Phase::kRolledBack}};

// Column `rollout`: how the deployment rolls out, and its trial, as JSON.
struct TrialRow {
  std::string candidate;
  std::string stable;
  Trial::Phase phase = Trial::Phase::kLoading;
  int64_t step = 0;
  int64_t since_micros = 0;
  std::string reason;

  template <class V>
  void Describe(V& v) {
    v.Text("candidate", candidate);
    v.Text("stable", stable);
    v.Enum("phase", phase, kPhases);
    v.Int("step", step);
    v.Int("since_micros", since_micros);
    v.Text("reason", reason);
  }
};
struct RolloutRow {
  Strategy strategy = Strategy::kDirect;
  int percent = 0;
  std::vector<int64_t> steps;
  int64_t step_time_micros = 0;
  int64_t min_calls = 0;
  double max_error_increase = 0;
  double max_latency_ratio = 0;
  int64_t keep_previous_micros = 0;
  std::optional<TrialRow> trial;

  template <class V>
  void Describe(V& v) {
    v.Enum("strategy", strategy, kStrategies);
    v.Int("percent", percent);
    v.Ints("steps", steps);
    v.Int("step_time_micros", step_time_micros);
    v.Int("min_calls", min_calls);
    v.Real("max_error_increase", max_error_increase);
    v.Real("max_latency_ratio", max_latency_ratio);
    v.Int("keep_previous_micros", keep_previous_micros);
    v.Object("trial", trial);
  }
};

std::string PrintRollout(const Deployment& deployment) {
  const RolloutPolicy& policy = deployment.rollout;
  RolloutRow row{.strategy = policy.strategy,
                 .percent = policy.percent,
                 .steps = {policy.steps.begin(), policy.steps.end()},
                 .step_time_micros = absl::ToInt64Microseconds(policy.step_time),
                 .min_calls = policy.min_calls,
                 .max_error_increase = policy.max_error_increase,
                 .max_latency_ratio = policy.max_latency_ratio,
                 .keep_previous_micros = absl::ToInt64Microseconds(policy.keep_previous),
                 .trial = std::nullopt};
  if (const auto& trial = deployment.trial) {
    row.trial = TrialRow{.candidate = trial->candidate.ToString(),
                         .stable = trial->stable.ToString(),
                         .phase = trial->phase,
                         .step = trial->step,
                         .since_micros = absl::ToUnixMicros(trial->since),
                         .reason = trial->reason};
  }
  return WriteFields(row).dump();
}

// A row of before rollouts has none: the defaults hold.
absl::Status ReadRollout(const std::optional<std::string>& text, Deployment& deployment) {
  if (!text) return absl::OkStatus();
  ASSIGN_OR_RETURN(const nlohmann::json object, ParseJson(*text, "rollout"));
  RolloutRow row;
  RETURN_IF_ERROR(ReadFields(object, "rollout", row));
  deployment.rollout = {.strategy = row.strategy,
                        .percent = row.percent,
                        .steps = {row.steps.begin(), row.steps.end()},
                        .step_time = absl::Microseconds(row.step_time_micros),
                        .min_calls = row.min_calls,
                        .max_error_increase = row.max_error_increase,
                        .max_latency_ratio = row.max_latency_ratio,
                        .keep_previous = absl::Microseconds(row.keep_previous_micros)};
  if (!row.trial) return absl::OkStatus();
  Trial& trial = deployment.trial.emplace();
  ASSIGN_OR_RETURN(trial.candidate, VersionName::Parse("trial.candidate", row.trial->candidate));
  ASSIGN_OR_RETURN(trial.stable, VersionName::Parse("trial.stable", row.trial->stable));
  trial.phase = row.trial->phase;
  trial.step = static_cast<int>(row.trial->step);
  trial.since = absl::FromUnixMicros(row.trial->since_micros);
  trial.reason = row.trial->reason;
  return absl::OkStatus();
}

// A column that holds a message as JSON.
absl::StatusOr<std::string> PrintMessage(const google::protobuf::Message& message) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) {
    return absl::InternalError(fmt::format("{} cannot be written", message.GetTypeName()));
  }
  return text;
}

absl::Status ReadMessage(const std::string& text, google::protobuf::Message& message) {
  // A newer controller may have known more.
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(text, &message, options).ok()) {
    return absl::DataLossError(fmt::format("its {} cannot be read", message.GetTypeName()));
  }
  return absl::OkStatus();
}

// Rows of before there was that column have two of the settings in columns of their own.
absl::StatusOr<RuntimeSettings> ReadRuntime(const sql::Row& row) {
  RuntimeSettings runtime;
  if (const std::optional<std::string> text = row.GetOptionalString(14)) {
    RETURN_IF_ERROR(ReadMessage(*text, runtime));
    return runtime;
  }
  runtime.set_runtime(static_cast<RuntimeSettings::Runtime>(row.GetInt(11)));
  runtime.set_precision(static_cast<RuntimeSettings::Precision>(row.GetInt(12)));
  return runtime;
}

absl::StatusOr<Deployment> Read(const sql::Row& row) {
  DeploymentName name{row.GetString(0), row.GetString(1)};
  ASSIGN_OR_RETURN(VersionReference reference,
                   VersionReference::Parse("model_version", row.GetString(2)));
  std::optional<VersionName> serving;
  if (const std::optional<std::string> text = row.GetOptionalString(6)) {
    ASSIGN_OR_RETURN(serving, VersionName::Parse("serving", *text));
  }
  ASSIGN_OR_RETURN(RuntimeSettings runtime, ReadRuntime(row));
  Deployment deployment{.name = std::move(name),
                        .model_version = std::move(reference),
                        .pool = row.GetString(3),
                        .replicas = static_cast<int>(row.GetInt(4)),
                        .deleting = row.GetBool(5),
                        .unloaded = row.GetBool(15),
                        .serving = std::move(serving),
                        .create_time = absl::FromUnixMicros(row.GetInt(7)),
                        .update_time = absl::FromUnixMicros(row.GetInt(8)),
                        .generation = row.GetInt(9),
                        .request_id = row.GetOptionalString(10).value_or(""),
                        .runtime = std::move(runtime)};
  RETURN_IF_ERROR(ReadRollout(row.GetOptionalString(13), deployment));
  if (const std::optional<std::string> text = row.GetOptionalString(16)) {
    RETURN_IF_ERROR(ReadMessage(*text, deployment.routing));
  }
  return deployment;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDeploymentStore>> SqlDeploymentStore::Open(std::string_view url) {
  ASSIGN_OR_RETURN(std::unique_ptr<sql::Database> database, sql::Database::Open(url));
  RETURN_IF_ERROR(database->Migrate(Migrations()));
  return std::unique_ptr<SqlDeploymentStore>(new SqlDeploymentStore(std::move(database)));
}

absl::Status SqlDeploymentStore::Create(const Deployment& d) {
  ASSIGN_OR_RETURN(const std::string runtime, PrintMessage(d.runtime));
  ASSIGN_OR_RETURN(const std::string routing, PrintMessage(d.routing));
  return database_->Write([&](sql::Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "INSERT INTO deployments (tenant, id, model_version, pool, replicas, deleting, "
            "serving, create_time_micros, update_time_micros, generation, request_id, "
            "rollout, runtime_settings, unloaded, routing) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "?, ?, ?, ?, ?)",
            {d.name.tenant, d.name.id, d.model_version.ToString(), d.pool, d.replicas, d.deleting,
             ServingText(d), absl::ToUnixMicros(d.create_time), absl::ToUnixMicros(d.update_time),
             d.generation, d.request_id.empty() ? sql::Value(nullptr) : sql::Value(d.request_id),
             PrintRollout(d), runtime, d.unloaded, routing})
        .status();
  });
}

absl::Status SqlDeploymentStore::Update(const Deployment& d) {
  ASSIGN_OR_RETURN(const std::string routing, PrintMessage(d.routing));
  return database_->Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("UPDATE deployments SET model_version = ?, pool = ?, replicas = ?, "
                   "deleting = ?, unloaded = ?, serving = ?, update_time_micros = ?, "
                   "generation = ?, rollout = ?, routing = ? "
                   "WHERE tenant = ? AND id = ?",
                   {d.model_version.ToString(), d.pool, d.replicas, d.deleting, d.unloaded,
                    ServingText(d), absl::ToUnixMicros(d.update_time), d.generation,
                    PrintRollout(d), routing, d.name.tenant, d.name.id}));
    return changed == 1 ? absl::OkStatus() : NotFound(d.name.ToString());
  });
}

absl::Status SqlDeploymentStore::Remove(const DeploymentName& name) {
  return database_->Write([&](sql::Transaction& tx) -> absl::Status {
    return tx.Execute("DELETE FROM deployments WHERE tenant = ? AND id = ?", {name.tenant, name.id})
        .status();
  });
}

absl::StatusOr<std::vector<Deployment>> SqlDeploymentStore::All() {
  std::vector<Deployment> deployments;
  RETURN_IF_ERROR(database_->Read([&](sql::Transaction& tx) -> absl::Status {
    deployments.clear();
    return tx.ForEach(
        "SELECT tenant, id, model_version, pool, replicas, deleting, serving, "
        "create_time_micros, update_time_micros, generation, request_id, runtime, "
        "runtime_precision, rollout, runtime_settings, unloaded, routing "
        "FROM deployments ORDER BY tenant, id",
        {}, [&](const sql::Row& row) -> absl::Status {
          absl::StatusOr<Deployment> deployment = Read(row);
          if (!deployment.ok()) {
            return absl::DataLossError(fmt::format("deployment {}/{}: {}", row.GetString(0),
                                                   row.GetString(1),
                                                   std::string(deployment.status().message())));
          }
          deployments.push_back(*std::move(deployment));
          return absl::OkStatus();
        });
  }));
  return deployments;
}

}  // namespace slipway::controller
