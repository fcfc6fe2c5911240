#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_SQL_BATCH_STORE_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_SQL_BATCH_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/names/names.h"
#include "common/sql/database.h"
#include "common/status/status.h"
#include "slipway/gateway/v1/batches.pb.h"

namespace slipway::gateway {

/// What has become of one line of a batch's input.
struct LineResult {
  int64_t line = 0;
  bool failed = false;
  /// The line of the output or error file, without its end. Empty: it is not done, but was begun
  /// `attempts` times.
  std::string json;
  int attempts = 0;
};

/// Where in the input all lines before are done.
struct BatchMark {
  int64_t line = 1;
  int64_t offset_bytes = 0;
};

/// The right to run a batch, for a while. Who takes it after that gets a higher fence, and from
/// then on nothing can be written under this one.
struct BatchLease {
  BatchName name;
  int64_t fence = 0;
};

/// A batch that a runner has taken, as its last runner left it.
struct BatchWork {
  BatchLease lease;
  v1::Batch batch;
  /// The state that it ends in, once all lines are done.
  v1::Batch::State outcome = v1::Batch::STATE_UNSPECIFIED;
  BatchMark mark;
  /// How many runs in a row have done nothing.
  int64_t stalls = 0;
};

/// Batches and the results of their lines in the gateway's database. Any thread, any number of
/// replicas. Errors of each call: kUnavailable, StorageFull. Those that take a lease are kAborted
/// where it has gone to another runner: nothing was written.
class SqlBatchStore {
 public:
  /// `database` has the gateway's Schema() and outlives this.
  explicit SqlBatchStore(sql::Database& database) : database_(database) {}

  /// kFailedPrecondition where the tenant has `max_open` that have not ended.
  absl::Status Create(const BatchName& name, const v1::Batch& batch, int64_t max_open,
                      absl::Time now);
  absl::StatusOr<v1::Batch> Get(const BatchName& name);
  /// Newest first, those behind the id `after` (empty: from the newest).
  absl::StatusOr<std::vector<v1::Batch>> List(const std::string& tenant, const std::string& after,
                                              int limit);
  /// Has it end soon. Nothing changes where it has ended. Its runner hears of it from Store().
  absl::StatusOr<v1::Batch> Cancel(const BatchName& name, absl::Time now);

  /// The batch that has waited longest, of a tenant that has none running. Nothing where there is
  /// none to run.
  absl::StatusOr<std::optional<BatchWork>> Take(absl::Time now, absl::Time until);
  /// Keeps results that are not there yet, counts them, moves the mark and keeps the lease until
  /// then. The batch as it is now.
  absl::StatusOr<v1::Batch> Store(const BatchLease& lease, const std::vector<LineResult>& results,
                                  const BatchMark& mark, absl::Time until);
  /// Changes the batch, and says what it will end in where that is known.
  absl::StatusOr<v1::Batch> Change(const BatchLease& lease, v1::Batch::State outcome,
                                   absl::FunctionRef<void(v1::Batch&)> change);
  /// As Change, for the last time: the results go.
  absl::StatusOr<v1::Batch> End(const BatchLease& lease,
                                absl::FunctionRef<void(v1::Batch&)> change);
  /// Gives the lease back; nobody takes it before `due`.
  absl::Status Release(const BatchLease& lease, absl::Time due, int64_t stalls);

  /// Of lines from `line` on: the attempts of each that was begun, -1 where it is done.
  absl::StatusOr<std::map<int64_t, int>> Begun(const std::string& batch, int64_t line);
  /// Done lines behind `after`, in their order; about `max_bytes` of them, and at least one where
  /// there is one.
  absl::StatusOr<std::vector<LineResult>> Results(const std::string& batch, bool failed,
                                                  int64_t after, int64_t max_bytes);

 private:
  sql::Database& database_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_SQL_BATCH_STORE_H_
