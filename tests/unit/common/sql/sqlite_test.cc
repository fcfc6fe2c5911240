// What only SQLite does; tests/integration/common/sql holds what both databases do alike.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "common/sql/database.h"
#include "fmt/format.h"
#include "tests/support/system_calls.h"
#include "tests/support/temp_dir.h"

namespace slipway::sql {
namespace {

using ::testing::HasSubstr;

class SqliteTest : public ::testing::Test {
 protected:
  std::unique_ptr<Database> Open(const DatabaseOptions& options = {}) {
    auto database = Database::Open("sqlite:" + path_, options);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  static std::string Pragma(Transaction& tx, const std::string& name) {
    const auto row = tx.QueryOne("PRAGMA " + name);
    EXPECT_TRUE(row.ok()) << row.status();
    const auto& value = row->value();
    return value.IsNull(0) ? "" : fmt::format("{}", value.GetInt(0));
  }

  static int64_t Count(Database& database) {
    int64_t count = -1;
    const absl::Status read = database.Read([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const auto row, tx.QueryOne("SELECT COUNT(*) FROM t"));
      count = row->GetInt(0);
      return absl::OkStatus();
    });
    EXPECT_TRUE(read.ok()) << read;
    return count;
  }

  TempDir dir_;
  const std::string path_ = dir_ / "test.db";
};

TEST_F(SqliteTest, EveryConnectionSyncsFullyInWalAndHoldsForeignKeys) {
  const auto database = Open();
  const auto check = [](Transaction& tx) -> absl::Status {
    EXPECT_EQ(Pragma(tx, "synchronous"), "2") << "not FULL: a power cut would lose commits";
    EXPECT_EQ(Pragma(tx, "foreign_keys"), "1");
    EXPECT_EQ(Pragma(tx, "busy_timeout"), "5000");
    const auto mode = tx.QueryOne("PRAGMA journal_mode");
    EXPECT_EQ(mode->value().GetString(0), "wal");
    return absl::OkStatus();
  };
  EXPECT_TRUE(database->Write(check).ok());
  EXPECT_TRUE(database->Read(check).ok());
}

// What services acknowledge rests on this.
TEST_F(SqliteTest, ACommitIsOnTheDiskWhenWriteReturns) {
  const auto database = Open();
  const auto run = [&](const char* statement) {
    return database->Write([&](Transaction& tx) { return tx.Execute(statement).status(); });
  };
  ASSERT_TRUE(run("CREATE TABLE t (a BIGINT)").ok());
  const SystemCalls calls;
  ASSERT_TRUE(run("INSERT INTO t (a) VALUES (1)").ok());
  std::vector<std::string> log;  // what was done to the write-ahead log
  for (const SystemCalls::Call& call : calls.calls()) {
    if (call.path.ends_with("/test.db-wal")) log.push_back(call.operation);
  }
  ASSERT_FALSE(log.empty());
  EXPECT_EQ(log.front(), "write");
  EXPECT_EQ(log.back(), "sync");
}

TEST_F(SqliteTest, MakesAFileThatOnlyItsOwnerReads) {
  const auto database = Open();
  ASSERT_TRUE(
      database
          ->Write([](Transaction& tx) { return tx.Execute("CREATE TABLE t (a BIGINT)").status(); })
          .ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat((path_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteTest, TakesAPathWithSpacesAndEqualSigns) {
  const std::string path = dir_ / "a = b  c.db";
  const auto database = Database::Open("sqlite:" + path);
  ASSERT_TRUE(database.ok()) << database.status();
  ASSERT_TRUE(
      (*database)
          ->Write([](Transaction& tx) { return tx.Execute("CREATE TABLE t (a BIGINT)").status(); })
          .ok());
  EXPECT_GT(std::filesystem::file_size(path), 0u);
}

TEST_F(SqliteTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(path_) << std::string(8192, 'x');
  const auto database = Database::Open("sqlite:" + path_);
  EXPECT_EQ(database.status().code(), absl::StatusCode::kDataLoss) << database.status();
  EXPECT_THAT(std::string(database.status().message()), HasSubstr(path_));
}

TEST_F(SqliteTest, RefusesAFolderThatIsAbsent) {
  const auto database = Database::Open("sqlite:" + (dir_ / "no/such.db"));
  EXPECT_EQ(database.status().code(), absl::StatusCode::kNotFound) << database.status();
}

TEST_F(SqliteTest, WhenTheVolumeIsFullWritesSaySoReadsGoOnAndSpaceHeals) {
  const auto database = Open();
  ASSERT_TRUE(database
                  ->Write([](Transaction& tx) -> absl::Status {
                    RETURN_IF_ERROR(tx.Execute("CREATE TABLE t (a TEXT)").status());
                    return tx.Execute("INSERT INTO t VALUES ('kept')").status();
                  })
                  .ok());
  const auto insert = [](Transaction& tx) {
    return tx.Execute("INSERT INTO t VALUES (?)", {std::string(100'000, 'x')}).status();
  };
  // SQLite answers the same SQLITE_FULL for its own limit and for ENOSPC.
  const absl::Status full = database->Write([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Query("PRAGMA max_page_count = 4").status());
    return insert(tx);
  });
  EXPECT_TRUE(IsStorageFull(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr(path_));
  EXPECT_EQ(Count(*database), 1);
  EXPECT_TRUE(database
                  ->Write([&](Transaction& tx) -> absl::Status {
                    RETURN_IF_ERROR(tx.Query("PRAGMA max_page_count = 100000").status());
                    return insert(tx);
                  })
                  .ok());
  EXPECT_EQ(Count(*database), 2);
}

TEST_F(SqliteTest, TellsThatItIsBusyWhenAnotherProcessHoldsTheLock) {
  const auto holder = Open();
  const auto other = Open({.max_attempts = 2, .busy_timeout = absl::Milliseconds(10)});
  ASSERT_TRUE(holder
                  ->Write([&](Transaction&) {
                    const absl::Status blocked =
                        other->Write([](Transaction&) { return absl::OkStatus(); });
                    EXPECT_EQ(blocked.code(), absl::StatusCode::kUnavailable) << blocked;
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_TRUE(other->Write([](Transaction&) { return absl::OkStatus(); }).ok());
}

TEST_F(SqliteTest, CopiesAnOlderSchemaAsideBeforeItMigrates) {
  const Migration first{1, "first", "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)"};
  const Migration second{2, "second", "DELETE FROM t; ALTER TABLE t ADD COLUMN b TEXT"};
  {
    const auto database = Open();
    ASSERT_TRUE(database->Migrate({first}).ok());
    EXPECT_FALSE(std::filesystem::exists(path_ + ".bak-0")) << "an empty file needs no copy";
  }
  const auto database = Open();
  const absl::Status migrated = database->Migrate({first, second});
  ASSERT_TRUE(migrated.ok()) << migrated;
  EXPECT_EQ(Count(*database), 0);

  const auto copy = Database::Open("sqlite:" + path_ + ".bak-1");
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(Count(**copy), 1);
  struct stat info {};
  ASSERT_EQ(stat((path_ + ".bak-1").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".bak-1.tmp"));
}

TEST_F(SqliteTest, AMigrationThatFailsLeavesTheOldSchemaAndItsCopy) {
  const Migration first{1, "first", "CREATE TABLE t (a BIGINT); INSERT INTO t VALUES (1)"};
  const Migration wrong{2, "wrong", "DELETE FROM t; CREATE TABLE t (a BIGINT)"};
  const auto database = Open();
  ASSERT_TRUE(database->Migrate({first}).ok());
  const absl::Status failed = database->Migrate({first, wrong});
  EXPECT_THAT(std::string(failed.message()), HasSubstr("migration 2 (wrong)"));
  EXPECT_EQ(Count(*database), 1);
  EXPECT_TRUE(database->Migrate({first}).ok());
}

TEST_F(SqliteTest, ReadersDoNotWaitForTheWriter) {
  const auto database = Open();
  ASSERT_TRUE(
      database
          ->Write([](Transaction& tx) { return tx.Execute("CREATE TABLE t (a BIGINT)").status(); })
          .ok());
  ASSERT_TRUE(database
                  ->Write([&](Transaction& tx) -> absl::Status {
                    RETURN_IF_ERROR(tx.Execute("INSERT INTO t VALUES (1)").status());
                    EXPECT_EQ(Count(*database), 0);
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(Count(*database), 1);
}

}  // namespace
}  // namespace slipway::sql
