#ifndef SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_USAGE_GATEWAY_DATABASE_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_USAGE_GATEWAY_DATABASE_H_

#include <memory>
#include <string>
#include <string_view>

#include "common/crypto/hash.h"
#include "common/sql/database.h"
#include "gtest/gtest.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/schema.h"
#include "tests/support/temp_dir.h"
#ifdef SLIPWAY_TEST_ON_POSTGRES
#include "tests/support/postgres.h"
#endif

namespace slipway::gateway {

/// Two versions of it.
inline AuditKey TestAuditKey(int64_t newest = 1) {
  return {.newest = newest,
          .mac = [](int64_t version, std::string_view message) -> std::optional<Sha256Bytes> {
            if (version < 1 || version > 2) return std::nullopt;
            return HmacSha256(version == 1 ? "the first key" : "the second key", message);
          }};
}

/// The gateway's database: SQLite, or PostgreSQL where the suite is compiled for it
/// (tests/integration/gateway).
class GatewayDatabase : public ::testing::Test {
 protected:
  GatewayDatabase() {
#ifdef SLIPWAY_TEST_ON_POSTGRES
    const std::string url = TestPostgres::Shared().NewDatabase();
#else
    const std::string url = "sqlite:" + (folder_ / "g.db");
#endif
    database_ = sql::Database::Open(url).value();
    EXPECT_TRUE(database_->Migrate(Schema()).ok());
  }

  void Sql(const std::string& statement, const sql::Params& params = {}) {
    const absl::Status done = database_->Write(
        [&](sql::Transaction& tx) { return tx.Execute(statement, params).status(); });
    ASSERT_TRUE(done.ok()) << done;
  }

  TempDir folder_;
  std::unique_ptr<sql::Database> database_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_GATEWAY_USAGE_GATEWAY_DATABASE_H_
