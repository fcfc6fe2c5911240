#include "common/sql/session.h"

#include <cerrno>
#include <charconv>
#include <deque>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/cord.h"
#include "common/sql/sql_text.h"
#include "fmt/format.h"
#include "soci/postgresql/soci-postgresql.h"
#include "soci/soci.h"
#include "soci/sqlite3/soci-sqlite3.h"

namespace slipway::sql {
namespace {

constexpr char kRetry[] = "slipway/sql-retry";
constexpr size_t kCachedStatements = 128;

absl::Status Retryable(std::string_view message) {
  absl::Status status = absl::AbortedError(std::string(message));
  status.SetPayload(kRetry, absl::Cord("1"));
  return status;
}

/// Where one parameter lives while SOCI holds a reference to it.
struct Slot {
  soci::indicator indicator = soci::i_ok;
  long long integer = 0;
  double real = 0;
  std::string text;
  std::unique_ptr<soci::blob> blob;
};

/// A statement and its parameters. Their types are fixed when it is prepared.
struct Prepared {
  explicit Prepared(soci::session& session) : statement(session) {}
  std::deque<Slot> slots;
  soci::statement statement;
};

soci::sqlite3_statement_backend& SqliteBackend(Prepared& prepared) {
  return *static_cast<soci::sqlite3_statement_backend*>(prepared.statement.get_backend());
}

char TypeCode(const Value& value) {
  // Null is bound as text: both databases take it for any type.
  static constexpr char kCodes[] = {'s', 'i', 'd', 's', 'b'};
  return kCodes[value.variant().index()];
}

std::string ToHex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex = "\\x";
  for (const unsigned char byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string FromHex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (size_t i = 2; i + 1 < hex.size(); i += 2) {  // after "\x"
    bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  }
  return bytes;
}

template <class Number>
Number ParseNumber(const char* text) {
  Number number{};
  std::from_chars(text, text + std::char_traits<char>::length(text), number);
  return number;
}

// SOCI's own rows are not used: it types a SQLite column by its declaration (a sum has none),
// cuts INTEGER to 32 bits, and may run the statement once just to look. Fields are therefore read
// from the driver's current row, by the type that it reports.

Value SqliteField(sqlite_api::sqlite3_stmt* statement, int i) {
  switch (sqlite_api::sqlite3_column_type(statement, i)) {
    case SQLITE_INTEGER:
      return static_cast<int64_t>(sqlite_api::sqlite3_column_int64(statement, i));
    case SQLITE_FLOAT:
      return sqlite_api::sqlite3_column_double(statement, i);
    case SQLITE_TEXT: {
      const auto* text =
          reinterpret_cast<const char*>(sqlite_api::sqlite3_column_text(statement, i));
      return std::string(text, sqlite_api::sqlite3_column_bytes(statement, i));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite_api::sqlite3_column_blob(statement, i));
      const int size = sqlite_api::sqlite3_column_bytes(statement, i);
      return Blob{size == 0 ? std::string() : std::string(bytes, size)};
    }
    default:
      return nullptr;
  }
}

Value PostgresField(const PGresult* result, int row, int i) {
  if (PQgetisnull(result, row, i)) return nullptr;
  const char* text = PQgetvalue(result, row, i);
  switch (PQftype(result, i)) {  // numbers of pg_type.dat
    case 16:                     // bool
      return text[0] == 't';
    case 20:  // int8
    case 21:  // int2
    case 23:  // int4
      return ParseNumber<int64_t>(text);
    case 1700:  // numeric: what sum(int8) answers
      if (std::string_view(text).find('.') == std::string_view::npos) {
        return ParseNumber<int64_t>(text);
      }
      return ParseNumber<double>(text);
    case 700:  // float4
    case 701:  // float8
      return ParseNumber<double>(text);
    case 17:  // bytea
      return Blob{FromHex(text)};
    default:
      return std::string(text);
  }
}

// A session is one thread's at a time, and nobody asks how much memory SQLite has: it need not lock
// for either.
void ConfigureSqlite() {
  [[maybe_unused]] static const bool done = [] {
    sqlite_api::sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    sqlite_api::sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    return true;
  }();
}

}  // namespace

bool AsksToRetry(const absl::Status& status) { return status.GetPayload(kRetry).has_value(); }

struct Session::Impl {
  Impl(Dialect dialect, std::string display, const soci::backend_factory& factory,
       const std::string& connection)
      : dialect(dialect), display(std::move(display)), session(factory, connection) {}

  /// The prepared statement for this text and these types, from the cache where it is there.
  absl::StatusOr<Prepared*> Prepare(std::string_view sql, const Params& params) {
    std::string key(sql);
    key += '\0';
    for (const Value& value : params) key += TypeCode(value);
    if (const auto found = by_key.find(key); found != by_key.end()) {
      statements.splice(statements.begin(), statements, found->second);
      return &found->second->second;
    }
    const StatementText text = NumberParameters(sql);
    if (static_cast<size_t>(text.parameters) != params.size()) {
      return absl::InternalError(fmt::format("{} parameters for {} places in: {}", params.size(),
                                             text.parameters, text.text));
    }
    std::list<std::pair<std::string, Prepared>> fresh;
    fresh.emplace_back(std::piecewise_construct, std::forward_as_tuple(key),
                       std::forward_as_tuple(session));
    Prepared& prepared = fresh.front().second;
    prepared.statement.alloc();
    for (const Value& value : params) {
      Slot& slot = prepared.slots.emplace_back();
      switch (TypeCode(value)) {
        case 'i':
          prepared.statement.exchange(soci::use(slot.integer));
          break;
        case 'd':
          prepared.statement.exchange(soci::use(slot.real));
          break;
        case 'b':
          if (dialect == Dialect::kSqlite) {
            slot.blob = std::make_unique<soci::blob>(session);
            prepared.statement.exchange(soci::use(*slot.blob));
            break;
          }
          // SOCI's blob is PostgreSQL's large object; a BYTEA is bound in its text form.
          [[fallthrough]];
        default:
          prepared.statement.exchange(soci::use(slot.text, slot.indicator));
      }
    }
    prepared.statement.prepare(text.text);
    prepared.statement.define_and_bind();
    statements.splice(statements.begin(), fresh);
    by_key[std::move(key)] = statements.begin();
    if (statements.size() > kCachedStatements) {
      by_key.erase(statements.back().first);
      statements.pop_back();
    }
    return &prepared;
  }

  void Fill(Prepared& prepared, const Params& params) {
    for (size_t i = 0; i < params.size(); ++i) {
      Slot& slot = prepared.slots[i];
      const Value::Variant& value = params[i].variant();
      slot.indicator = params[i].is_null() ? soci::i_null : soci::i_ok;
      if (const auto* integer = std::get_if<int64_t>(&value)) slot.integer = *integer;
      if (const auto* real = std::get_if<double>(&value)) slot.real = *real;
      if (const auto* text = std::get_if<std::string>(&value)) slot.text = *text;
      if (const auto* blob = std::get_if<Blob>(&value)) {
        if (slot.blob != nullptr) {
          slot.blob->trim(0);
          slot.blob->write(0, blob->bytes.data(), blob->bytes.size());
        } else {
          slot.text = ToHex(blob->bytes);
        }
      }
    }
  }

  absl::Status ReadSqlite(Prepared& prepared, bool has_row,
                          absl::FunctionRef<absl::Status(const Row&)> on_row) {
    soci::sqlite3_statement_backend& backend = SqliteBackend(prepared);
    const int columns = sqlite_api::sqlite3_column_count(backend.stmt_);
    for (; has_row; has_row = backend.fetch(1) == soci::details::statement_backend::ef_success) {
      std::vector<Value> fields;
      fields.reserve(columns);
      for (int i = 0; i < columns; ++i) fields.push_back(SqliteField(backend.stmt_, i));
      RETURN_IF_ERROR(on_row(Row(std::move(fields))));
    }
    return absl::OkStatus();
  }

  absl::Status ReadPostgres(Prepared& prepared,
                            absl::FunctionRef<absl::Status(const Row&)> on_row) {
    auto* backend =
        static_cast<soci::postgresql_statement_backend*>(prepared.statement.get_backend());
    const PGresult* result = backend->result_.get_result();
    const int rows = PQntuples(result);
    const int columns = PQnfields(result);
    for (int row = 0; row < rows; ++row) {
      std::vector<Value> fields;
      fields.reserve(columns);
      for (int i = 0; i < columns; ++i) fields.push_back(PostgresField(result, row, i));
      RETURN_IF_ERROR(on_row(Row(std::move(fields))));
    }
    return absl::OkStatus();
  }

  bool InTransaction() {
    if (dialect == Dialect::kSqlite) {
      auto* backend = static_cast<soci::sqlite3_session_backend*>(session.get_backend());
      return sqlite_api::sqlite3_get_autocommit(backend->conn_) == 0;
    }
    auto* backend = static_cast<soci::postgresql_session_backend*>(session.get_backend());
    return PQtransactionStatus(backend->conn_) != PQTRANS_IDLE;
  }

  absl::Status SqliteStatus(std::string_view message) {
    sqlite_api::sqlite3* connection =
        static_cast<soci::sqlite3_session_backend*>(session.get_backend())->conn_;
    const int code = sqlite_api::sqlite3_extended_errcode(connection);
    const std::string text = fmt::format("{}: {}", display, message);
    switch (code) {
      case SQLITE_CONSTRAINT_UNIQUE:
      case SQLITE_CONSTRAINT_PRIMARYKEY:
      case SQLITE_CONSTRAINT_ROWID:
        return absl::AlreadyExistsError(text);
    }
    switch (code & 0xff) {
      case SQLITE_CONSTRAINT:
        return absl::FailedPreconditionError(text);
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return Retryable(text);
      case SQLITE_FULL:
        return StorageFull(display);
      case SQLITE_IOERR:
      case SQLITE_CANTOPEN: {
        const int error = sqlite_api::sqlite3_system_errno(connection);
        if (error == ENOSPC || error == EDQUOT) return StorageFull(display);
        return absl::UnavailableError(text);
      }
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
        return absl::DataLossError(text);
      default:
        return absl::InternalError(text);
    }
  }

  absl::Status PostgresStatus(std::string_view message, const std::string& state) {
    const std::string text = fmt::format("{}: {}", display, message);
    auto* backend = static_cast<soci::postgresql_session_backend*>(session.get_backend());
    if (PQstatus(backend->conn_) != CONNECTION_OK) broken = true;
    if (broken || state.starts_with("08") || state.starts_with("57P")) {
      broken = true;
      return absl::UnavailableError(text);
    }
    if (state == "23505") return absl::AlreadyExistsError(text);
    if (state.starts_with("23")) return absl::FailedPreconditionError(text);
    if (state == "40001" || state == "40P01" || state == "55P03") return Retryable(text);
    if (state == "53100") return StorageFull(display);
    if (state.starts_with("53")) return absl::UnavailableError(text);
    if (state == "0A000" && message.find("cached plan") != std::string_view::npos) {
      broken = true;  // another process has migrated: prepare all again
      return Retryable(text);
    }
    return absl::InternalError(text);
  }

  /// `error.what()` is not used: SOCI puts the parameters' values into it.
  absl::Status ToStatus(const soci::soci_error& error) {
    std::string message = error.get_error_message();
    message.erase(message.find_last_not_of(" \n^") + 1);  // libpq's lines
    if (dialect == Dialect::kSqlite) return SqliteStatus(message);
    const auto* postgres = dynamic_cast<const soci::postgresql_soci_error*>(&error);
    return PostgresStatus(message, postgres == nullptr ? "" : postgres->sqlstate());
  }

  const Dialect dialect;
  const std::string display;
  bool broken = false;
  soci::session session;
  // Most recently used first; before the session in destruction.
  std::list<std::pair<std::string, Prepared>> statements;
  std::unordered_map<std::string, std::list<std::pair<std::string, Prepared>>::iterator> by_key;
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

bool Session::broken() const { return impl_->broken; }
Dialect Session::dialect() const { return impl_->dialect; }

absl::StatusOr<std::unique_ptr<Session>> Session::OpenSqlite(const std::string& path, Access access,
                                                             absl::Duration busy_timeout) {
  if (path.find('"') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("sqlite:{}: a path with a double quote is not taken", path));
  }
  ConfigureSqlite();
  std::unique_ptr<Session> session;
  try {
    session.reset(new Session(std::make_unique<Impl>(Dialect::kSqlite, path, soci::sqlite3,
                                                     fmt::format("dbname=\"{}\"", path))));
  } catch (const soci::soci_error& error) {
    return absl::UnavailableError(fmt::format("{}: {}", path, error.get_error_message()));
  }
  // The busy timeout first: the switch to WAL takes a lock.
  for (const std::string& pragma :
       {fmt::format("PRAGMA busy_timeout = {}", absl::ToInt64Milliseconds(busy_timeout)),
        std::string("PRAGMA journal_mode = WAL"), std::string("PRAGMA synchronous = FULL"),
        std::string("PRAGMA foreign_keys = ON"),
        // What a statement of many rows would undo: in a file it is a write for each row.
        std::string("PRAGMA temp_store = MEMORY"),
        std::string("PRAGMA journal_size_limit = 67108864"),
        std::string(access == Access::kReadOnly ? "PRAGMA query_only = ON"
                                                : "PRAGMA query_only = OFF")}) {
    absl::StatusOr<int64_t> done = session->Run(pragma);
    RETURN_IF_ERROR(done.status());
  }
  return session;
}

absl::StatusOr<std::unique_ptr<Session>> Session::OpenPostgres(const std::string& url,
                                                               const std::string& display) {
  std::unique_ptr<Session> session;
  try {
    session.reset(
        new Session(std::make_unique<Impl>(Dialect::kPostgres, display, soci::postgresql, url)));
  } catch (const soci::soci_error& error) {
    return absl::UnavailableError(fmt::format("{}: {}", display, error.get_error_message()));
  }
  for (const char* setting :
       {"SET synchronous_commit = on", "SET client_min_messages = warning",
        "SET client_encoding = 'UTF8'", "SET idle_in_transaction_session_timeout = '60s'"}) {
    absl::StatusOr<int64_t> done = session->Run(setting);
    RETURN_IF_ERROR(done.status());
  }
  return session;
}

void Session::Rollback() {
  if (impl_->broken || !impl_->InTransaction()) return;
  Run("ROLLBACK").IgnoreError();
  if (impl_->InTransaction()) impl_->broken = true;
}

absl::StatusOr<int64_t> Session::Run(std::string_view sql, const Params& params) {
  return Run(sql, params, [](const Row&) { return absl::OkStatus(); });
}

absl::StatusOr<int64_t> Session::Run(std::string_view sql, const Params& params,
                                     absl::FunctionRef<absl::Status(const Row&)> on_row) {
  for (size_t i = 0; i < params.size(); ++i) {
    const auto* string = std::get_if<std::string>(&params[i].variant());
    if (string != nullptr && string->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          fmt::format("text parameter {} holds a NUL byte in: {}", i + 1, sql));
    }
  }
  Prepared* prepared = nullptr;
  // An open SQLite statement would keep its snapshot, and so the whole log, alive.
  const absl::Cleanup reset = [&] {
    if (prepared == nullptr || impl_->dialect != Dialect::kSqlite) return;
    sqlite_api::sqlite3_reset(SqliteBackend(*prepared).stmt_);
  };
  try {
    ASSIGN_OR_RETURN(prepared, impl_->Prepare(sql, params));
    impl_->Fill(*prepared, params);
    const bool has_row = prepared->statement.execute(true);
    if (impl_->dialect == Dialect::kPostgres) {
      RETURN_IF_ERROR(impl_->ReadPostgres(*prepared, on_row));
    } else {
      RETURN_IF_ERROR(impl_->ReadSqlite(*prepared, has_row, on_row));
    }
    return prepared->statement.get_affected_rows();
  } catch (const soci::soci_error& error) {
    if (prepared != nullptr) {
      // A statement that fails keeps the buffers of its parameters, and the next turn makes others.
      prepared->statement.undefine_and_bind();
      prepared->statement.define_and_bind();
    }
    return impl_->ToStatus(error);
  }
}

}  // namespace slipway::sql
