#ifndef SLIPWAY_COMMON_SQL_DATABASE_H_
#define SLIPWAY_COMMON_SQL_DATABASE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/sql/value.h"
#include "common/status/status.h"

namespace slipway::sql {

enum class Dialect { kSqlite, kPostgres };

/// One step of a schema. Numbers go up by one from 1 and are never reused; a step that has been
/// released is never changed. `sql` holds one or more statements divided by ';' and is the same
/// for both databases unless `postgres_sql` is given. Types that both read alike: BIGINT, TEXT,
/// DOUBLE PRECISION, BYTEA (a 64-bit number declared INTEGER would be cut by PostgreSQL).
struct Migration {
  int number = 0;
  std::string name;
  std::string sql;
  std::string postgres_sql = "";
};

/// The statements of one transaction. Made by Database::Write and Read, valid during the callback,
/// used by one thread. Parameters are written `?` and are always bound, never put into the text;
/// a '?' inside a literal, a quoted name or a comment stays what it is.
///
/// Errors of each call: kAlreadyExists when a unique or primary key is taken (where a concurrent
/// transaction has just taken it, PostgreSQL begins again only if this one had looked for the key
/// or changed a row of the other's before), kFailedPrecondition for a broken foreign key or check,
/// kAborted when the database asks to begin again (Write and Read do so by themselves),
/// StorageFull, kUnavailable when the connection is lost, kInternal for the rest (a wrong
/// statement: the text is in the message). A transaction in which a statement has failed is never
/// committed, whatever its body returns.
class Transaction {
 public:
  virtual ~Transaction() = default;

  /// Runs one statement that answers no rows. Returns how many rows it changed.
  virtual absl::StatusOr<int64_t> Execute(std::string_view sql, const Params& params = {}) = 0;

  /// Runs one statement and hands each row to `on_row`; an error from it ends the query and is
  /// returned. `on_row` runs no other statement of this transaction.
  virtual absl::Status ForEach(std::string_view sql, const Params& params,
                               absl::FunctionRef<absl::Status(const Row&)> on_row) = 0;

  /// All rows at once.
  absl::StatusOr<std::vector<Row>> Query(std::string_view sql, const Params& params = {});

  /// The first row, or nothing.
  absl::StatusOr<std::optional<Row>> QueryOne(std::string_view sql, const Params& params = {});

  virtual Dialect dialect() const = 0;
};

struct DatabaseOptions {
  /// Connections that read at the same time (SQLite: beside the one that writes).
  int readers = 4;
  /// PostgreSQL: connections that write at the same time. SQLite has one.
  int writers = 4;
  /// How often a transaction is tried before its conflict is the caller's to see.
  int max_attempts = 8;
  /// How long SQLite waits for another process's lock, and a caller for a free connection.
  absl::Duration busy_timeout = absl::Seconds(5);
};

/// A service's own database: a SQLite file (embedded) or a PostgreSQL database (cluster) behind
/// one face. Any thread may call. What Write acknowledged survives a power cut: SQLite runs in WAL
/// with synchronous=FULL, PostgreSQL with synchronous_commit=on.
class Database {
 public:
  /// `url`: "sqlite:/path/to/file.db" (the folder must exist; the file is made, mode 0600) or
  /// "postgresql://user@host:port/name?..." (libpq's form).
  /// Errors: kInvalidArgument (another form), kUnavailable (no server), StorageFull.
  static absl::StatusOr<std::unique_ptr<Database>> Open(std::string_view url,
                                                        const DatabaseOptions& options = {});
  virtual ~Database() = default;

  /// Brings the schema up to the last of `migrations`, each step and its number in one
  /// transaction, while other processes that migrate wait. A SQLite file that holds an older
  /// schema is first copied to "<file>.bak-<number>". A database that is newer than the last
  /// migration is refused with kFailedPrecondition and left alone.
  virtual absl::Status Migrate(const std::vector<Migration>& migrations) = 0;

  /// Runs `body` in a transaction that reads and writes, and commits when it returns OK; the
  /// commit is durable when this returns OK. SQLite: BEGIN IMMEDIATE, one at a time. PostgreSQL:
  /// SERIALIZABLE. On a conflict `body` runs again, so it must not act on anything but the
  /// transaction and its own (reset) results. An error of `body` rolls back and is returned.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(Transaction&)> body) = 0;

  /// As Write, for a consistent snapshot; a statement that writes is refused. Under SQLite readers
  /// neither wait for the writer nor hold it up.
  virtual absl::Status Read(absl::FunctionRef<absl::Status(Transaction&)> body) = 0;

  virtual Dialect dialect() const = 0;
};

}  // namespace slipway::sql

#endif  // SLIPWAY_COMMON_SQL_DATABASE_H_
