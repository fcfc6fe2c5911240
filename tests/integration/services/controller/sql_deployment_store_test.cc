// The store on both databases.

#include "services/controller/sql_deployment_store.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"

namespace slipway::controller {
namespace {

class SqlDeploymentStoreTest : public testing::TestWithParam<sql::Dialect> {
 protected:
  SqlDeploymentStoreTest()
      : url_(GetParam() == sql::Dialect::kSqlite ? "sqlite:" + (dir_ / "controller.db")
                                                 : TestPostgres::Shared().NewDatabase()) {
    Reopen();
  }
  void Reopen() {
    store_.reset();
    auto store = SqlDeploymentStore::Open(url_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  static Deployment Make(const std::string& tenant, const std::string& id) {
    return {.name = {tenant, id},
            .model_version =
                *VersionReference::Parse("", "tenants/" + tenant + "/models/cnn/aliases/prod"),
            .pool = "default",
            .replicas = 2,
            .create_time = absl::FromUnixMicros(1'700'000'000'123'456),
            .update_time = absl::FromUnixMicros(1'700'000'001'123'456),
            .generation = 3};
  }
  Deployment Only() {
    const auto all = store_->All();
    EXPECT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->size(), 1u);
    return all->front();
  }

  TempDir dir_;
  const std::string url_;
  std::unique_ptr<SqlDeploymentStore> store_;
};

INSTANTIATE_TEST_SUITE_P(All, SqlDeploymentStoreTest,
                         testing::Values(sql::Dialect::kSqlite, sql::Dialect::kPostgres),
                         [](const auto& info) {
                           return info.param == sql::Dialect::kSqlite ? "Sqlite" : "Postgres";
                         });

TEST_P(SqlDeploymentStoreTest, KeepsEveryFieldThroughARestart) {
  Deployment made = Make("acme", "shoes");
  made.serving = VersionName{{"acme", "cnn"}, 4};
  made.request_id = "r1";
  made.deleting = true;
  made.runtime.set_runtime(slipway::worker::v1::RuntimeSettings::TORCH);
  made.runtime.set_precision(slipway::worker::v1::RuntimeSettings::BFLOAT16);
  made.runtime.mutable_batching()->set_max_rows(8);
  made.runtime.mutable_batching()->add_queues()->mutable_timeout()->set_nanos(5'000'000);
  made.unloaded = true;
  made.routing.set_sticky_header("x-session");
  made.routing.mutable_shadow()->set_percent(12.5);
  ASSERT_TRUE(store_->Create(made).ok());
  Reopen();
  const Deployment kept = Only();
  EXPECT_EQ(kept.name, made.name);
  EXPECT_EQ(kept.model_version, made.model_version);
  EXPECT_EQ(kept.pool, made.pool);
  EXPECT_EQ(kept.replicas, made.replicas);
  EXPECT_EQ(kept.deleting, made.deleting);
  EXPECT_EQ(kept.unloaded, made.unloaded);
  EXPECT_EQ(kept.serving, made.serving);
  EXPECT_EQ(kept.create_time, made.create_time);
  EXPECT_EQ(kept.update_time, made.update_time);
  EXPECT_EQ(kept.generation, made.generation);
  EXPECT_EQ(kept.request_id, made.request_id);
  EXPECT_EQ(kept.runtime.SerializeAsString(), made.runtime.SerializeAsString());
  EXPECT_EQ(kept.routing.SerializeAsString(), made.routing.SerializeAsString());
}

TEST_P(SqlDeploymentStoreTest, KeepsARolloutOverAReopening) {
  Deployment made = Make("acme", "shoes");
  made.rollout = {.strategy = Strategy::kCanary,
                  .percent = 7,
                  .steps = {1, 2, 3},
                  .step_time = absl::Milliseconds(1500),
                  .min_calls = 42,
                  .max_error_increase = 0.125,
                  .max_latency_ratio = 3,
                  .keep_previous = absl::Minutes(5)};
  ASSERT_TRUE(store_->Create(made).ok());
  EXPECT_EQ(Only().trial, std::nullopt);
  made.trial = Trial{.candidate = {{"acme", "cnn"}, 2},
                     .stable = {{"acme", "cnn"}, 1},
                     .phase = Trial::Phase::kRolledBack,
                     .step = 2,
                     .since = absl::FromUnixMicros(123'456'789),
                     .reason = "50% of \"calls\" failed"};
  ASSERT_TRUE(store_->Update(made).ok());
  Reopen();
  EXPECT_EQ(Only().rollout, made.rollout);
  EXPECT_EQ(Only().trial, made.trial);
}

TEST_P(SqlDeploymentStoreTest, ARowOfBeforeRolloutsAndRoutingHasTheDefaults) {
  ASSERT_TRUE(store_->Create(Make("acme", "shoes")).ok());
  const auto database = sql::Database::Open(url_);
  ASSERT_TRUE(database.ok());
  ASSERT_TRUE(
      (*database)
          ->Write([](sql::Transaction& tx) {
            return tx.Execute("UPDATE deployments SET rollout = NULL, routing = NULL").status();
          })
          .ok());
  EXPECT_EQ(Only().rollout, RolloutPolicy());
  EXPECT_EQ(Only().routing.SerializeAsString(), "");
}

TEST_P(SqlDeploymentStoreTest, RefusesANameTwice) {
  ASSERT_TRUE(store_->Create(Make("acme", "shoes")).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(store_->Create(Make("acme", "shoes"))));
  EXPECT_TRUE(store_->Create(Make("other", "shoes")).ok());
}

TEST_P(SqlDeploymentStoreTest, RefusesARequestIdTwiceInATenant) {
  Deployment first = Make("acme", "shoes");
  first.request_id = "r1";
  Deployment second = Make("acme", "boots");
  second.request_id = "r1";
  Deployment elsewhere = Make("other", "shoes");
  elsewhere.request_id = "r1";
  ASSERT_TRUE(store_->Create(first).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(store_->Create(second)));
  EXPECT_TRUE(store_->Create(elsewhere).ok());
  // None is not an id.
  EXPECT_TRUE(store_->Create(Make("acme", "a")).ok());
  EXPECT_TRUE(store_->Create(Make("acme", "b")).ok());
}

TEST_P(SqlDeploymentStoreTest, UpdatesWhatIsThere) {
  Deployment deployment = Make("acme", "shoes");
  EXPECT_TRUE(absl::IsNotFound(store_->Update(deployment)));
  ASSERT_TRUE(store_->Create(deployment).ok());
  deployment.model_version = VersionReference(VersionName{{"acme", "cnn"}, 9});
  deployment.serving = VersionName{{"acme", "cnn"}, 9};
  deployment.pool = "gpu";
  deployment.replicas = 1;
  deployment.generation = 4;
  deployment.unloaded = true;
  ASSERT_TRUE(store_->Update(deployment).ok());
  EXPECT_EQ(Only().model_version, deployment.model_version);
  EXPECT_EQ(Only().serving, deployment.serving);
  EXPECT_EQ(Only().pool, "gpu");
  EXPECT_TRUE(Only().unloaded);
  EXPECT_EQ(Only().generation, 4);
}

TEST_P(SqlDeploymentStoreTest, RemovesAndListsInOrder) {
  for (const char* id : {"c", "a", "b"}) ASSERT_TRUE(store_->Create(Make("acme", id)).ok());
  ASSERT_TRUE(store_->Remove({"acme", "b"}).ok());
  ASSERT_TRUE(store_->Remove({"acme", "b"}).ok());
  const auto all = store_->All();
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ(all->at(0).name.id, "a");
  EXPECT_EQ(all->at(1).name.id, "c");
}

TEST_P(SqlDeploymentStoreTest, ARowThatNobodyOfOursWroteIsDataLoss) {
  ASSERT_TRUE(store_->Create(Make("acme", "shoes")).ok());
  const auto database = sql::Database::Open(url_);
  ASSERT_TRUE(database.ok());
  ASSERT_TRUE((*database)
                  ->Write([](sql::Transaction& tx) {
                    return tx.Execute("UPDATE deployments SET model_version = 'rubbish'").status();
                  })
                  .ok());
  const auto all = store_->All();
  EXPECT_TRUE(absl::IsDataLoss(all.status())) << all.status();
  EXPECT_THAT(std::string(all.status().message()), testing::HasSubstr("acme/shoes"));
}

}  // namespace
}  // namespace slipway::controller
