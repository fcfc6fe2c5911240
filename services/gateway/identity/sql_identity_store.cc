#include "services/gateway/identity/sql_identity_store.h"

#include <algorithm>
#include <utility>

#include "common/names/names.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway::gateway {
namespace {

constexpr char kTenantColumns[] = "t.id, t.display_name, t.state, t.create_time";
constexpr char kProjectColumns[] = "p.tenant, p.id, p.display_name, p.create_time, p.archive_time";
constexpr char kKeyColumns[] =
    "k.id, k.tenant, k.display_name, k.role, k.project, k.allowed_models, k.allowed_networks, "
    "k.pepper_version, k.mac, k.create_time, k.expire_time, k.revoke_time, k.rotate_time, "
    "k.old_pepper_version, k.old_mac, k.overlap_end";

absl::Time FromMicros(int64_t micros) { return absl::FromUnixMicros(micros); }
int64_t ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }

std::optional<absl::Time> OptionalTime(const sql::Row& row, size_t i) {
  const auto micros = row.GetOptionalInt(i);
  return micros ? std::optional(FromMicros(*micros)) : std::nullopt;
}

sql::Value OptionalMicros(const std::optional<absl::Time>& time) {
  return time ? sql::Value(ToMicros(*time)) : sql::Value(nullptr);
}

std::vector<std::string> SplitList(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    items.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

std::string JoinList(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ","));
}

// A code of another length stays zero, and no key has it.
SecretCode ReadCode(int64_t pepper_version, const std::string& mac) {
  SecretCode code{.pepper_version = pepper_version};
  if (mac.size() == code.mac.size()) std::copy(mac.begin(), mac.end(), code.mac.begin());
  return code;
}

sql::Blob MacOf(const SecretCode& code) { return {std::string(AsView(code.mac))}; }

TenantRecord ReadTenant(const sql::Row& row) {
  return {.id = row.GetString(0),
          .display_name = row.GetString(1),
          .state = static_cast<TenantState>(row.GetInt(2)),
          .create_time = FromMicros(row.GetInt(3))};
}

ProjectRecord ReadProject(const sql::Row& row) {
  return {.tenant = row.GetString(0),
          .id = row.GetString(1),
          .display_name = row.GetString(2),
          .create_time = FromMicros(row.GetInt(3)),
          .archive_time = OptionalTime(row, 4)};
}

KeyRecord ReadKey(const sql::Row& row) {
  KeyRecord key{.id = row.GetString(0),
                .tenant = row.GetString(1),
                .display_name = row.GetString(2),
                .role = static_cast<Role>(row.GetInt(3)),
                .project = row.GetString(4),
                .allowed_models = SplitList(row.GetString(5)),
                .allowed_networks = SplitList(row.GetString(6)),
                .code = ReadCode(row.GetInt(7), row.GetBlob(8)),
                .create_time = FromMicros(row.GetInt(9)),
                .expire_time = OptionalTime(row, 10),
                .revoke_time = OptionalTime(row, 11),
                .rotate_time = OptionalTime(row, 12),
                .old_code = std::nullopt,
                .overlap_end = OptionalTime(row, 15)};
  if (!row.IsNull(14)) key.old_code = ReadCode(row.GetInt(13), row.GetBlob(14));
  return key;
}

std::string NameOf(const std::string& tenant, const std::string& id) {
  return tenant.empty() ? fmt::format("keys/{}", id) : KeyName{tenant, id}.ToString();
}

absl::StatusOr<TenantRecord> FindTenant(sql::Transaction& tx, const std::string& id) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne(fmt::format("SELECT {} FROM tenants t WHERE t.id = ?", kTenantColumns), {id}));
  if (!row) return NotFound(TenantName{id}.ToString());
  return ReadTenant(*row);
}

// One that something may be made in.
absl::StatusOr<TenantRecord> FindLivingTenant(sql::Transaction& tx, const std::string& id) {
  ASSIGN_OR_RETURN(TenantRecord tenant, FindTenant(tx, id));
  if (tenant.state >= TenantState::kDeleting) return NotFound(TenantName{id}.ToString());
  return tenant;
}

absl::StatusOr<ProjectRecord> FindProject(sql::Transaction& tx, const std::string& tenant,
                                          const std::string& id) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne(
          fmt::format("SELECT {} FROM projects p WHERE p.tenant = ? AND p.id = ?", kProjectColumns),
          {tenant, id}));
  if (!row) return NotFound(ProjectName{tenant, id}.ToString());
  return ReadProject(*row);
}

absl::Status InsertProject(sql::Transaction& tx, const ProjectRecord& project) {
  return tx
      .Execute(
          "INSERT INTO projects (tenant, id, display_name, create_time, archive_time) "
          "VALUES (?, ?, ?, ?, ?)",
          {project.tenant, project.id, project.display_name, ToMicros(project.create_time),
           OptionalMicros(project.archive_time)})
      .status();
}

absl::Status InsertKey(sql::Transaction& tx, const KeyRecord& key) {
  RETURN_IF_ERROR(
      tx.Execute(
            "INSERT INTO keys (id, tenant, display_name, role, project, "
            "allowed_models, allowed_networks, pepper_version, mac, create_time, "
            "expire_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {key.id, key.tenant, key.display_name, static_cast<int64_t>(key.role), key.project,
             JoinList(key.allowed_models), JoinList(key.allowed_networks), key.code.pepper_version,
             MacOf(key.code), ToMicros(key.create_time), OptionalMicros(key.expire_time)})
          .status());
  return AddChange(tx, "key", key.id);
}

absl::StatusOr<KeyRecord> FindKey(sql::Transaction& tx, const std::string& tenant,
                                  const std::string& id) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne(fmt::format("SELECT {} FROM keys k WHERE k.tenant = ? AND k.id = ?", kKeyColumns),
                  {tenant, id}));
  if (!row) return NotFound(NameOf(tenant, id));
  return ReadKey(*row);
}

absl::Status EndKey(sql::Transaction& tx, const std::string& id, absl::Time now) {
  RETURN_IF_ERROR(
      tx.Execute("UPDATE keys SET revoke_time = ? WHERE id = ?", {ToMicros(now), id}).status());
  return AddChange(tx, "key", id);
}

// Whoever revoked it would lock all operators out.
absl::Status CheckNotLastOperatorKey(sql::Transaction& tx, const std::string& id, absl::Time now) {
  ASSIGN_OR_RETURN(const auto other,
                   tx.QueryOne("SELECT 1 FROM keys WHERE tenant = '' AND id <> ? AND revoke_time "
                               "IS NULL AND (expire_time IS NULL OR expire_time > ?) LIMIT 1",
                               {id, ToMicros(now)}));
  if (other) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("keys/{} is the last admin key that works: make another first", id));
}

}  // namespace

absl::Status AddChange(sql::Transaction& tx, std::string_view kind, const std::string& id) {
  RETURN_IF_ERROR(
      tx.Execute("UPDATE identity_head SET sequence = sequence + 1 WHERE one = 1").status());
  return tx
      .Execute(
          "INSERT INTO identity_changes (sequence, kind, id) "
          "SELECT sequence, ?, ? FROM identity_head WHERE one = 1",
          {kind, id})
      .status();
}

absl::StatusOr<TenantRecord> SqlIdentityStore::CreateTenant(const TenantRecord& tenant,
                                                            const std::string& request_id,
                                                            const std::string& request_hash) {
  TenantRecord made = tenant;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    made = tenant;
    if (!request_id.empty()) {
      ASSIGN_OR_RETURN(
          const auto earlier,
          tx.QueryOne(fmt::format("SELECT {}, t.request_hash FROM tenants t WHERE t.request_id = ?",
                                  kTenantColumns),
                      {request_id}));
      if (earlier && earlier->GetString(4) != request_hash) {
        return absl::AlreadyExistsError(
            fmt::format("request_id {} was used for another request", request_id));
      }
      if (earlier) {
        made = ReadTenant(*earlier);
        return absl::OkStatus();
      }
    }
    ASSIGN_OR_RETURN(const auto taken,
                     tx.QueryOne("SELECT state FROM tenants WHERE id = ?", {tenant.id}));
    if (taken) {
      const bool gone = static_cast<TenantState>(taken->GetInt(0)) >= TenantState::kDeleting;
      return absl::AlreadyExistsError(
          fmt::format("tenants/{} {}", tenant.id,
                      gone ? "was deleted: its name is not given again" : "exists already"));
    }
    RETURN_IF_ERROR(
        tx.Execute(
              "INSERT INTO tenants (id, display_name, state, create_time, request_id, "
              "request_hash) VALUES (?, ?, ?, ?, ?, ?)",
              {tenant.id, tenant.display_name, static_cast<int64_t>(tenant.state),
               ToMicros(tenant.create_time),
               request_id.empty() ? sql::Value(nullptr) : sql::Value(request_id), request_hash})
            .status());
    RETURN_IF_ERROR(InsertProject(tx, {.tenant = tenant.id,
                                       .id = kDefaultProject,
                                       .display_name = "",
                                       .create_time = tenant.create_time,
                                       .archive_time = std::nullopt}));
    return AddChange(tx, "tenant", tenant.id);
  }));
  return made;
}

absl::StatusOr<TenantRecord> SqlIdentityStore::GetTenant(const std::string& id) {
  TenantRecord tenant;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(tenant, FindTenant(tx, id));
    return absl::OkStatus();
  }));
  return tenant;
}

absl::StatusOr<std::vector<TenantRecord>> SqlIdentityStore::ListTenants(const std::string& after,
                                                                        int limit) {
  std::vector<TenantRecord> tenants;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    tenants.clear();
    return tx.ForEach(fmt::format("SELECT {} FROM tenants t WHERE t.id > ? ORDER BY t.id LIMIT ?",
                                  kTenantColumns),
                      {after, limit}, [&](const sql::Row& row) {
                        tenants.push_back(ReadTenant(row));
                        return absl::OkStatus();
                      });
  }));
  return tenants;
}

absl::StatusOr<TenantRecord> SqlIdentityStore::RenameTenant(const std::string& id,
                                                            const std::string& display_name) {
  TenantRecord tenant;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(tenant, FindLivingTenant(tx, id));
    tenant.display_name = display_name;
    return tx.Execute("UPDATE tenants SET display_name = ? WHERE id = ?", {display_name, id})
        .status();
  }));
  return tenant;
}

absl::StatusOr<TenantRecord> SqlIdentityStore::SetTenantState(const std::string& id,
                                                              TenantState state) {
  TenantRecord tenant;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(tenant, FindLivingTenant(tx, id));
    if (tenant.state == state) return absl::OkStatus();
    tenant.state = state;
    RETURN_IF_ERROR(
        tx.Execute("UPDATE tenants SET state = ? WHERE id = ?", {static_cast<int64_t>(state), id})
            .status());
    return AddChange(tx, "tenant", id);
  }));
  return tenant;
}

absl::Status SqlIdentityStore::CreateProject(const ProjectRecord& project) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(FindLivingTenant(tx, project.tenant).status());
    const absl::Status found = FindProject(tx, project.tenant, project.id).status();
    if (found.ok()) {
      return absl::AlreadyExistsError(
          fmt::format("{} exists already", ProjectName{project.tenant, project.id}.ToString()));
    }
    if (!absl::IsNotFound(found)) return found;
    ASSIGN_OR_RETURN(const auto count, tx.QueryOne("SELECT COUNT(*) FROM projects WHERE tenant = ?",
                                                   {project.tenant}));
    if (count->GetInt(0) >= kMaxProjects) {
      return absl::FailedPreconditionError(
          fmt::format("tenants/{} has {} projects already", project.tenant, kMaxProjects));
    }
    return InsertProject(tx, project);
  });
}

absl::StatusOr<ProjectRecord> SqlIdentityStore::GetProject(const std::string& tenant,
                                                           const std::string& id) {
  ProjectRecord project;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(project, FindProject(tx, tenant, id));
    return absl::OkStatus();
  }));
  return project;
}

absl::StatusOr<std::vector<ProjectRecord>> SqlIdentityStore::ListProjects(const std::string& tenant,
                                                                          const std::string& after,
                                                                          int limit) {
  std::vector<ProjectRecord> projects;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    projects.clear();
    return tx.ForEach(fmt::format("SELECT {} FROM projects p WHERE p.tenant = ? AND p.id > ? "
                                  "ORDER BY p.id LIMIT ?",
                                  kProjectColumns),
                      {tenant, after, limit}, [&](const sql::Row& row) {
                        projects.push_back(ReadProject(row));
                        return absl::OkStatus();
                      });
  }));
  return projects;
}

absl::StatusOr<ProjectRecord> SqlIdentityStore::ArchiveProject(const std::string& tenant,
                                                               const std::string& id,
                                                               absl::Time now) {
  ProjectRecord project;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(project, FindProject(tx, tenant, id));
    if (project.archive_time) return absl::OkStatus();
    project.archive_time = now;
    RETURN_IF_ERROR(tx.Execute("UPDATE projects SET archive_time = ? WHERE tenant = ? AND id = ?",
                               {ToMicros(now), tenant, id})
                        .status());
    ASSIGN_OR_RETURN(
        const auto keys,
        tx.Query("SELECT id FROM keys WHERE tenant = ? AND project = ? AND revoke_time IS NULL",
                 {tenant, id}));
    for (const sql::Row& key : keys) RETURN_IF_ERROR(EndKey(tx, key.GetString(0), now));
    return absl::OkStatus();
  }));
  return project;
}

absl::Status SqlIdentityStore::CreateKey(const KeyRecord& key) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    if (!key.tenant.empty()) {
      RETURN_IF_ERROR(FindLivingTenant(tx, key.tenant).status());
      const auto project = FindProject(tx, key.tenant, key.project);
      if (absl::IsNotFound(project.status())) return InvalidField("project", "was not found");
      RETURN_IF_ERROR(project.status());
      if (project->archive_time) return InvalidField("project", "is archived");
      ASSIGN_OR_RETURN(
          const auto count,
          tx.QueryOne("SELECT COUNT(*) FROM keys WHERE tenant = ? AND revoke_time IS NULL",
                      {key.tenant}));
      if (count->GetInt(0) >= kMaxKeys) {
        return absl::FailedPreconditionError(
            fmt::format("tenants/{} has {} keys already: revoke some", key.tenant, kMaxKeys));
      }
    }
    return InsertKey(tx, key);
  });
}

absl::StatusOr<bool> SqlIdentityStore::CreateFirstOperatorKey(const KeyRecord& key) {
  bool made = false;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    made = false;
    ASSIGN_OR_RETURN(const auto earlier,
                     tx.QueryOne("SELECT 1 FROM keys WHERE tenant = '' LIMIT 1"));
    if (earlier) return absl::OkStatus();
    made = true;
    return InsertKey(tx, key);
  }));
  return made;
}

absl::StatusOr<KeyRecord> SqlIdentityStore::GetKey(const std::string& tenant,
                                                   const std::string& id) {
  KeyRecord key;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(key, FindKey(tx, tenant, id));
    return absl::OkStatus();
  }));
  return key;
}

absl::StatusOr<std::vector<KeyRecord>> SqlIdentityStore::ListKeys(const std::string& tenant,
                                                                  const std::string& after,
                                                                  int limit) {
  std::vector<KeyRecord> keys;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    keys.clear();
    return tx.ForEach(
        fmt::format("SELECT {} FROM keys k WHERE k.tenant = ? AND k.id > ? ORDER BY k.id LIMIT ?",
                    kKeyColumns),
        {tenant, after, limit}, [&](const sql::Row& row) {
          keys.push_back(ReadKey(row));
          return absl::OkStatus();
        });
  }));
  return keys;
}

absl::StatusOr<KeyRecord> SqlIdentityStore::RotateKey(const std::string& tenant,
                                                      const std::string& id, const SecretCode& code,
                                                      absl::Time overlap_end, absl::Time now) {
  KeyRecord key;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(key, FindKey(tx, tenant, id));
    if (key.revoke_time || (key.expire_time && *key.expire_time <= now)) {
      return absl::FailedPreconditionError(
          fmt::format("{} {}: make another", NameOf(tenant, id),
                      key.revoke_time ? "was revoked" : "has expired"));
    }
    key.old_code = key.code;
    key.code = code;
    key.rotate_time = now;
    key.overlap_end = overlap_end;
    RETURN_IF_ERROR(
        tx.Execute("UPDATE keys SET pepper_version = ?, mac = ?, old_pepper_version = ?, "
                   "old_mac = ?, rotate_time = ?, overlap_end = ? WHERE id = ?",
                   {key.code.pepper_version, MacOf(key.code), key.old_code->pepper_version,
                    MacOf(*key.old_code), ToMicros(now), ToMicros(overlap_end), id})
            .status());
    return AddChange(tx, "key", id);
  }));
  return key;
}

absl::StatusOr<KeyRecord> SqlIdentityStore::RevokeKey(const std::string& tenant,
                                                      const std::string& id, absl::Time now) {
  KeyRecord key;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(key, FindKey(tx, tenant, id));
    if (key.revoke_time) return absl::OkStatus();
    if (tenant.empty()) RETURN_IF_ERROR(CheckNotLastOperatorKey(tx, id, now));
    key.revoke_time = now;
    return EndKey(tx, id, now);
  }));
  return key;
}

absl::StatusOr<SqlIdentityStore::Changes> SqlIdentityStore::ReadChanges(int64_t sequence) {
  Changes changes;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    changes = Changes();
    ASSIGN_OR_RETURN(const auto head,
                     tx.QueryOne("SELECT sequence FROM identity_head WHERE one = 1"));
    changes.sequence = head ? head->GetInt(0) : 0;
    if (changes.sequence == sequence) return absl::OkStatus();
    const auto changed = [&](std::string_view kind) {
      return sequence == 0
                 ? std::string()
                 : fmt::format(
                       " WHERE {}.id IN (SELECT id FROM identity_changes WHERE kind = '{}' "
                       "AND sequence > ?)",
                       kind.substr(0, 1), kind);
    };
    const sql::Params params = sequence == 0 ? sql::Params{} : sql::Params{sequence};
    RETURN_IF_ERROR(
        tx.ForEach(fmt::format("SELECT {} FROM tenants t{}", kTenantColumns, changed("tenant")),
                   params, [&](const sql::Row& row) {
                     changes.tenants.push_back(ReadTenant(row));
                     return absl::OkStatus();
                   }));
    return tx.ForEach(fmt::format("SELECT {} FROM keys k{}", kKeyColumns, changed("key")), params,
                      [&](const sql::Row& row) {
                        changes.keys.push_back(ReadKey(row));
                        return absl::OkStatus();
                      });
  }));
  return changes;
}

absl::StatusOr<bool> SqlIdentityStore::HasKeys() {
  bool has = false;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto row, tx.QueryOne("SELECT 1 FROM keys LIMIT 1"));
    has = row.has_value();
    return absl::OkStatus();
  }));
  return has;
}

}  // namespace slipway::gateway
