#include "services/gateway/identity/sql_identity_store.h"

#include <algorithm>
#include <utility>

#include "common/names/names.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

constexpr char kTenantColumns[] = "t.id, t.display_name, t.suspended, t.create_time";
constexpr char kKeyColumns[] =
    "k.id, k.tenant, k.display_name, k.role, k.pepper_version, k.mac, k.create_time, "
    "k.expire_time, k.revoke_time";

absl::Time FromMicros(int64_t micros) { return absl::FromUnixMicros(micros); }
int64_t ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }

std::optional<absl::Time> OptionalTime(const sql::Row& row, size_t i) {
  const auto micros = row.GetOptionalInt(i);
  return micros ? std::optional(FromMicros(*micros)) : std::nullopt;
}

sql::Value OptionalMicros(const std::optional<absl::Time>& time) {
  return time ? sql::Value(ToMicros(*time)) : sql::Value(nullptr);
}

TenantRecord ReadTenant(const sql::Row& row) {
  return {.id = row.GetString(0),
          .display_name = row.GetString(1),
          .suspended = row.GetBool(2),
          .create_time = FromMicros(row.GetInt(3))};
}

KeyRecord ReadKey(const sql::Row& row) {
  KeyRecord key{.id = row.GetString(0),
                .tenant = row.GetString(1),
                .display_name = row.GetString(2),
                .role = static_cast<Role>(row.GetInt(3)),
                .pepper_version = row.GetInt(4),
                .mac = {},
                .create_time = FromMicros(row.GetInt(6)),
                .expire_time = OptionalTime(row, 7),
                .revoke_time = OptionalTime(row, 8)};
  // A code of another length stays zero, and no key has it.
  const std::string& mac = row.GetBlob(5);
  if (mac.size() == key.mac.size()) std::copy(mac.begin(), mac.end(), key.mac.begin());
  return key;
}

std::string NameOf(const std::string& tenant, const std::string& id) {
  return tenant.empty() ? fmt::format("keys/{}", id) : KeyName{tenant, id}.ToString();
}

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

absl::Status InsertKey(sql::Transaction& tx, const KeyRecord& key) {
  RETURN_IF_ERROR(
      tx.Execute(
            "INSERT INTO keys (id, tenant, display_name, role, pepper_version, mac, "
            "create_time, expire_time, revoke_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            {key.id, key.tenant, key.display_name, static_cast<int64_t>(key.role),
             key.pepper_version, sql::Blob{std::string(AsView(key.mac))}, ToMicros(key.create_time),
             OptionalMicros(key.expire_time), OptionalMicros(key.revoke_time)})
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

}  // namespace

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
                     tx.QueryOne("SELECT 1 FROM tenants WHERE id = ?", {tenant.id}));
    if (taken) {
      return absl::AlreadyExistsError(fmt::format("tenants/{} exists already", tenant.id));
    }
    RETURN_IF_ERROR(
        tx.Execute(
              "INSERT INTO tenants (id, display_name, suspended, create_time, request_id, "
              "request_hash) VALUES (?, ?, ?, ?, ?, ?)",
              {tenant.id, tenant.display_name, tenant.suspended, ToMicros(tenant.create_time),
               request_id.empty() ? sql::Value(nullptr) : sql::Value(request_id), request_hash})
            .status());
    return AddChange(tx, "tenant", tenant.id);
  }));
  return made;
}

absl::StatusOr<TenantRecord> SqlIdentityStore::GetTenant(const std::string& id) {
  std::optional<sql::Row> row;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        row,
        tx.QueryOne(fmt::format("SELECT {} FROM tenants t WHERE t.id = ?", kTenantColumns), {id}));
    return absl::OkStatus();
  }));
  if (!row) return NotFound(TenantName{id}.ToString());
  return ReadTenant(*row);
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

absl::Status SqlIdentityStore::CreateKey(const KeyRecord& key) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto tenant,
                     tx.QueryOne("SELECT 1 FROM tenants WHERE id = ?", {key.tenant}));
    if (!tenant) return NotFound(TenantName{key.tenant}.ToString());
    ASSIGN_OR_RETURN(
        const auto count,
        tx.QueryOne("SELECT COUNT(*) FROM keys WHERE tenant = ? AND revoke_time IS NULL",
                    {key.tenant}));
    if (count->GetInt(0) >= kMaxKeys) {
      return absl::FailedPreconditionError(
          fmt::format("tenants/{} has {} keys already: revoke some", key.tenant, kMaxKeys));
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

absl::Status SqlIdentityStore::CreateOperatorKey(const KeyRecord& key) {
  return database_.Write([&](sql::Transaction& tx) { return InsertKey(tx, key); });
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

absl::StatusOr<KeyRecord> SqlIdentityStore::RevokeKey(const std::string& tenant,
                                                      const std::string& id, absl::Time now) {
  KeyRecord key;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(key, FindKey(tx, tenant, id));
    if (key.revoke_time) return absl::OkStatus();
    key.revoke_time = now;
    RETURN_IF_ERROR(
        tx.Execute("UPDATE keys SET revoke_time = ? WHERE id = ?", {ToMicros(now), id}).status());
    return AddChange(tx, "key", id);
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
