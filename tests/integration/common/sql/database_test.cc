// What both databases must do alike: each test runs on a real SQLite file and on a real PostgreSQL.
#include "common/sql/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"

namespace slipway::sql {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class DatabaseTest : public ::testing::TestWithParam<Dialect> {
 protected:
  DatabaseTest()
      : url_(GetParam() == Dialect::kSqlite ? "sqlite:" + (dir_ / "test.db")
                                            : TestPostgres::Shared().NewDatabase()),
        database_(Open()) {}

  std::unique_ptr<Database> Open(const DatabaseOptions& options = {}) {
    auto database = Database::Open(url_, options);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  absl::Status Execute(const std::string& sql, const Params& params = {}) {
    return database_->Write([&](Transaction& tx) { return tx.Execute(sql, params).status(); });
  }

  Row One(const std::string& sql, const Params& params = {}) {
    std::optional<Row> row;
    const absl::Status read = database_->Read([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(row, tx.QueryOne(sql, params));
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok() && row.has_value()) << read;
    return row.value_or(Row({}));
  }

  TempDir dir_;
  const std::string url_;
  std::unique_ptr<Database> database_;
};

INSTANTIATE_TEST_SUITE_P(All, DatabaseTest, ::testing::Values(Dialect::kSqlite, Dialect::kPostgres),
                         [](const auto& info) {
                           return info.param == Dialect::kSqlite ? "Sqlite" : "Postgres";
                         });

TEST_P(DatabaseTest, GivesBackEveryTypeAsItCame) {
  ASSERT_TRUE(Execute("CREATE TABLE t (i BIGINT, d DOUBLE PRECISION, s TEXT, b BYTEA)").ok());
  const int64_t integers[] = {0, -1, std::numeric_limits<int64_t>::max(),
                              std::numeric_limits<int64_t>::min()};
  const double doubles[] = {0.1, -1e308, 5e-324, 1.0 / 3};
  const std::string texts[] = {"", "it's ? :p1 \"x\" -- \\", "sn\u00f6 \u96ea",
                               std::string(300'000, 'a')};
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  const std::string blobs[] = {"", std::string(1, '\0'), every_byte, std::string(300'000, '\xff')};
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Execute("DELETE FROM t").ok());
    ASSERT_TRUE(Execute("INSERT INTO t VALUES (?, ?, ?, ?)",
                        {integers[i], doubles[i], texts[i], Blob{blobs[i]}})
                    .ok());
    const Row row = One("SELECT i, d, s, b FROM t");
    EXPECT_EQ(row.GetInt(0), integers[i]);
    EXPECT_EQ(row.GetDouble(1), doubles[i]);
    EXPECT_EQ(row.GetString(2), texts[i]);
    EXPECT_EQ(row.GetBlob(3), blobs[i]);
  }
  ASSERT_TRUE(Execute("DELETE FROM t").ok());
  ASSERT_TRUE(
      Execute("INSERT INTO t VALUES (?, ?, ?, ?)", {nullptr, nullptr, nullptr, nullptr}).ok());
  const Row nulls = One("SELECT i, d, s, b FROM t");
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(nulls.IsNull(i)) << i;
}

TEST_P(DatabaseTest, KeepsSumsAndCountsIn64Bits) {
  ASSERT_TRUE(Execute("CREATE TABLE t (i BIGINT)").ok());
  const int64_t big = int64_t{3} << 40;
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (?), (?)", {big, big}).ok());
  const Row row = One("SELECT COUNT(*), SUM(i), MAX(i) FROM t");
  EXPECT_EQ(row.GetInt(0), 2);
  EXPECT_EQ(row.GetInt(1), 2 * big);
  EXPECT_EQ(row.GetInt(2), big);
}

TEST_P(DatabaseTest, BindsHostileTextAsText) {
  ASSERT_TRUE(Execute("CREATE TABLE t (s TEXT)").ok());
  const std::string hostile = "'); DROP TABLE t; --";
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (?)", {hostile}).ok());
  EXPECT_EQ(One("SELECT s FROM t WHERE s = ?", {hostile}).GetString(0), hostile);
}

TEST_P(DatabaseTest, RefusesTextWithANulByte) {
  ASSERT_TRUE(Execute("CREATE TABLE t (s TEXT)").ok());
  const absl::Status refused = Execute("INSERT INTO t VALUES (?)", {std::string("a\0b", 3)});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << refused;
}

TEST_P(DatabaseTest, RefusesTheWrongNumberOfParameters) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT, b BIGINT)").ok());
  EXPECT_FALSE(Execute("INSERT INTO t VALUES (?, ?)", {1}).ok());
  EXPECT_FALSE(Execute("INSERT INTO t VALUES (?, 2)", {1, 2}).ok());
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 0);
}

TEST_P(DatabaseTest, CountsTheRowsThatAStatementChanged) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT PRIMARY KEY)").ok());
  ASSERT_TRUE(database_
                  ->Write([](Transaction& tx) -> absl::Status {
                    EXPECT_EQ(*tx.Execute("INSERT INTO t VALUES (?), (?)", {1, 2}), 2);
                    EXPECT_EQ(*tx.Execute("INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING", {1}),
                              0);
                    EXPECT_EQ(*tx.Execute("UPDATE t SET a = a + 10"), 2);
                    EXPECT_EQ(*tx.Execute("DELETE FROM t WHERE a = ?", {99}), 0);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(DatabaseTest, RollsBackWhenTheBodyFails) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok());
  const absl::Status failed = database_->Write([](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Execute("INSERT INTO t VALUES (1)").status());
    return InvalidField("name", "no");
  });
  EXPECT_EQ(FieldOf(failed), "name");
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 0);
}

// PostgreSQL answers such a COMMIT with a silent ROLLBACK.
TEST_P(DatabaseTest, DoesNotCommitAfterAnErrorThatTheBodySwallowed) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT PRIMARY KEY)").ok());
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (1)").ok());
  const absl::Status swallowed = database_->Write([](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Execute("INSERT INTO t VALUES (2)").status());
    tx.Execute("INSERT INTO t VALUES (1)").IgnoreError();
    return absl::OkStatus();
  });
  EXPECT_EQ(swallowed.code(), absl::StatusCode::kAlreadyExists) << swallowed;
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 1);
}

TEST_P(DatabaseTest, TellsATakenKeyFromABrokenReference) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT PRIMARY KEY, u TEXT UNIQUE)").ok());
  ASSERT_TRUE(Execute("CREATE TABLE r (a BIGINT NOT NULL REFERENCES t (a))").ok());
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (1, 'x')").ok());
  EXPECT_EQ(Execute("INSERT INTO t VALUES (1, 'y')").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Execute("INSERT INTO t VALUES (2, 'x')").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Execute("INSERT INTO r VALUES (7)").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Execute("INSERT INTO r VALUES (?)", {nullptr}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Execute("INSERT INTO no_such_table VALUES (1)").code(), absl::StatusCode::kInternal);
}

TEST_P(DatabaseTest, AReadRefusesToWrite) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok());
  EXPECT_FALSE(
      database_
          ->Read([](Transaction& tx) { return tx.Execute("INSERT INTO t VALUES (1)").status(); })
          .ok());
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 0);
}

TEST_P(DatabaseTest, AReadSeesOneSnapshot) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok());
  ASSERT_TRUE(database_
                  ->Read([&](Transaction& tx) -> absl::Status {
                    ASSIGN_OR_RETURN(const auto before, tx.QueryOne("SELECT COUNT(*) FROM t"));
                    EXPECT_TRUE(Execute("INSERT INTO t VALUES (1)").ok());
                    ASSIGN_OR_RETURN(const auto after, tx.QueryOne("SELECT COUNT(*) FROM t"));
                    EXPECT_EQ(before->GetInt(0), after->GetInt(0));
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 1);
}

TEST_P(DatabaseTest, AReaderThatStopsEarlyEndsTheQueryWithItsError) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok());
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (1), (2), (3)").ok());
  int rows = 0;
  const absl::Status stopped = database_->Write([&](Transaction& tx) -> absl::Status {
    rows = 0;
    const absl::Status stop = tx.ForEach("SELECT a FROM t", {}, [&](const Row&) {
      return ++rows == 2 ? absl::CancelledError("enough") : absl::OkStatus();
    });
    EXPECT_EQ(stop.code(), absl::StatusCode::kCancelled);
    return tx.Execute("INSERT INTO t VALUES (4)").status();
  });
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_EQ(rows, 2);
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 4);
}

TEST_P(DatabaseTest, ConcurrentReadModifyWritesAllCount) {
  ASSERT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok());
  ASSERT_TRUE(Execute("INSERT INTO t VALUES (0)").ok());
  constexpr int kThreads = 6;
  constexpr int kEach = 15;
  const auto other_process = Open({.max_attempts = 200, .busy_timeout = absl::Seconds(60)});
  const auto database = Open({.max_attempts = 200, .busy_timeout = absl::Seconds(60)});
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        Database& mine = thread % 2 == 0 ? *database : *other_process;
        for (int i = 0; i < kEach; ++i) {
          const absl::Status done = mine.Write([](Transaction& tx) -> absl::Status {
            ASSIGN_OR_RETURN(const auto row, tx.QueryOne("SELECT a FROM t"));
            return tx.Execute("UPDATE t SET a = ?", {row->GetInt(0) + 1}).status();
          });
          EXPECT_TRUE(done.ok()) << done;
        }
      });
    }
  }
  EXPECT_EQ(One("SELECT a FROM t").GetInt(0), kThreads * kEach);
}

TEST_P(DatabaseTest, MigratesOnceInOrderAndOnlyForward) {
  const Migration first{1, "first", "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)"};
  const Migration second{2, "second", "INSERT INTO t VALUES (2)",
                         "INSERT INTO t VALUES (2 + CAST('0' AS INTEGER))"};
  ASSERT_TRUE(database_->Migrate({first}).ok());
  ASSERT_TRUE(database_->Migrate({first, second}).ok());
  ASSERT_TRUE(database_->Migrate({first, second}).ok());
  const Row row = One("SELECT COUNT(*), SUM(a) FROM t");
  EXPECT_EQ(row.GetInt(0), 2);
  EXPECT_EQ(row.GetInt(1), 3);

  const absl::Status older = database_->Migrate({first});
  EXPECT_EQ(older.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(older.message()),
              HasSubstr("holds schema 2, this program knows up to 1"));
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 2);
}

TEST_P(DatabaseTest, MigratorsAtTheSameTimeApplyEachStepOnce) {
  const std::vector<Migration> steps = {
      {1, "first", "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)"},
      {2, "second", "INSERT INTO t VALUES (2)"}};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const auto mine = Open();
        const absl::Status migrated = mine->Migrate(steps);
        EXPECT_TRUE(migrated.ok()) << migrated;
      });
    }
  }
  EXPECT_EQ(One("SELECT COUNT(*) FROM t").GetInt(0), 2);
}

TEST_P(DatabaseTest, AFailedMigrationLeavesNothing) {
  const absl::Status failed =
      database_->Migrate({{1, "half", "CREATE TABLE t (a BIGINT); NONSENSE"}});
  EXPECT_THAT(std::string(failed.message()), HasSubstr("migration 1 (half)"));
  EXPECT_TRUE(Execute("CREATE TABLE t (a BIGINT)").ok()) << "the table of the failed step stayed";
}

TEST(DatabaseUrlTest, RefusesAnotherForm) {
  for (const char* url : {"", "sqlite:", "mysql://x", "/tmp/x.db", "host=localhost dbname=x"}) {
    EXPECT_EQ(Database::Open(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

TEST(PostgresTest, GoesOnAfterTheServerWasRestarted) {
  TestPostgres server;
  const std::string url = server.NewDatabase();
  auto database = Database::Open(url);
  ASSERT_TRUE(database.ok()) << database.status();
  const auto insert = [&] {
    return (*database)->Write(
        [](Transaction& tx) { return tx.Execute("INSERT INTO t VALUES (1)").status(); });
  };
  ASSERT_TRUE(
      (*database)
          ->Write([](Transaction& tx) { return tx.Execute("CREATE TABLE t (a BIGINT)").status(); })
          .ok());
  ASSERT_TRUE(insert().ok());

  server.Stop();
  const absl::Status down = insert();
  EXPECT_EQ(down.code(), absl::StatusCode::kUnavailable) << down;

  server.Start();
  const absl::Status up = insert();
  EXPECT_TRUE(up.ok()) << up;

  // The connections that lay idle during a restart are replaced unseen.
  server.Stop();
  server.Start();
  const absl::Status again = insert();
  EXPECT_TRUE(again.ok()) << again;
}

TEST(PostgresTest, NamesTheDatabaseWithoutItsPassword) {
  // Port 1 of this machine: nobody listens there.
  const auto database =
      Database::Open("postgresql://slipway:hunter2@127.0.0.1:1/models?sslmode=disable");
  EXPECT_EQ(database.status().code(), absl::StatusCode::kUnavailable);
  const std::string message(database.status().message());
  EXPECT_THAT(message, HasSubstr("postgresql://127.0.0.1:1/models"));
  EXPECT_THAT(message, Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace slipway::sql
