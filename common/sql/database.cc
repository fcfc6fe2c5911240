#include "common/sql/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <random>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/log/log.h"
#include "common/sql/session.h"
#include "common/sql/sql_text.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"

namespace slipway::sql {
namespace {

constexpr std::string_view kSqliteScheme = "sqlite:";
constexpr std::string_view kPostgresScheme = "postgresql://";
// Any number will do as long as all of ours take the same: "slipway" on a telephone's keys.
constexpr int64_t kMigrationLock = 7547929;

using Opener = std::function<absl::StatusOr<std::unique_ptr<Session>>()>;

/// A few connections, opened when first needed. Any thread.
class Pool {
 public:
  Pool(std::string display, int size, absl::Duration timeout, Opener opener)
      : display_(std::move(display)), timeout_(timeout), opener_(std::move(opener)), free_(size) {}

  /// A connection that goes back to the pool, or away where it is broken.
  class Lease {
   public:
    Lease(Pool& pool, std::unique_ptr<Session> session)
        : pool_(&pool), session_(std::move(session)) {}
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), session_(std::move(other.session_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (pool_ != nullptr) pool_->Return(std::move(session_));
    }
    Session& operator*() { return *session_; }
    Session* operator->() { return session_.get(); }
    /// Closes the connection rather than keeping it.
    void Drop() { session_.reset(); }

   private:
    Pool* pool_;
    std::unique_ptr<Session> session_;
  };

  absl::StatusOr<Lease> Take() EXCLUDES(mutex_) {
    std::unique_ptr<Session> session;
    {
      MutexLock lock(mutex_);
      const absl::Duration give_up = Clock::Real().Monotonic() + timeout_;
      while (free_ == 0) {
        const absl::Duration left = give_up - Clock::Real().Monotonic();
        if (left <= absl::ZeroDuration()) {
          return absl::UnavailableError(
              fmt::format("{}: every connection is busy; try again", display_));
        }
        freed_.WaitFor(mutex_, absl::ToChronoNanoseconds(left));
      }
      --free_;
      if (!idle_.empty()) {
        session = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (session == nullptr) {
      absl::StatusOr<std::unique_ptr<Session>> opened = opener_();
      if (!opened.ok()) {
        Return(nullptr);
        return std::move(opened).status();
      }
      session = *std::move(opened);
    }
    return Lease(*this, std::move(session));
  }

  /// Closes what is idle.
  void Clear() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    idle_.clear();
  }

 private:
  void Return(std::unique_ptr<Session> session) EXCLUDES(mutex_) {
    if (session != nullptr && session->broken()) session.reset();
    MutexLock lock(mutex_);
    ++free_;
    if (session != nullptr) idle_.push_back(std::move(session));
    freed_.Signal();
  }

  const std::string display_;
  const absl::Duration timeout_;
  const Opener opener_;
  Mutex mutex_;
  CondVar freed_;
  int free_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Session>> idle_ GUARDED_BY(mutex_);
};

class SessionTransaction final : public Transaction {
 public:
  explicit SessionTransaction(Session& session) : session_(session) {}

  absl::StatusOr<int64_t> Execute(std::string_view sql, const Params& params) override {
    return Keep(session_.Run(sql, params));
  }

  absl::Status ForEach(std::string_view sql, const Params& params,
                       absl::FunctionRef<absl::Status(const Row&)> on_row) override {
    absl::Status from_reader;
    const absl::StatusOr<int64_t> done =
        session_.Run(sql, params, [&](const Row& row) { return from_reader = on_row(row); });
    if (!from_reader.ok()) return from_reader;
    return Keep(done).status();
  }

  Dialect dialect() const override { return session_.dialect(); }

  /// The first error that the database answered. After one, PostgreSQL takes no more statements
  /// and turns COMMIT into ROLLBACK without a word; so neither database gets to see a COMMIT.
  const absl::Status& failure() const { return failure_; }

 private:
  absl::StatusOr<int64_t> Keep(absl::StatusOr<int64_t> done) {
    if (failure_.ok()) failure_ = done.status();
    return done;
  }

  Session& session_;
  absl::Status failure_;
};

/// How long to stay away from a conflict: grows with each attempt, and differs, so that two that
/// met do not meet again.
absl::Duration WaitBeforeRetry(int attempt) {
  thread_local std::minstd_rand random(std::random_device{}());
  const int64_t most = int64_t{1000} << std::min(attempt, 7);
  return absl::Microseconds(std::uniform_int_distribution<int64_t>(most / 4, most)(random));
}

/// What a caller may know of a connection that is lost or cannot be made; the log gets the rest.
absl::Status Unreachable(const absl::Status& why) {
  if (!absl::IsUnavailable(why)) return why;
  Log(Severity::kWarning, "database_lost", {{"error", why}});
  return absl::UnavailableError("the database cannot be reached; try again");
}

class SociDatabase : public Database {
 public:
  SociDatabase(std::string display, const DatabaseOptions& options, Opener open_writer, int writers,
               Opener open_reader)
      : display_(std::move(display)),
        options_(options),
        writers_(display_, writers, options.busy_timeout, std::move(open_writer)),
        readers_(display_, options.readers, options.busy_timeout, std::move(open_reader)) {}

  absl::Status Write(absl::FunctionRef<absl::Status(Transaction&)> body) override {
    return Transact(writers_, begin_write(), body);
  }

  absl::Status Read(absl::FunctionRef<absl::Status(Transaction&)> body) override {
    return Transact(readers_, begin_read(), body);
  }

  absl::Status Migrate(const std::vector<Migration>& migrations) override;

  /// Opens one connection of each kind, so that a wrong URL is seen at once.
  absl::Status Check() {
    RETURN_IF_ERROR(writers_.Take().status());
    return readers_.Take().status();
  }

 protected:
  virtual const char* begin_write() const = 0;
  virtual const char* begin_read() const = 0;
  virtual const char* begin_migrate() const = 0;
  /// In the migration's transaction: keeps other migrators out.
  virtual absl::Status LockOutMigrators(Transaction& tx) = 0;
  /// In the migration's transaction, before the first step: keeps the old schema's data aside.
  virtual absl::Status Backup(int number) = 0;

  const std::string display_;
  const DatabaseOptions options_;

 private:
  absl::Status Transact(Pool& pool, const char* begin,
                        absl::FunctionRef<absl::Status(Transaction&)> body);

  Pool writers_;
  Pool readers_;
};

/// One attempt. `*began` tells whether the database had taken the transaction on.
absl::Status RunOnce(Session& session, const char* begin,
                     absl::FunctionRef<absl::Status(Transaction&)> body, bool* began) {
  RETURN_IF_ERROR(session.Run(begin).status());
  *began = true;
  bool open = true;
  const absl::Cleanup rollback = [&] {
    if (open) session.Rollback();
  };
  SessionTransaction tx(session);
  const absl::Status done = body(tx);
  if (AsksToRetry(tx.failure())) return tx.failure();
  RETURN_IF_ERROR(done);
  RETURN_IF_ERROR(tx.failure());
  RETURN_IF_ERROR(session.Run("COMMIT").status());
  open = false;
  return absl::OkStatus();
}

absl::Status SociDatabase::Transact(Pool& pool, const char* begin,
                                    absl::FunctionRef<absl::Status(Transaction&)> body) {
  const absl::Duration started = Clock::Real().Monotonic();
  bool reconnected = false;
  for (int attempt = 1;; ++attempt) {
    absl::Status done;
    bool lost = false;
    bool began = false;
    {
      absl::StatusOr<Pool::Lease> lease = pool.Take();
      if (!lease.ok()) return Unreachable(lease.status());
      done = RunOnce(**lease, begin, body, &began);
      if (done.ok()) return done;
      lost = (*lease)->broken();
      if (lost) lease->Drop();
    }
    if (lost && !AsksToRetry(done)) {
      // The server was restarted while the connection lay idle: nothing has happened yet.
      if (began || reconnected) return Unreachable(done);
      reconnected = true;
      pool.Clear();
      continue;
    }
    if (!AsksToRetry(done)) return done;
    if (attempt >= options_.max_attempts ||
        Clock::Real().Monotonic() - started > options_.busy_timeout) {
      return absl::UnavailableError(
          fmt::format("the database is busy, {} attempts met a conflict; try again", attempt));
    }
    Clock::Real().SleepFor(WaitBeforeRetry(attempt));
  }
}

absl::Status SociDatabase::Migrate(const std::vector<Migration>& migrations) {
  for (size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].number != static_cast<int>(i) + 1) {
      return absl::InternalError(fmt::format("migration {} has the number {}, not {}",
                                             migrations[i].name, migrations[i].number, i + 1));
    }
  }
  const auto last = static_cast<int64_t>(migrations.size());
  return Transact(writers_, begin_migrate(), [&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(LockOutMigrators(tx));
    RETURN_IF_ERROR(tx.Execute("CREATE TABLE IF NOT EXISTS schema_migrations ("
                               "number BIGINT PRIMARY KEY, name TEXT NOT NULL)")
                        .status());
    int64_t current = 0;
    RETURN_IF_ERROR(
        tx.ForEach("SELECT number FROM schema_migrations ORDER BY number", {}, [&](const Row& row) {
          current = row.GetInt(0);
          return absl::OkStatus();
        }));
    if (current > last) {
      return absl::FailedPreconditionError(
          fmt::format("{} holds schema {}, this program knows up to {}: it was written by a newer "
                      "Slipway; run that one, or restore a backup",
                      display_, current, last));
    }
    if (current == last) return absl::OkStatus();
    if (current > 0) RETURN_IF_ERROR(Backup(static_cast<int>(current)));
    for (int64_t i = current; i < last; ++i) {
      const Migration& step = migrations[i];
      const bool own = tx.dialect() == Dialect::kPostgres && !step.postgres_sql.empty();
      for (const std::string& statement : SplitStatements(own ? step.postgres_sql : step.sql)) {
        if (absl::Status done = tx.Execute(statement).status(); !done.ok()) {
          return Annotate(done, fmt::format("migration {} ({})", step.number, step.name));
        }
      }
      RETURN_IF_ERROR(tx.Execute("INSERT INTO schema_migrations (number, name) VALUES (?, ?)",
                                 {step.number, step.name})
                          .status());
    }
    return absl::OkStatus();
  });
}

absl::Status SyncFolderOf(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot open", folder);
  const absl::Cleanup close = [&] { ::close(fd); };
  if (::fsync(fd) != 0) return FromErrno(errno, "cannot sync", folder);
  return absl::OkStatus();
}

/// Makes the file with mode 0600 where it is absent (SQLite would make it 0644), or syncs a copy.
absl::Status EnsureFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FromErrno(errno, "cannot open", path);
  const absl::Cleanup close = [&] { ::close(fd); };
  if (::fsync(fd) != 0) return FromErrno(errno, "cannot sync", path);
  return SyncFolderOf(path);
}

class SqliteDatabase final : public SociDatabase {
 public:
  SqliteDatabase(const std::string& path, const DatabaseOptions& options)
      : SociDatabase(
            path, options,
            [=] { return Session::OpenSqlite(path, Access::kReadWrite, options.busy_timeout); },
            /*writers=*/1,
            [=] { return Session::OpenSqlite(path, Access::kReadOnly, options.busy_timeout); }) {}

  Dialect dialect() const override { return Dialect::kSqlite; }

 private:
  const char* begin_write() const override { return "BEGIN IMMEDIATE"; }
  const char* begin_read() const override { return "BEGIN"; }
  const char* begin_migrate() const override { return "BEGIN IMMEDIATE"; }
  absl::Status LockOutMigrators(Transaction&) override { return absl::OkStatus(); }

  /// Another connection copies what is committed, while the migration's transaction keeps all
  /// writers out.
  absl::Status Backup(int number) override {
    const std::string target = fmt::format("{}.bak-{}", display_, number);
    const std::string temporary = target + ".tmp";
    ::unlink(temporary.c_str());
    {
      ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                       Session::OpenSqlite(display_, Access::kReadWrite, options_.busy_timeout));
      RETURN_IF_ERROR(session->Run("VACUUM INTO ?", {temporary}).status());
    }
    RETURN_IF_ERROR(EnsureFile(temporary));
    if (::chmod(temporary.c_str(), 0600) != 0 || ::rename(temporary.c_str(), target.c_str()) != 0) {
      return FromErrno(errno, "cannot keep the old schema's copy at", target);
    }
    return SyncFolderOf(target);
  }
};

class PostgresDatabase final : public SociDatabase {
 public:
  PostgresDatabase(const std::string& url, const std::string& display,
                   const DatabaseOptions& options)
      : SociDatabase(
            display, options, [=] { return Session::OpenPostgres(url, display); }, options.writers,
            [=] { return Session::OpenPostgres(url, display); }) {}

  Dialect dialect() const override { return Dialect::kPostgres; }

 private:
  const char* begin_write() const override { return "BEGIN ISOLATION LEVEL SERIALIZABLE"; }
  const char* begin_read() const override {
    return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  }
  // Each statement sees what was committed before it: after the wait for the lock, too.
  const char* begin_migrate() const override { return "BEGIN ISOLATION LEVEL READ COMMITTED"; }

  absl::Status LockOutMigrators(Transaction& tx) override {
    return tx.Query("SELECT pg_advisory_xact_lock(CAST(? AS BIGINT))", {kMigrationLock}).status();
  }

  /// A server's backups are its operator's.
  absl::Status Backup(int) override { return absl::OkStatus(); }
};

/// The URL without user, password and options: for messages.
std::string DisplayOf(std::string_view url) {
  std::string_view rest = url.substr(kPostgresScheme.size());
  rest = rest.substr(0, rest.find('?'));
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  return fmt::format("{}{}", kPostgresScheme, rest);
}

std::string WithConnectTimeout(std::string_view url) {
  if (url.find("connect_timeout=") != std::string_view::npos) return std::string(url);
  const char separator = url.find('?') == std::string_view::npos ? '?' : '&';
  return fmt::format("{}{}connect_timeout=5", url, separator);
}

}  // namespace

absl::StatusOr<std::vector<Row>> Transaction::Query(std::string_view sql, const Params& params) {
  std::vector<Row> rows;
  RETURN_IF_ERROR(ForEach(sql, params, [&](const Row& row) {
    rows.push_back(row);
    return absl::OkStatus();
  }));
  return rows;
}

absl::StatusOr<std::optional<Row>> Transaction::QueryOne(std::string_view sql,
                                                         const Params& params) {
  std::optional<Row> first;
  RETURN_IF_ERROR(ForEach(sql, params, [&](const Row& row) {
    if (!first.has_value()) first = row;
    return absl::OkStatus();
  }));
  return first;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(std::string_view url,
                                                         const DatabaseOptions& options) {
  std::unique_ptr<SociDatabase> database;
  if (url.starts_with(kSqliteScheme) && url.size() > kSqliteScheme.size()) {
    const std::string path(url.substr(kSqliteScheme.size()));
    RETURN_IF_ERROR(EnsureFile(path));
    database = std::make_unique<SqliteDatabase>(path, options);
  } else if (url.starts_with(kPostgresScheme)) {
    database = std::make_unique<PostgresDatabase>(WithConnectTimeout(url), DisplayOf(url), options);
  } else {
    return absl::InvalidArgumentError(
        "a database is given as sqlite:/path/to/file.db or postgresql://user@host/name");
  }
  RETURN_IF_ERROR(database->Check());
  return database;
}

}  // namespace slipway::sql
