#ifndef SLIPWAY_COMMON_SQL_SESSION_H_
#define SLIPWAY_COMMON_SQL_SESSION_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/sql/database.h"
#include "common/sql/value.h"
#include "common/status/status.h"

// Inside of common/sql: one connection. All that is known of SOCI, SQLite and libpq is in
// session.cc.
namespace slipway::sql {

enum class Access { kReadWrite, kReadOnly };

/// Did the database ask to run the whole transaction again (a conflict, a lock)?
bool AsksToRetry(const absl::Status& status);

/// One connection and the statements prepared on it. One thread at a time.
class Session {
 public:
  /// Errors: StorageFull, kUnavailable, kDataLoss (not a database).
  static absl::StatusOr<std::unique_ptr<Session>> OpenSqlite(const std::string& path, Access access,
                                                             absl::Duration busy_timeout);
  /// `display` names the database in messages: the URL without its password.
  static absl::StatusOr<std::unique_ptr<Session>> OpenPostgres(const std::string& url,
                                                               const std::string& display);
  ~Session();

  /// Runs one statement, hands each row to `on_row`, returns how many rows it changed.
  absl::StatusOr<int64_t> Run(std::string_view sql, const Params& params,
                              absl::FunctionRef<absl::Status(const Row&)> on_row);

  /// Runs one statement and drops its rows.
  absl::StatusOr<int64_t> Run(std::string_view sql, const Params& params = {});

  /// Ends the transaction, where one is still open (after some errors the database has ended it).
  /// A connection that cannot is broken.
  void Rollback();

  /// True once the connection is of no more use and should be closed.
  bool broken() const;

  Dialect dialect() const;

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::sql

#endif  // SLIPWAY_COMMON_SQL_SESSION_H_
