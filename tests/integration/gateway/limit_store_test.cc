// What gateways share of their limits, in real databases.
#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/identity/tenant_content.h"
#include "common/metrics/metrics.h"
#include "common/sql/database.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "services/gateway/limits/lease_keeper.h"
#include "services/gateway/limits/sql_limit_store.h"
#include "services/gateway/schema.h"
#include "tests/support/eventually.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

class LimitStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  LimitStoreTest()
      : url_(GetParam() == std::string("sqlite") ? "sqlite:" + (dir_ / "g.db")
                                                 : TestPostgres::Shared().NewDatabase()),
        database_(Open()),
        store_(*database_, Clock::Real()) {
    EXPECT_TRUE(database_->Migrate(Schema()).ok());
  }

  std::unique_ptr<sql::Database> Open() const { return sql::Database::Open(url_).value(); }

  static LimitsRecord Requests(const std::string& subject, int64_t most) {
    LimitsRecord record{.subject = subject, .limits = {}};
    record.limits.most[Quantity::kRequests] = most;
    return record;
  }
  static LeaseRequest Report(Quantity quantity, int64_t report, int64_t used, int64_t want = 0) {
    LeaseRequest request;
    request.subject = "tenants/acme";
    request.quantity = quantity;
    request.limit = 1000;
    request.report = report;
    request.used = used;
    request.want = want;
    return request;
  }
  LeaseAnswer Exchange(const std::string& replica, const LeaseRequest& request) {
    const auto answers = store_.Exchange(replica, 2, {request});
    EXPECT_TRUE(answers.ok()) << answers.status();
    return answers.ok() ? answers->at(0) : LeaseAnswer();
  }
  void Spend(const std::string& id, const std::string& key, int64_t units, absl::Time time) {
    EXPECT_TRUE(
        database_
            ->Write([&](sql::Transaction& tx) {
              return tx
                  .Execute(
                      "INSERT INTO usage_hours (writer, hour, tenant, project, key_id, kind, "
                      "resource, model_version, calls, quantity, input_bytes, output_bytes, "
                      "compute_micros, units) VALUES "
                      "(?, ?, 'acme', 'p', ?, 'inference', 'r', 'm', 1, 1, 0, 0, 0, ?)",
                      {id,
                       absl::ToUnixMicros(absl::UnixEpoch() +
                                          absl::Floor(time - absl::UnixEpoch(), absl::Hours(1))),
                       key, units})
                  .status();
            })
            .ok());
  }

  const TempDir dir_;
  const std::string url_;
  const std::unique_ptr<sql::Database> database_;
  SqlLimitStore store_;
};

TEST_P(LimitStoreTest, TellsWhatHasChangedSinceTheLastLook) {
  ASSERT_TRUE(store_.SetLimits(Requests("tenants/acme", 10), "").ok());
  ASSERT_TRUE(store_.SetPrice({.id = "p", .match = "*", .request = 5}).ok());
  auto look = store_.Look({});
  ASSERT_TRUE(look.ok()) << look.status();
  ASSERT_EQ(look->limits.size(), 1u);
  EXPECT_EQ(look->limits[0].limits, Requests("", 10).limits);
  EXPECT_TRUE(look->prices_changed);
  ASSERT_EQ(look->prices.size(), 1u);
  EXPECT_EQ(look->prices[0].request, 5);

  look = store_.Look(look->cursor);
  EXPECT_TRUE(look->limits.empty());
  EXPECT_FALSE(look->prices_changed);

  ASSERT_TRUE(store_.SetLimits(Requests("tenants/globex", 7), "").ok());
  look = store_.Look(look->cursor);
  ASSERT_EQ(look->limits.size(), 1u);
  EXPECT_EQ(look->limits[0].subject, "tenants/globex");
  EXPECT_FALSE(look->prices_changed);

  ASSERT_TRUE(store_.DeletePrice("p").ok());
  EXPECT_TRUE(absl::IsNotFound(store_.DeletePrice("p")));
  look = store_.Look(look->cursor);
  EXPECT_TRUE(look->prices_changed);
  EXPECT_TRUE(look->prices.empty());
}

TEST_P(LimitStoreTest, OneReplicaSeesWhatTheOtherLeaves) {
  ASSERT_TRUE(store_.Register("a").ok());
  ASSERT_TRUE(store_.Register("b").ok());
  ASSERT_TRUE(store_.SetLimits(Requests("tenants/acme", 1000), "").ok());
  const LeaseAnswer answer = Exchange("a", Report(Quantity::kRequests, 1, 100, 300));
  EXPECT_EQ(answer.granted, 300);
  EXPECT_EQ(answer.left, 600);
  const auto look = store_.Look({});
  // A file is one gateway's own.
  EXPECT_EQ(look->replicas, GetParam() == std::string("sqlite") ? 1 : 2);
  ASSERT_EQ(look->meters.size(), 1u);
  EXPECT_EQ(look->meters[0].subject, "tenants/acme");
  EXPECT_EQ(look->meters[0].quantity, Quantity::kRequests);
  EXPECT_EQ(look->meters[0].left, 600);
  EXPECT_LE(look->meters[0].frees_in, kWindow + kSlotTime);
  EXPECT_GE(look->meters[0].age, absl::ZeroDuration());
  EXPECT_EQ(Exchange("b", Report(Quantity::kRequests, 1, 50)).left, 550);
}

TEST_P(LimitStoreTest, ABudgetThatIsNotKnownIsReadFromTheLedger) {
  LimitsRecord record{.subject = "tenants/acme", .limits = {}};
  record.limits.most[Quantity::kBudget] = 1000;
  ASSERT_TRUE(store_.SetLimits(record, "").ok());
  const absl::Time now = Clock::Real().Now();
  Spend("1", "k1", 200, now);
  Spend("2", "k2", 40, now);
  Spend("3", "k1", 9999, now - absl::Hours(24 * 32));
  EXPECT_EQ(Exchange("a", Report(Quantity::kBudget, 1, 10)).left, 760);
  LeaseRequest of_key = Report(Quantity::kBudget, 1, 0);
  of_key.subject = "tenants/acme/keys/k1";
  EXPECT_EQ(Exchange("a", of_key).left, 800);
  EXPECT_EQ(store_.GetLimits("tenants/acme")->spent, 240);
}

TEST_P(LimitStoreTest, ExchangesAtOnceLoseNothing) {
  constexpr int kEach = 25;
  ASSERT_TRUE(store_.SetLimits(Requests("tenants/acme", 1000), "").ok());
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const auto database = Open();
        SqlLimitStore store(*database, Clock::Real());
        for (int report = 1; report <= kEach; ++report) {
          const LeaseRequest request = Report(Quantity::kRequests, report, 1, report % 3);
          // As LeaseKeeper does: what was not taken is sent again.
          while (!store.Exchange(std::to_string(i), 4, {request}).ok()) ++failed;
        }
        const LeaseRequest last = Report(Quantity::kRequests, kEach + 1, 0);
        while (!store.Exchange(std::to_string(i), 4, {last}).ok()) ++failed;
      });
    }
  }
  EXPECT_EQ(Exchange("0", Report(Quantity::kRequests, kEach + 2, 0)).left, 1000 - 4 * kEach);
}

TEST_P(LimitStoreTest, ADeletedTenantsLimitsGoAndLateReportsLeaveNothing) {
  const auto report = [&](const std::string& subject) {
    LeaseRequest request = Report(Quantity::kRequests, 1, 10, 5);
    request.subject = subject;
    EXPECT_EQ(Exchange("a", request).left, 985);
  };
  const std::vector<std::string> subjects = {"tenants/acme", "tenants/acme/keys/k1",
                                             "tenants/acme-2"};
  for (const std::string& subject : subjects) {
    ASSERT_TRUE(store_.SetLimits(Requests(subject, 1000), "").ok());
    report(subject);
  }
  const auto closed = store_.PurgeTenant("acme", /*remove=*/false);
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_FALSE(closed->done());
  ASSERT_EQ(closed->kinds_size(), 2);
  for (const auto& kind : closed->kinds()) EXPECT_EQ(kind.count(), 2) << kind.kind();
  const auto removed = store_.PurgeTenant("acme", /*remove=*/true);
  ASSERT_TRUE(removed.ok()) << removed.status();
  EXPECT_TRUE(removed->done());
  EXPECT_TRUE(IsEmpty(*removed));

  for (const std::string& subject : subjects) report(subject);
  const auto look = store_.Look({});
  ASSERT_EQ(look->limits.size(), 1u);
  ASSERT_EQ(look->meters.size(), 1u);
  EXPECT_EQ(look->meters[0].subject, "tenants/acme-2");
}

INSTANTIATE_TEST_SUITE_P(Databases, LimitStoreTest, ::testing::Values("sqlite", "postgresql"),
                         [](const auto& test) { return test.param; });

// One gateway, as far as its limits go.
struct Gateway {
  explicit Gateway(const std::string& url)
      : metrics("gateway"),
        database(sql::Database::Open(url).value()),
        store(*database, Clock::Real()),
        admission(absl::Minutes(5), metrics, Clock::Real()),
        keeper(store, admission, metrics, Clock::Real()) {
    EXPECT_TRUE(keeper.Refresh().ok());
    keeper.Start();
  }
  bool Call(const KnownKey& key) {
    auto permit = admission.Admit(key, nullptr);
    if (permit.ok()) permit->KeepRequest();
    return permit.ok();
  }

  Metrics metrics;
  std::unique_ptr<sql::Database> database;
  SqlLimitStore store;
  Admission admission;
  LeaseKeeper keeper;
};

TEST(LimitsOnPostgresTest, ThreeGatewaysTogetherKeepOneLimit) {
  const std::string url = TestPostgres::Shared().NewDatabase();
  const auto database = sql::Database::Open(url).value();
  ASSERT_TRUE(database->Migrate(Schema()).ok());
  SqlLimitStore store(*database, Clock::Real());
  LimitsRecord record{.subject = "tenants/acme", .limits = {}};
  record.limits.most[Quantity::kRequests] = 1000;
  ASSERT_TRUE(store.SetLimits(record, "").ok());

  const absl::Duration began = Clock::Real().Monotonic();
  std::vector<std::unique_ptr<Gateway>> gateways;
  for (int i = 0; i < 3; ++i) gateways.push_back(std::make_unique<Gateway>(url));
  KnownKey key;
  key.principal.tenant = "acme";
  key.principal.key_id = "k1";
  int admitted = 0;
  // As fast as it goes, from cold, until nearly all has passed; and then as much again.
  const auto flood = [&] {
    for (int i = 0; i < 300; ++i) admitted += gateways[i % 3]->Call(key);
    return admitted >= 950;
  };
  EXPECT_TRUE(Eventually(flood));
  for (int i = 0; i < 200; ++i) flood();
  const auto minutes = 1 + static_cast<int>((Clock::Real().Monotonic() - began) / kWindow);
  EXPECT_LE(admitted, 1020 * minutes);

  // A gateway that ends gives back what it has leased.
  gateways.clear();
  const auto left = store.Exchange("last", 1, {{.subject = "tenants/acme", .limit = 1000}});
  ASSERT_TRUE(left.ok()) << left.status();
  if (minutes == 1) {
    EXPECT_EQ(left->at(0).left, 1000 - admitted);
  }
}

}  // namespace
}  // namespace slipway::gateway
