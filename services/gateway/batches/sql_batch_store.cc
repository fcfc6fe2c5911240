#include "services/gateway/batches/sql_batch_store.h"

#include <algorithm>
#include <utility>

#include "common/proto_time/proto_time.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

constexpr int64_t kResultPage = 1000;

int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }

sql::Blob Bytes(const v1::Batch& batch) { return sql::Blob{batch.SerializeAsString()}; }

absl::StatusOr<v1::Batch> ReadBatch(const sql::Row& row, size_t column) {
  v1::Batch batch;
  if (!batch.ParseFromString(row.GetBlob(column))) {
    return absl::DataLossError("a batch in the database cannot be read");
  }
  return batch;
}

absl::StatusOr<v1::Batch> Find(sql::Transaction& tx, const BatchName& name) {
  ASSIGN_OR_RETURN(
      const auto row,
      tx.QueryOne("SELECT body FROM batches WHERE tenant = ? AND id = ?", {name.tenant, name.id}));
  if (!row) return NotFound(name.ToString());
  return ReadBatch(*row, 0);
}

// The batch, where the lease still holds.
absl::StatusOr<v1::Batch> FindLeased(sql::Transaction& tx, const BatchLease& lease) {
  ASSIGN_OR_RETURN(const auto row,
                   tx.QueryOne("SELECT body FROM batches WHERE tenant = ? AND id = ? AND fence = ?",
                               {lease.name.tenant, lease.name.id, lease.fence}));
  if (!row) {
    return absl::AbortedError(fmt::format("another runner has {}", lease.name.ToString()));
  }
  return ReadBatch(*row, 0);
}

}  // namespace

absl::Status SqlBatchStore::Create(const BatchName& name, const v1::Batch& batch, int64_t max_open,
                                   absl::Time now) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(
        const auto open,
        tx.QueryOne("SELECT COUNT(*) FROM batches WHERE tenant = ? AND ended = 0", {name.tenant}));
    if (open->GetInt(0) >= max_open) {
      return absl::FailedPreconditionError(fmt::format(
          "{} batches of this tenant have not ended yet; wait for one, or cancel one", max_open));
    }
    return tx
        .Execute(
            "INSERT INTO batches (tenant, id, body, ended, outcome, next_line, next_offset, "
            "stalls, held, due, fence) VALUES (?, ?, ?, 0, 0, 1, 0, 0, 0, ?, 0)",
            {name.tenant, name.id, Bytes(batch), Micros(now)})
        .status();
  });
}

absl::StatusOr<v1::Batch> SqlBatchStore::Get(const BatchName& name) {
  v1::Batch batch;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(batch, Find(tx, name));
    return absl::OkStatus();
  }));
  return batch;
}

absl::StatusOr<std::vector<v1::Batch>> SqlBatchStore::List(const std::string& tenant,
                                                           const std::string& after, int limit) {
  std::vector<v1::Batch> batches;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    batches.clear();
    // Every id is below "~".
    return tx.ForEach(
        "SELECT body FROM batches WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?",
        {tenant, after.empty() ? "~" : after, limit}, [&](const sql::Row& row) -> absl::Status {
          ASSIGN_OR_RETURN(v1::Batch batch, ReadBatch(row, 0));
          batches.push_back(std::move(batch));
          return absl::OkStatus();
        });
  }));
  return batches;
}

absl::StatusOr<v1::Batch> SqlBatchStore::Cancel(const BatchName& name, absl::Time now) {
  v1::Batch batch;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(batch, Find(tx, name));
    if (batch.has_end_time() || batch.has_cancel_time()) return absl::OkStatus();
    batch.set_state(v1::Batch::CANCELLING);
    *batch.mutable_cancel_time() = ToTimestamp(now);
    // Where it waits for its turn there is nothing to wait for any more.
    return tx
        .Execute(
            "UPDATE batches SET body = ?, due = CASE WHEN held = 0 THEN ? ELSE due END "
            "WHERE tenant = ? AND id = ?",
            {Bytes(batch), Micros(now), name.tenant, name.id})
        .status();
  }));
  return batch;
}

absl::StatusOr<std::optional<BatchWork>> SqlBatchStore::Take(absl::Time now, absl::Time until) {
  std::optional<BatchWork> work;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    work.reset();
    ASSIGN_OR_RETURN(
        const auto row,
        tx.QueryOne("SELECT tenant, id, fence, body, outcome, next_line, next_offset, stalls "
                    "FROM batches b WHERE ended = 0 AND due <= ? AND NOT EXISTS "
                    "(SELECT 1 FROM batches o WHERE o.tenant = b.tenant AND o.ended = 0 "
                    "AND o.held = 1 AND o.due > ?) ORDER BY due, id LIMIT 1",
                    {Micros(now), Micros(now)}));
    if (!row) return absl::OkStatus();
    BatchWork& taken = work.emplace();
    taken.lease = {.name = {row->GetString(0), row->GetString(1)}, .fence = row->GetInt(2) + 1};
    ASSIGN_OR_RETURN(taken.batch, ReadBatch(*row, 3));
    taken.outcome = static_cast<v1::Batch::State>(row->GetInt(4));
    taken.mark = {.line = row->GetInt(5), .offset_bytes = row->GetInt(6)};
    taken.stalls = row->GetInt(7);
    return tx
        .Execute("UPDATE batches SET fence = ?, held = 1, due = ? WHERE tenant = ? AND id = ?",
                 {taken.lease.fence, Micros(until), taken.lease.name.tenant, taken.lease.name.id})
        .status();
  }));
  return work;
}

absl::StatusOr<v1::Batch> SqlBatchStore::Store(const BatchLease& lease,
                                               const std::vector<LineResult>& results,
                                               const BatchMark& mark, absl::Time until) {
  v1::Batch batch;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(batch, FindLeased(tx, lease));
    for (const LineResult& result : results) {
      const bool done = !result.json.empty();
      // A line that is done stays as it was done first.
      ASSIGN_OR_RETURN(
          const int64_t kept,
          tx.Execute("INSERT INTO batch_lines (batch, line, done, failed, attempts, result) "
                     "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (batch, line) DO UPDATE SET "
                     "done = excluded.done, failed = excluded.failed, "
                     "attempts = excluded.attempts, result = excluded.result "
                     "WHERE batch_lines.done = 0",
                     {lease.name.id, result.line, done, result.failed, result.attempts,
                      sql::Blob{result.json}}));
      if (kept == 0 || !done) continue;
      if (result.failed) {
        batch.set_failed_lines(batch.failed_lines() + 1);
      } else {
        batch.set_completed_lines(batch.completed_lines() + 1);
      }
    }
    return tx
        .Execute(
            "UPDATE batches SET body = ?, next_line = ?, next_offset = ?, due = ? "
            "WHERE tenant = ? AND id = ?",
            {Bytes(batch), mark.line, mark.offset_bytes, Micros(until), lease.name.tenant,
             lease.name.id})
        .status();
  }));
  return batch;
}

absl::StatusOr<v1::Batch> SqlBatchStore::Change(const BatchLease& lease, v1::Batch::State outcome,
                                                absl::FunctionRef<void(v1::Batch&)> change) {
  v1::Batch batch;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(batch, FindLeased(tx, lease));
    change(batch);
    return tx
        .Execute("UPDATE batches SET body = ?, outcome = ? WHERE tenant = ? AND id = ?",
                 {Bytes(batch), static_cast<int64_t>(outcome), lease.name.tenant, lease.name.id})
        .status();
  }));
  return batch;
}

absl::StatusOr<v1::Batch> SqlBatchStore::End(const BatchLease& lease,
                                             absl::FunctionRef<void(v1::Batch&)> change) {
  v1::Batch batch;
  RETURN_IF_ERROR(database_.Write([&](sql::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(batch, FindLeased(tx, lease));
    change(batch);
    RETURN_IF_ERROR(
        tx.Execute("DELETE FROM batch_lines WHERE batch = ?", {lease.name.id}).status());
    return tx
        .Execute("UPDATE batches SET body = ?, ended = 1, held = 0 WHERE tenant = ? AND id = ?",
                 {Bytes(batch), lease.name.tenant, lease.name.id})
        .status();
  }));
  return batch;
}

absl::Status SqlBatchStore::Release(const BatchLease& lease, absl::Time due, int64_t stalls) {
  return database_.Write([&](sql::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(FindLeased(tx, lease).status());
    return tx
        .Execute("UPDATE batches SET held = 0, due = ?, stalls = ? WHERE tenant = ? AND id = ?",
                 {Micros(due), stalls, lease.name.tenant, lease.name.id})
        .status();
  });
}

absl::StatusOr<std::map<int64_t, int>> SqlBatchStore::Begun(const std::string& batch,
                                                            int64_t line) {
  std::map<int64_t, int> begun;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    begun.clear();
    return tx.ForEach("SELECT line, done, attempts FROM batch_lines WHERE batch = ? AND line >= ?",
                      {batch, line}, [&](const sql::Row& row) {
                        begun[row.GetInt(0)] =
                            row.GetBool(1) ? -1 : static_cast<int>(row.GetInt(2));
                        return absl::OkStatus();
                      });
  }));
  return begun;
}

absl::StatusOr<std::vector<LineResult>> SqlBatchStore::Results(const std::string& batch,
                                                               bool failed, int64_t after,
                                                               int64_t max_bytes) {
  std::vector<LineResult> results;
  RETURN_IF_ERROR(database_.Read([&](sql::Transaction& tx) -> absl::Status {
    results.clear();
    int64_t bytes = 0;
    for (int64_t page = 1; bytes < max_bytes;) {
      const size_t before = results.size();
      RETURN_IF_ERROR(tx.ForEach(
          "SELECT line, result FROM batch_lines WHERE batch = ? AND done = 1 "
          "AND failed = ? AND line > ? ORDER BY line LIMIT ?",
          {batch, failed, results.empty() ? after : results.back().line, page},
          [&](const sql::Row& row) {
            bytes += static_cast<int64_t>(row.GetBlob(1).size());
            results.push_back({.line = row.GetInt(0), .failed = failed, .json = row.GetBlob(1)});
            return absl::OkStatus();
          }));
      if (results.size() == before) break;
      // As many as fit, if they are as long as those before.
      const int64_t each = bytes / static_cast<int64_t>(results.size()) + 1;
      page = std::clamp<int64_t>((max_bytes - bytes) / each, 1, kResultPage);
    }
    return absl::OkStatus();
  }));
  return results;
}

}  // namespace slipway::gateway
