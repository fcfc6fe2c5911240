// The walk that deletes a tenant, on a real database, with keepers that are killed at every step.
#include "services/gateway/identity/tenant_deleter.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/identity/tenant_content.h"
#include "common/sql/database.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/gateway/identity/identity_service.h"
#include "services/gateway/schema.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace slipway::gateway {
namespace {

using identity::v1::PurgeTenantResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A service with things of tenants; it outlives the gateway.
struct FakeKeeper {
  std::map<std::string, std::set<std::string>> things;
  std::set<std::string> closed;
  int busy = 0;  // so often something still has to end

  absl::StatusOr<PurgeTenantResponse> Purge(const std::string& tenant, bool remove) {
    closed.insert(tenant);
    const bool gone = remove && busy == 0;
    if (remove && busy > 0) --busy;
    if (gone) things.erase(tenant);
    PurgeTenantResponse content;
    const auto& left = things[tenant];
    AddKind("things", {left.begin(), left.end()}, content);
    content.set_done(gone);
    return content;
  }
};

class TenantDeleterTest : public ::testing::Test {
 protected:
  TenantDeleterTest() {
    EXPECT_TRUE(Peppers::Create(folder_ / "pepper").ok());
    Restart();
    for (const char* tenant : {"acme", "globex"}) {
      v1::CreateTenantRequest make;
      make.set_tenant_id(tenant);
      EXPECT_TRUE(service_->CreateTenant(make).ok());
      v1::CreateApiKeyRequest key;
      key.set_parent(std::string("tenants/") + tenant);
      key.mutable_api_key()->set_role(options::v1::ROLE_OWNER);
      Principal owner;
      owner.role = Role::kOwner;
      keys_[tenant] = service_->CreateApiKey(owner, key)->secret();
      BeginBatch(tenant);
    }
    for (FakeKeeper* keeper : {&controller_, &registry_}) {
      keeper->things = {{"acme", {"a1", "a2"}}, {"globex", {"g1"}}};
    }
  }

  // One whose first line is done.
  void BeginBatch(const std::string& tenant) {
    const absl::Status begun = database_->Write([&](sql::Transaction& tx) -> absl::Status {
      const std::string batch = "batch-of-" + tenant;
      RETURN_IF_ERROR(tx.Execute("INSERT INTO batches (tenant, id, body, ended, outcome, "
                                 "next_line, next_offset, stalls, held, due, fence) "
                                 "VALUES (?, ?, ?, 0, 0, 1, 0, 0, 0, 0, 0)",
                                 {tenant, batch, sql::Blob{"body"}})
                          .status());
      return tx
          .Execute(
              "INSERT INTO batch_lines (batch, line, done, failed, attempts, result) "
              "VALUES (?, 1, 1, 0, 0, ?)",
              {batch, sql::Blob{"result"}})
          .status();
    });
    EXPECT_TRUE(begun.ok()) << begun;
  }
  std::vector<std::string> BatchesWithLines() {
    std::vector<std::string> batches;
    const absl::Status read = database_->Read([&](sql::Transaction& tx) {
      batches.clear();
      return tx.ForEach("SELECT batch FROM batch_lines", {}, [&](const sql::Row& row) {
        batches.push_back(row.GetString(0));
        return absl::OkStatus();
      });
    });
    EXPECT_TRUE(read.ok()) << read;
    return batches;
  }

  // As after kill -9: all that was only in memory is gone.
  void Restart() {
    deleter_ = nullptr;
    service_ = nullptr;
    feed_ = nullptr;
    table_ = nullptr;
    deletions_ = nullptr;
    store_ = nullptr;
    database_ = nullptr;
    database_ = sql::Database::Open("sqlite:" + (folder_ / "g.db")).value();
    EXPECT_TRUE(database_->Migrate(Schema()).ok());
    store_ = std::make_unique<SqlIdentityStore>(*database_);
    deletions_ = std::make_unique<TenantDeletions>(*database_);
    table_ = std::make_unique<KeyTable>(Peppers::Load(folder_ / "pepper").value(),
                                        KeyTable::Limits{}, clock_);
    feed_ = std::make_unique<KeyFeed>(*store_, *table_, absl::Seconds(1), clock_);
    EXPECT_TRUE(feed_->Refresh().ok());
    service_ =
        std::make_unique<IdentityService>(*store_, *feed_, table_->peppers(), "test", clock_);
    deleter_ = NewDeleter();
  }

  std::unique_ptr<TenantDeleter> NewDeleter() {
    // The answer of call number `kill_at_` never comes: the gateway was killed meanwhile.
    const auto killed = [this](absl::Status status) {
      return ++calls_ == kill_at_ ? absl::UnavailableError("killed") : std::move(status);
    };
    const auto keeper = [killed](FakeKeeper& fake) {
      return [&fake, killed](const std::string& tenant,
                             bool remove) -> absl::StatusOr<PurgeTenantResponse> {
        auto content = fake.Purge(tenant, remove);
        RETURN_IF_ERROR(killed(content.status()));
        return content;
      };
    };
    std::vector<TenantKeeper> keepers = {
        {"controller", keeper(controller_)},
        {"registry", keeper(registry_)},
        {"identity",
         [this, killed](const std::string& tenant,
                        bool remove) -> absl::StatusOr<PurgeTenantResponse> {
           auto content = deletions_->PurgeIdentity(tenant, remove);
           RETURN_IF_ERROR(killed(content.status()));
           return content;
         }}};
    return std::make_unique<TenantDeleter>(
        *deletions_, *feed_, std::move(keepers),
        [this, killed](const std::string& tenant, const v1::TenantDeletion& deletion) {
          vouched_.insert(tenant + " " + deletion.report_sha256());
          return killed(absl::OkStatus());
        },
        absl::Seconds(1), clock_);
  }

  void Begin() {
    v1::DeleteTenantRequest request;
    request.set_name("tenants/acme");
    Principal who;
    who.key_id = "koperator";
    ASSERT_TRUE(deleter_->DeleteTenant(who, request).ok());
  }

  v1::TenantDeletion Deletion() {
    v1::GetTenantDeletionRequest request;
    request.set_name("tenants/acme/deletion");
    return deleter_->GetTenantDeletion(request).value();
  }

  void ExpectDeleted() {
    const v1::TenantDeletion deletion = Deletion();
    EXPECT_EQ(deletion.state(), v1::TenantDeletion::DONE);
    EXPECT_EQ(deletion.requested_by(), "koperator");
    std::vector<std::string> removed;
    for (const auto& part : deletion.parts()) {
      EXPECT_TRUE(part.removed()) << part.service();
      for (const auto& removal : part.removals()) {
        removed.push_back(fmt::format("{} {} {}", part.service(), removal.kind(), removal.count()));
      }
    }
    EXPECT_THAT(removed,
                ElementsAre("controller things 2", "registry things 2", "identity batches 1",
                            "identity keys 1", "identity projects 1"));
    EXPECT_EQ(deletion.parts(0).removals(0).names_sha256(), Sha256Hex("a1\na2\n"));
    EXPECT_EQ(deletion.report_sha256(), Sha256Hex(deletion.report()));
    EXPECT_THAT(deletion.report(), HasSubstr("registry things 2 " + Sha256Hex("a1\na2\n")));
    EXPECT_THAT(vouched_, ElementsAre("acme " + deletion.report_sha256()));

    EXPECT_EQ(store_->GetTenant("acme")->state, TenantState::kDeleted);
    EXPECT_THAT(*store_->ListKeys("acme", "", 10), SizeIs(0));
    EXPECT_THAT(*store_->ListProjects("acme", "", 10), SizeIs(0));
    EXPECT_TRUE(absl::IsUnauthenticated(table_->Authenticate(keys_["acme"], "").status()));
    v1::CreateTenantRequest again;
    again.set_tenant_id("acme");
    EXPECT_TRUE(absl::IsAlreadyExists(service_->CreateTenant(again).status()));

    // The other tenant has what it had.
    for (const FakeKeeper* keeper : {&controller_, &registry_}) {
      EXPECT_THAT(keeper->things.at("globex"), ElementsAre("g1"));
      EXPECT_THAT(keeper->closed, ElementsAre("acme"));
    }
    EXPECT_TRUE(table_->Authenticate(keys_["globex"], "").ok());
    EXPECT_EQ(store_->GetTenant("globex")->state, TenantState::kActive);
    EXPECT_THAT(*store_->ListProjects("globex", "", 10), SizeIs(1));
    EXPECT_THAT(BatchesWithLines(), ElementsAre("batch-of-globex"));
  }

  TempDir folder_;
  FakeClock clock_;
  FakeKeeper controller_;
  FakeKeeper registry_;
  std::set<std::string> vouched_;
  std::map<std::string, std::string> keys_;
  int calls_ = 0;
  int kill_at_ = 0;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<SqlIdentityStore> store_;
  std::unique_ptr<TenantDeletions> deletions_;
  std::unique_ptr<KeyTable> table_;
  std::unique_ptr<KeyFeed> feed_;
  std::unique_ptr<IdentityService> service_;
  std::unique_ptr<TenantDeleter> deleter_;
};

TEST_F(TenantDeleterTest, StopsTheCallsBeforeAnythingElse) {
  Begin();
  EXPECT_TRUE(absl::IsUnauthenticated(table_->Authenticate(keys_["acme"], "").status()));
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(store_->GetTenant("acme")->state, TenantState::kDeleting);
  v1::ResumeTenantRequest resume;
  resume.set_name("tenants/acme");
  EXPECT_EQ(service_->ResumeTenant(resume).status(), NotFound("tenants/acme"));
  v1::CreateApiKeyRequest key;
  key.set_parent("tenants/acme");
  key.mutable_api_key()->set_role(options::v1::ROLE_VIEWER);
  Principal who;
  who.role = Role::kOperator;
  EXPECT_EQ(service_->CreateApiKey(who, key).status(), NotFound("tenants/acme"));
}

TEST_F(TenantDeleterTest, GoesOnAfterAKillBetweenEveryTwoSteps) {
  Begin();
  int steps = 0;
  for (absl::StatusOr<bool> done = false; !*done;) {
    Restart();
    done = deleter_->Step("acme");
    ASSERT_TRUE(done.ok()) << done.status();
    ASSERT_LT(++steps, 20);
  }
  // Closed and removed, three times; the report; its end.
  EXPECT_EQ(steps, 8);
  ExpectDeleted();
  Restart();
  EXPECT_TRUE(*deleter_->Step("acme"));
}

// Once for each call that the walk makes: its work is done, and nobody hears of it.
class TenantDeleterKillTest : public TenantDeleterTest,
                              public ::testing::WithParamInterface<int> {};

TEST_P(TenantDeleterKillTest, GoesOnAfterAKillWithinAStep) {
  Begin();
  kill_at_ = GetParam();
  bool was_killed = false;
  for (int steps = 0; steps < 20; ++steps) {
    const absl::StatusOr<bool> done = deleter_->Step("acme");
    if (done.ok() && *done) break;
    if (done.ok()) continue;
    EXPECT_THAT(std::string(done.status().message()), HasSubstr("killed"));
    was_killed = true;
    Restart();
  }
  EXPECT_TRUE(was_killed);
  ExpectDeleted();
}

// Three closed, three removed, three asked again, one vouched for.
INSTANTIATE_TEST_SUITE_P(EachCall, TenantDeleterKillTest, ::testing::Range(1, 11));

TEST_F(TenantDeleterTest, WaitsForWhatIsUnderWayAndSaysSo) {
  controller_.busy = 2;
  Begin();
  ASSERT_TRUE(deleter_->Step("acme").ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(deleter_->Step("acme").status()));
    EXPECT_EQ(registry_.closed.size(), 0u);
  }
  for (absl::StatusOr<bool> done = false; !*done;) {
    done = deleter_->Step("acme");
    ASSERT_TRUE(done.ok()) << done.status();
  }
  ExpectDeleted();
}

TEST_F(TenantDeleterTest, WhatAppearsBeforeTheEndGoesToo) {
  Begin();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(deleter_->Step("acme").ok());
  // The controller was closed first, and something slipped through before the registry was.
  controller_.things["acme"] = {"a3"};
  ASSERT_TRUE(deleter_->Step("acme").ok());
  EXPECT_EQ(controller_.things.count("acme"), 1u);
  EXPECT_THAT(controller_.things["acme"], SizeIs(0));
}

TEST_F(TenantDeleterTest, OfTwoReplicasOneGoesOn) {
  Begin();
  const auto stale = deletions_->Get("acme");
  ASSERT_TRUE(deleter_->Step("acme").ok());
  EXPECT_TRUE(absl::IsAborted(deletions_->Save(*stale)));
  EXPECT_TRUE(absl::IsAborted(deletions_->Finish(*stale)));
  EXPECT_EQ(store_->GetTenant("acme")->state, TenantState::kDeleting);
  EXPECT_THAT(Deletion().parts(), SizeIs(1));
}

TEST_F(TenantDeleterTest, AskingAgainChangesNothing) {
  Begin();
  ASSERT_TRUE(deleter_->Step("acme").ok());
  const std::string before = Deletion().SerializeAsString();
  clock_.Advance(absl::Hours(1));
  Begin();
  EXPECT_EQ(Deletion().SerializeAsString(), before);
  v1::DeleteTenantRequest nobody;
  nobody.set_name("tenants/nobody");
  EXPECT_EQ(deleter_->DeleteTenant(Principal(), nobody).status(), NotFound("tenants/nobody"));
}

}  // namespace
}  // namespace slipway::gateway
