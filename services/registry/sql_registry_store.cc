#include "services/registry/sql_registry_store.h"

#include <set>
#include <utility>

#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/registry/checks.h"

namespace slipway::registry {
namespace {

using google::protobuf::util::TimeUtil;
using sql::Blob;
using sql::Row;

// Times are microseconds since 1970. A version's and a dataset's `body` is its protobuf message;
// beside it stand the columns that a statement looks for.
const std::vector<sql::Migration>& Migrations() {
  static const std::vector<sql::Migration> migrations = {
      {1, "models, versions, aliases, datasets and blobs", R"sql(
        CREATE TABLE models (
          tenant TEXT NOT NULL, model TEXT NOT NULL,
          description TEXT NOT NULL, create_time BIGINT NOT NULL, latest_version BIGINT NOT NULL,
          PRIMARY KEY (tenant, model));

        CREATE TABLE versions (
          tenant TEXT NOT NULL, model TEXT NOT NULL, number BIGINT NOT NULL,
          create_time BIGINT NOT NULL, artifact_digest TEXT NOT NULL, body BYTEA NOT NULL,
          PRIMARY KEY (tenant, model, number),
          FOREIGN KEY (tenant, model) REFERENCES models (tenant, model));

        CREATE TABLE aliases (
          tenant TEXT NOT NULL, model TEXT NOT NULL, alias TEXT NOT NULL,
          number BIGINT NOT NULL, update_time BIGINT NOT NULL,
          PRIMARY KEY (tenant, model, alias),
          FOREIGN KEY (tenant, model, number) REFERENCES versions (tenant, model, number));

        CREATE TABLE datasets (
          tenant TEXT NOT NULL, dataset TEXT NOT NULL,
          create_time BIGINT NOT NULL, body BYTEA NOT NULL,
          PRIMARY KEY (tenant, dataset));

        CREATE TABLE blobs (
          tenant TEXT NOT NULL, digest TEXT NOT NULL,
          size_bytes BIGINT NOT NULL, use_time BIGINT NOT NULL,
          PRIMARY KEY (tenant, digest));
        CREATE INDEX blobs_by_use_time ON blobs (use_time);

        -- A blob is a file of `owner`, a version or dataset; `family` is the version's model.
        CREATE TABLE blob_owners (
          tenant TEXT NOT NULL, digest TEXT NOT NULL, owner TEXT NOT NULL, family TEXT NOT NULL,
          PRIMARY KEY (tenant, digest, owner),
          FOREIGN KEY (tenant, digest) REFERENCES blobs (tenant, digest));
        CREATE INDEX blob_owners_by_owner ON blob_owners (tenant, owner);

        CREATE TABLE requests (
          tenant TEXT NOT NULL, request_id TEXT NOT NULL,
          method TEXT NOT NULL, hash TEXT NOT NULL, answer BYTEA NOT NULL,
          create_time BIGINT NOT NULL,
          PRIMARY KEY (tenant, request_id));
        CREATE INDEX requests_by_create_time ON requests (create_time);
      )sql"},
      {2, "closed tenants", "CREATE TABLE closed_tenants (tenant TEXT PRIMARY KEY)"},
      {3, "what was billed of stored bytes", R"sql(
        CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
        CREATE TABLE usage (cursor_number BIGINT PRIMARY KEY, usage BYTEA NOT NULL);
      )sql"},
      {4, "datasets that are files with a purpose", R"sql(
        ALTER TABLE datasets ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
        CREATE INDEX datasets_with_purpose ON datasets (tenant, dataset) WHERE purpose <> '';
      )sql"},
  };
  return migrations;
}

int64_t Micros(const google::protobuf::Timestamp& time) {
  return TimeUtil::TimestampToMicroseconds(time);
}

v1::Model ToModel(std::string_view tenant, const Row& row) {
  v1::Model model;
  model.set_name(ModelName{std::string(tenant), row.GetString(0)}.ToString());
  model.set_description(row.GetString(1));
  *model.mutable_create_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(2));
  model.set_latest_version(row.GetInt(3));
  return model;
}

v1::Alias ToAlias(const ModelName& model, const Row& row) {
  v1::Alias alias;
  alias.set_name(AliasName{model, row.GetString(0)}.ToString());
  alias.set_version(VersionName{model, row.GetInt(1)}.ToString());
  *alias.mutable_update_time() = TimeUtil::MicrosecondsToTimestamp(row.GetInt(2));
  return alias;
}

template <class Message>
absl::StatusOr<Message> Parse(const std::string& body, const std::string& what) {
  Message message;
  if (!message.ParseFromString(body)) {
    return absl::DataLossError(fmt::format("the row of {} cannot be read", what));
  }
  return message;
}

class SqlTransaction final : public RegistryTransaction {
 public:
  explicit SqlTransaction(sql::Transaction& tx) : tx_(tx) {}

  absl::StatusOr<std::optional<v1::Model>> FindModel(const ModelName& name) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT model, description, create_time, latest_version "
                                  "FROM models WHERE tenant = ? AND model = ?",
                                  {name.tenant, name.id}));
    if (!row.has_value()) return std::nullopt;
    return ToModel(name.tenant, *row);
  }

  absl::Status InsertModel(const ModelName& name, const v1::Model& model) override {
    return Execute(
        "INSERT INTO models (tenant, model, description, create_time, latest_version) "
        "VALUES (?, ?, ?, ?, ?)",
        {name.tenant, name.id, model.description(), Micros(model.create_time()),
         model.latest_version()});
  }

  absl::Status SetLatestVersion(const ModelName& name, int64_t number) override {
    return Execute("UPDATE models SET latest_version = ? WHERE tenant = ? AND model = ?",
                   {number, name.tenant, name.id});
  }

  absl::StatusOr<std::vector<v1::Model>> ListModels(std::string_view tenant, std::string_view after,
                                                    int limit) override {
    std::vector<v1::Model> models;
    RETURN_IF_ERROR(
        tx_.ForEach("SELECT model, description, create_time, latest_version FROM models "
                    "WHERE tenant = ? AND model > ? ORDER BY model LIMIT ?",
                    {tenant, after, limit}, [&](const Row& row) {
                      models.push_back(ToModel(tenant, row));
                      return absl::OkStatus();
                    }));
    return models;
  }

  absl::StatusOr<std::optional<v1::ModelVersion>> FindVersion(const VersionName& name) override {
    ASSIGN_OR_RETURN(
        const auto row,
        tx_.QueryOne("SELECT body FROM versions WHERE tenant = ? AND model = ? AND number = ?",
                     {name.model.tenant, name.model.id, name.number}));
    if (!row.has_value()) return std::nullopt;
    return Parse<v1::ModelVersion>(row->GetBlob(0), name.ToString());
  }

  absl::Status InsertVersion(const VersionName& name, const v1::ModelVersion& version) override {
    RETURN_IF_ERROR(
        Execute("INSERT INTO versions (tenant, model, number, create_time, artifact_digest, body) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                {name.model.tenant, name.model.id, name.number, Micros(version.create_time()),
                 version.artifact().digest(), Blob{Serialize(version)}}));
    return InsertOwner(name.model.tenant, name.ToString(), name.model.ToString(),
                       version.artifact().files());
  }

  absl::StatusOr<std::vector<v1::ModelVersion>> ListVersions(const ModelName& model, int64_t before,
                                                             int limit) override {
    std::vector<v1::ModelVersion> versions;
    RETURN_IF_ERROR(tx_.ForEach(
        "SELECT body FROM versions WHERE tenant = ? AND model = ? AND number < ? "
        "ORDER BY number DESC LIMIT ?",
        {model.tenant, model.id, before, limit}, [&](const Row& row) -> absl::Status {
          ASSIGN_OR_RETURN(auto version, Parse<v1::ModelVersion>(
                                             row.GetBlob(0), "a version of " + model.ToString()));
          versions.push_back(std::move(version));
          return absl::OkStatus();
        }));
    return versions;
  }

  absl::StatusOr<std::optional<v1::Alias>> FindAlias(const AliasName& name) override {
    ASSIGN_OR_RETURN(const auto row, tx_.QueryOne("SELECT alias, number, update_time FROM aliases "
                                                  "WHERE tenant = ? AND model = ? AND alias = ?",
                                                  {name.model.tenant, name.model.id, name.alias}));
    if (!row.has_value()) return std::nullopt;
    return ToAlias(name.model, *row);
  }

  absl::Status PutAlias(const AliasName& name, int64_t number, absl::Time now) override {
    return Execute(
        "INSERT INTO aliases (tenant, model, alias, number, update_time) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (tenant, model, alias) "
        "DO UPDATE SET number = excluded.number, update_time = excluded.update_time",
        {name.model.tenant, name.model.id, name.alias, number, absl::ToUnixMicros(now)});
  }

  absl::StatusOr<bool> DeleteAlias(const AliasName& name) override {
    ASSIGN_OR_RETURN(const int64_t deleted,
                     tx_.Execute("DELETE FROM aliases WHERE tenant = ? AND model = ? AND alias = ?",
                                 {name.model.tenant, name.model.id, name.alias}));
    return deleted > 0;
  }

  absl::StatusOr<std::vector<v1::Alias>> ListAliases(const ModelName& model, std::string_view after,
                                                     int limit) override {
    std::vector<v1::Alias> aliases;
    RETURN_IF_ERROR(
        tx_.ForEach("SELECT alias, number, update_time FROM aliases "
                    "WHERE tenant = ? AND model = ? AND alias > ? ORDER BY alias LIMIT ?",
                    {model.tenant, model.id, after, limit}, [&](const Row& row) {
                      aliases.push_back(ToAlias(model, row));
                      return absl::OkStatus();
                    }));
    return aliases;
  }

  absl::StatusOr<std::optional<v1::Dataset>> FindDataset(const DatasetName& name) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT body FROM datasets WHERE tenant = ? AND dataset = ?",
                                  {name.tenant, name.id}));
    if (!row.has_value()) return std::nullopt;
    return Parse<v1::Dataset>(row->GetBlob(0), name.ToString());
  }

  absl::Status InsertDataset(const DatasetName& name, const v1::Dataset& dataset) override {
    RETURN_IF_ERROR(
        Execute("INSERT INTO datasets (tenant, dataset, create_time, purpose, body) "
                "VALUES (?, ?, ?, ?, ?)",
                {name.tenant, name.id, Micros(dataset.create_time()), dataset.purpose(),
                 Blob{Serialize(dataset)}}));
    return InsertOwner(name.tenant, name.ToString(), name.ToString(), dataset.files());
  }

  absl::StatusOr<bool> DeleteDataset(const DatasetName& name, absl::Time now) override {
    ASSIGN_OR_RETURN(const int64_t deleted,
                     tx_.Execute("DELETE FROM datasets WHERE tenant = ? AND dataset = ?",
                                 {name.tenant, name.id}));
    if (deleted == 0) return false;
    const std::string owner = name.ToString();
    RETURN_IF_ERROR(
        Execute("UPDATE blobs SET use_time = ? WHERE tenant = ? AND digest IN "
                "(SELECT digest FROM blob_owners WHERE tenant = ? AND owner = ?)",
                {absl::ToUnixMicros(now), name.tenant, name.tenant, owner}));
    RETURN_IF_ERROR(
        Execute("DELETE FROM blob_owners WHERE tenant = ? AND owner = ?", {name.tenant, owner}));
    return true;
  }

  absl::StatusOr<std::vector<v1::Dataset>> ListDatasets(std::string_view tenant,
                                                        const DatasetQuery& query,
                                                        int limit) override {
    std::string sql = "SELECT body FROM datasets WHERE tenant = ?";
    sql::Params params = {tenant};
    if (!query.after.empty()) {
      sql += query.descending ? " AND dataset < ?" : " AND dataset > ?";
      params.emplace_back(query.after);
    }
    if (!query.purpose.empty()) sql += " AND purpose <> ''";
    if (!query.purpose.empty() && query.purpose != "*") {
      sql += " AND purpose = ?";
      params.emplace_back(query.purpose);
    }
    sql += query.descending ? " ORDER BY dataset DESC LIMIT ?" : " ORDER BY dataset LIMIT ?";
    params.emplace_back(limit);
    std::vector<v1::Dataset> datasets;
    RETURN_IF_ERROR(tx_.ForEach(sql, params, [&](const Row& row) -> absl::Status {
      ASSIGN_OR_RETURN(auto dataset, Parse<v1::Dataset>(row.GetBlob(0), "a dataset"));
      datasets.push_back(std::move(dataset));
      return absl::OkStatus();
    }));
    return datasets;
  }

  absl::StatusOr<std::optional<int64_t>> FindBlobSize(std::string_view tenant,
                                                      const Digest& digest) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT size_bytes FROM blobs WHERE tenant = ? AND digest = ?",
                                  {tenant, digest.hex()}));
    if (!row.has_value()) return std::nullopt;
    return row->GetInt(0);
  }

  absl::Status PutBlob(const StoredBlob& blob, absl::Time now) override {
    return Execute(
        "INSERT INTO blobs (tenant, digest, size_bytes, use_time) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (tenant, digest) DO UPDATE SET use_time = excluded.use_time",
        {blob.tenant, blob.digest.hex(), blob.size_bytes, absl::ToUnixMicros(now)});
  }

  absl::StatusOr<bool> IsFileOf(std::string_view tenant, const Digest& digest,
                                std::string_view owner) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT 1 FROM blob_owners WHERE tenant = ? AND digest = ? "
                                  "AND (owner = ? OR family = ?) LIMIT 1",
                                  {tenant, digest.hex(), owner, owner}));
    return row.has_value();
  }

  absl::StatusOr<std::vector<StoredBlob>> ListUnusedBlobs(absl::Time before, int limit) override {
    std::vector<StoredBlob> blobs;
    RETURN_IF_ERROR(tx_.ForEach(
        "SELECT tenant, digest, size_bytes FROM blobs WHERE use_time < ? AND NOT EXISTS "
        "(SELECT 1 FROM blob_owners o WHERE o.tenant = blobs.tenant AND o.digest = blobs.digest) "
        "ORDER BY use_time LIMIT ?",
        {absl::ToUnixMicros(before), limit}, [&](const Row& row) {
          blobs.push_back({row.GetString(0), Digest::FromHex(row.GetString(1)), row.GetInt(2)});
          return absl::OkStatus();
        }));
    return blobs;
  }

  absl::StatusOr<bool> DeleteUnusedBlob(std::string_view tenant, const Digest& digest,
                                        absl::Time before) override {
    ASSIGN_OR_RETURN(
        const int64_t deleted,
        tx_.Execute("DELETE FROM blobs WHERE tenant = ? AND digest = ? AND use_time < ? "
                    "AND NOT EXISTS (SELECT 1 FROM blob_owners o "
                    "WHERE o.tenant = blobs.tenant AND o.digest = blobs.digest)",
                    {tenant, digest.hex(), absl::ToUnixMicros(before)}));
    return deleted > 0;
  }

  absl::StatusOr<std::optional<StoredRequest>> FindRequest(std::string_view tenant,
                                                           std::string_view request_id) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT method, hash, answer, create_time FROM requests "
                                  "WHERE tenant = ? AND request_id = ?",
                                  {tenant, request_id}));
    if (!row.has_value()) return std::nullopt;
    return StoredRequest{std::string(tenant), std::string(request_id),
                         row->GetString(0),   row->GetString(1),
                         row->GetBlob(2),     absl::FromUnixMicros(row->GetInt(3))};
  }

  absl::Status InsertRequest(const StoredRequest& request) override {
    return Execute(
        "INSERT INTO requests (tenant, request_id, method, hash, answer, create_time) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        {request.tenant, request.request_id, request.method, request.hash, Blob{request.answer},
         absl::ToUnixMicros(request.create_time)});
  }

  absl::Status DeleteRequestsBefore(absl::Time before) override {
    return Execute("DELETE FROM requests WHERE create_time < ?", {absl::ToUnixMicros(before)});
  }

  absl::Status CloseTenant(std::string_view tenant) override {
    return Execute("INSERT INTO closed_tenants (tenant) VALUES (?) ON CONFLICT (tenant) DO NOTHING",
                   {tenant});
  }

  absl::StatusOr<bool> IsClosed(std::string_view tenant) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT 1 FROM closed_tenants WHERE tenant = ?", {tenant}));
    return row.has_value();
  }

  absl::StatusOr<std::vector<std::string>> ListClosedTenants() override {
    return Texts("SELECT tenant FROM closed_tenants", {},
                 [](const Row& row) { return row.GetString(0); });
  }

  absl::StatusOr<TenantNames> ListNames(std::string_view of) override {
    const std::string tenant(of);
    TenantNames names;
    ASSIGN_OR_RETURN(names.models, Texts("SELECT model FROM models WHERE tenant = ?", {tenant},
                                         [&](const Row& row) {
                                           return ModelName{tenant, row.GetString(0)}.ToString();
                                         }));
    ASSIGN_OR_RETURN(
        names.versions,
        Texts("SELECT model, number FROM versions WHERE tenant = ?", {tenant}, [&](const Row& row) {
          return VersionName{{tenant, row.GetString(0)}, row.GetInt(1)}.ToString();
        }));
    ASSIGN_OR_RETURN(
        names.aliases,
        Texts("SELECT model, alias FROM aliases WHERE tenant = ?", {tenant}, [&](const Row& row) {
          return AliasName{{tenant, row.GetString(0)}, row.GetString(1)}.ToString();
        }));
    ASSIGN_OR_RETURN(
        names.datasets,
        Texts("SELECT dataset FROM datasets WHERE tenant = ?", {tenant}, [&](const Row& row) {
          return DatasetName{tenant, row.GetString(0)}.ToString();
        }));
    ASSIGN_OR_RETURN(
        names.blobs,
        Texts("SELECT digest FROM blobs WHERE tenant = ?", {tenant}, [&](const Row& row) {
          return BlobName{tenant, Digest::FromHex(row.GetString(0))}.ToString();
        }));
    return names;
  }

  absl::Status RemoveTenant(std::string_view tenant) override {
    // What refers to others goes before them.
    for (const char* table :
         {"aliases", "blob_owners", "versions", "models", "datasets", "blobs", "requests"}) {
      RETURN_IF_ERROR(Execute(fmt::format("DELETE FROM {} WHERE tenant = ?", table), {tenant}));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::map<std::string, int64_t>> StoredBytes() override {
    std::map<std::string, int64_t> bytes;
    RETURN_IF_ERROR(
        tx_.ForEach("SELECT tenant, CAST(SUM(size_bytes) AS BIGINT) FROM blobs GROUP BY tenant", {},
                    [&](const Row& row) {
                      bytes[row.GetString(0)] = row.GetInt(1);
                      return absl::OkStatus();
                    }));
    return bytes;
  }

  absl::StatusOr<int64_t> Counter(std::string_view name) override {
    ASSIGN_OR_RETURN(const auto row,
                     tx_.QueryOne("SELECT value FROM counters WHERE name = ?", {name}));
    return row.has_value() ? row->GetInt(0) : 0;
  }

  absl::Status SetCounter(std::string_view name, int64_t value) override {
    return Execute(
        "INSERT INTO counters (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        {name, value});
  }

  absl::Status InsertUsage(const v1::UsageEvent& event) override {
    return Execute("INSERT INTO usage (cursor_number, usage) VALUES (?, ?)",
                   {event.cursor(), Blob{Serialize(event)}});
  }

  absl::StatusOr<std::vector<v1::UsageEvent>> ListUsage(int64_t after_cursor, int limit) override {
    std::vector<v1::UsageEvent> events;
    RETURN_IF_ERROR(tx_.ForEach(
        "SELECT usage FROM usage WHERE cursor_number > ? ORDER BY cursor_number LIMIT ?",
        {after_cursor, limit}, [&](const Row& row) -> absl::Status {
          ASSIGN_OR_RETURN(auto event, Parse<v1::UsageEvent>(row.GetBlob(0), "a usage event"));
          events.push_back(std::move(event));
          return absl::OkStatus();
        }));
    return events;
  }

 private:
  absl::Status Execute(std::string_view sql, const sql::Params& params) {
    return tx_.Execute(sql, params).status();
  }

  absl::StatusOr<std::vector<std::string>> Texts(std::string_view sql, const sql::Params& params,
                                                 absl::FunctionRef<std::string(const Row&)> text) {
    std::vector<std::string> texts;
    RETURN_IF_ERROR(tx_.ForEach(sql, params, [&](const Row& row) {
      texts.push_back(text(row));
      return absl::OkStatus();
    }));
    return texts;
  }

  absl::Status InsertOwner(const std::string& tenant, const std::string& owner,
                           const std::string& family, const Files& files) {
    std::set<std::string> digests;
    for (const v1::File& file : files) {
      ASSIGN_OR_RETURN(const Digest digest, Digest::Parse("digest", file.digest()));
      if (!digests.insert(digest.hex()).second) continue;  // two paths, one blob
      RETURN_IF_ERROR(
          Execute("INSERT INTO blob_owners (tenant, digest, owner, family) VALUES (?, ?, ?, ?)",
                  {tenant, digest.hex(), owner, family}));
    }
    return absl::OkStatus();
  }

  sql::Transaction& tx_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlRegistryStore>> SqlRegistryStore::Create(
    sql::Database& database) {
  RETURN_IF_ERROR(database.Migrate(Migrations()));
  return std::unique_ptr<SqlRegistryStore>(new SqlRegistryStore(database));
}

absl::Status SqlRegistryStore::Write(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) {
  return database_.Write([&](sql::Transaction& tx) {
    SqlTransaction rows(tx);
    return body(rows);
  });
}

absl::Status SqlRegistryStore::Read(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) {
  return database_.Read([&](sql::Transaction& tx) {
    SqlTransaction rows(tx);
    return body(rows);
  });
}

}  // namespace slipway::registry
