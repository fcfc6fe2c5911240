#include "services/gateway/identity/tenant_deletions.h"

#include <optional>
#include <utility>

#include "common/identity/tenant_content.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "services/gateway/identity/records.h"
#include "services/gateway/identity/sql_identity_store.h"

namespace slipway::gateway {
namespace {

using Entry = TenantDeletions::Entry;

sql::Blob Bytes(const v1::TenantDeletion& deletion) { return {deletion.SerializeAsString()}; }

// tenant, revision, body
absl::StatusOr<Entry> Read(const sql::Row& row) {
  Entry entry{.tenant = row.GetString(0), .revision = row.GetInt(1), .deletion = {}};
  if (!entry.deletion.ParseFromString(row.GetBlob(2))) {
    return absl::DataLossError(fmt::format("the deletion of {} cannot be read", entry.tenant));
  }
  return entry;
}

absl::StatusOr<std::optional<Entry>> Find(sql::Transaction& tx, const std::string& tenant) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne("SELECT tenant, revision, body FROM tenant_deletions WHERE tenant = ?",
                  {tenant}));
  if (!row) return std::nullopt;
  ASSIGN_OR_RETURN(Entry entry, Read(*row));
  return entry;
}

absl::Status Write(sql::Transaction& tx, const Entry& entry, bool done) {
  ASSIGN_OR_RETURN(const int64_t changed,
                   tx.Execute("UPDATE tenant_deletions SET revision = revision + 1, done = ?, "
                              "body = ? WHERE tenant = ? AND revision = ?",
                              {done, Bytes(entry.deletion), entry.tenant, entry.revision}));
  if (changed == 1) return absl::OkStatus();
  return absl::AbortedError(
      fmt::format("another gateway goes on with the deletion of {}", entry.tenant));
}

absl::Status SetState(sql::Transaction& tx, const std::string& tenant, TenantState state) {
  RETURN_IF_ERROR(
      tx.Execute("UPDATE tenants SET state = ? WHERE id = ?", {static_cast<int64_t>(state), tenant})
          .status());
  return AddChange(tx, "tenant", tenant);
}

absl::StatusOr<std::vector<std::string>> Ids(sql::Transaction& tx, std::string_view table,
                                             const std::string& tenant) {
  std::vector<std::string> ids;
  RETURN_IF_ERROR(tx.ForEach(fmt::format("SELECT id FROM {} WHERE tenant = ?", table), {tenant},
                             [&](const sql::Row& row) {
                               ids.push_back(row.GetString(0));
                               return absl::OkStatus();
                             }));
  return ids;
}

}  // namespace

absl::StatusOr<v1::TenantDeletion> TenantDeletions::Begin(const std::string& tenant,
                                                          const v1::TenantDeletion& deletion) {
  v1::TenantDeletion out;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    out = deletion;
    ASSIGN_OR_RETURN(const auto begun, Find(tx, tenant));
    if (begun) {
      out = begun->deletion;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const auto known, tx.QueryOne("SELECT 1 FROM tenants WHERE id = ?", {tenant}));
    if (!known) return NotFound(TenantName{tenant}.ToString());
    RETURN_IF_ERROR(tx.Execute("INSERT INTO tenant_deletions (tenant, revision, done, body) "
                               "VALUES (?, 0, 0, ?)",
                               {tenant, Bytes(deletion)})
                        .status());
    return SetState(tx, tenant, TenantState::kDeleting);
  }));
  return out;
}

absl::StatusOr<Entry> TenantDeletions::Get(const std::string& tenant) {
  std::optional<Entry> entry;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(entry, Find(tx, tenant));
    return absl::OkStatus();
  }));
  if (!entry) return NotFound(TenantName{tenant}.ToString() + "/deletion");
  return *std::move(entry);
}

absl::StatusOr<std::vector<Entry>> TenantDeletions::ListRunning() {
  std::vector<Entry> entries;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    entries.clear();
    return tx.ForEach("SELECT tenant, revision, body FROM tenant_deletions WHERE done = 0", {},
                      [&](const sql::Row& row) -> absl::Status {
                        ASSIGN_OR_RETURN(Entry entry, Read(row));
                        entries.push_back(std::move(entry));
                        return absl::OkStatus();
                      });
  }));
  return entries;
}

absl::Status TenantDeletions::Save(const Entry& entry) {
  return database_.Write([&](sql::Transaction& tx) { return Write(tx, entry, /*done=*/false); });
}

absl::Status TenantDeletions::Finish(const Entry& entry) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(Write(tx, entry, /*done=*/true));
    RETURN_IF_ERROR(
        tx.Execute("UPDATE tenants SET display_name = '', request_id = NULL WHERE id = ?",
                   {entry.tenant})
            .status());
    return SetState(tx, entry.tenant, TenantState::kDeleted);
  });
}

absl::StatusOr<identity::v1::PurgeTenantResponse> TenantDeletions::PurgeIdentity(
    const std::string& tenant, bool remove) {
  identity::v1::PurgeTenantResponse content;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    content.Clear();
    // What a batch's runner still writes is refused once its row is gone.
    if (remove) {
      RETURN_IF_ERROR(tx.Execute("DELETE FROM batch_lines WHERE batch IN "
                                 "(SELECT id FROM batches WHERE tenant = ?)",
                                 {tenant})
                          .status());
    }
    for (const char* table : {"batches", "keys", "projects"}) {
      if (remove) {
        RETURN_IF_ERROR(
            tx.Execute(fmt::format("DELETE FROM {} WHERE tenant = ?", table), {tenant}).status());
      }
      ASSIGN_OR_RETURN(std::vector<std::string> ids, Ids(tx, table, tenant));
      AddKind(table, std::move(ids), content);
    }
    return absl::OkStatus();
  }));
  content.set_done(remove);
  return content;
}

}  // namespace slipway::gateway
