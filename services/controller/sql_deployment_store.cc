#include "services/controller/sql_deployment_store.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::controller {
namespace {

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
)"}};
  return *migrations;
}

std::optional<std::string> ServingText(const Deployment& deployment) {
  if (!deployment.serving) return std::nullopt;
  return deployment.serving->ToString();
}

absl::StatusOr<Deployment> Read(const sql::Row& row) {
  DeploymentName name{row.GetString(0), row.GetString(1)};
  ASSIGN_OR_RETURN(VersionReference reference,
                   VersionReference::Parse("model_version", row.GetString(2)));
  std::optional<VersionName> serving;
  if (const std::optional<std::string> text = row.GetOptionalString(6)) {
    ASSIGN_OR_RETURN(serving, VersionName::Parse("serving", *text));
  }
  slipway::worker::v1::RuntimeSettings runtime;
  using Settings = slipway::worker::v1::RuntimeSettings;
  runtime.set_runtime(static_cast<Settings::Runtime>(row.GetInt(11)));
  runtime.set_precision(static_cast<Settings::Precision>(row.GetInt(12)));
  return Deployment{.name = std::move(name),
                    .model_version = std::move(reference),
                    .pool = row.GetString(3),
                    .replicas = static_cast<int>(row.GetInt(4)),
                    .deleting = row.GetBool(5),
                    .serving = std::move(serving),
                    .create_time = absl::FromUnixMicros(row.GetInt(7)),
                    .update_time = absl::FromUnixMicros(row.GetInt(8)),
                    .generation = row.GetInt(9),
                    .request_id = row.GetOptionalString(10).value_or(""),
                    .runtime = std::move(runtime)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDeploymentStore>> SqlDeploymentStore::Open(std::string_view url) {
  ASSIGN_OR_RETURN(std::unique_ptr<sql::Database> database, sql::Database::Open(url));
  RETURN_IF_ERROR(database->Migrate(Migrations()));
  return std::unique_ptr<SqlDeploymentStore>(new SqlDeploymentStore(std::move(database)));
}

absl::Status SqlDeploymentStore::Create(const Deployment& d) {
  return database_->Write([&](sql::Transaction& tx) -> absl::Status {
    return tx
        .Execute(
            "INSERT INTO deployments (tenant, id, model_version, pool, replicas, deleting, "
            "serving, create_time_micros, update_time_micros, generation, request_id, runtime, "
            "runtime_precision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {d.name.tenant, d.name.id, d.model_version.ToString(), d.pool, d.replicas, d.deleting,
             ServingText(d), absl::ToUnixMicros(d.create_time), absl::ToUnixMicros(d.update_time),
             d.generation, d.request_id.empty() ? sql::Value(nullptr) : sql::Value(d.request_id),
             static_cast<int64_t>(d.runtime.runtime()),
             static_cast<int64_t>(d.runtime.precision())})
        .status();
  });
}

absl::Status SqlDeploymentStore::Update(const Deployment& d) {
  return database_->Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const int64_t changed,
        tx.Execute("UPDATE deployments SET model_version = ?, pool = ?, replicas = ?, "
                   "deleting = ?, serving = ?, update_time_micros = ?, generation = ? "
                   "WHERE tenant = ? AND id = ?",
                   {d.model_version.ToString(), d.pool, d.replicas, d.deleting, ServingText(d),
                    absl::ToUnixMicros(d.update_time), d.generation, d.name.tenant, d.name.id}));
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
        "runtime_precision "
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
