// What the job store must do on both databases: each test runs on a real SQLite file and on a real
// PostgreSQL.
#include "services/training/sql_job_store.h"

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/example_spec.h"

namespace slipway::training {
namespace {

using google::protobuf::util::MessageDifferencer;
using sql::Dialect;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using v1::TrainingJob;

constexpr int64_t kNoLimit = 1'000'000;
const absl::Time kT0 = absl::FromUnixMicros(1'700'000'000'123'456);

class SqlJobStoreTest : public ::testing::TestWithParam<Dialect> {
 protected:
  SqlJobStoreTest()
      : url_(GetParam() == Dialect::kSqlite ? "sqlite:" + (dir_ / "training.db")
                                            : TestPostgres::Shared().NewDatabase()) {
    Reopen();
  }

  void Reopen() {
    store_.reset();
    database_.reset();
    auto database = sql::Database::Open(url_);
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto store = SqlJobStore::Create(*database_, {.keep_newest = 5, .keep_every = 3});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  static Job Make(const std::string& tenant, const std::string& id,
                  const std::string& request_id = "") {
    Job job;
    job.name = {tenant, id};
    job.key_id = "k1";
    job.request_id = request_id;
    job.request_hash = "hash";
    job.spec = ExampleSpec();
    job.dataset.set_name("tenants/" + tenant + "/datasets/digits");
    job.priority = -3;
    job.create_time = kT0;
    job.attempt_start = kT0;
    job.attempt_seen = kT0;
    return job;
  }

  absl::StatusOr<Job> Insert(Job job, int64_t limit = kNoLimit) {
    Effects effects;
    Enqueue(job, kT0, effects);
    return store_->Insert(job, effects, limit);
  }

  absl::StatusOr<Job> Start(const JobName& name) {
    return store_->Update(
        name, [](Job& job, Effects& effects) { return StartAttempt(job, kT0, effects); });
  }

  absl::StatusOr<Job> ReportSteps(const JobName& name, int64_t first, int64_t count) {
    google::protobuf::RepeatedPtrField<v1::Event> events;
    for (int64_t i = 0; i < count; ++i) events.Add()->mutable_progress()->set_step(first + i);
    return store_->Update(
        name, [&](Job& job, Effects& effects) { return Report(job, events, kT0, effects); });
  }

  std::vector<int64_t> StepsKept(const JobName& name) {
    std::vector<int64_t> steps;
    const auto events = store_->ListEvents(name, 0, 1000);
    for (const v1::Event& event : *events) {
      if (event.has_progress()) steps.push_back(event.progress().step());
    }
    return steps;
  }

  const TempDir dir_;
  const std::string url_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<SqlJobStore> store_;
};

INSTANTIATE_TEST_SUITE_P(All, SqlJobStoreTest,
                         ::testing::Values(Dialect::kSqlite, Dialect::kPostgres),
                         [](const auto& info) {
                           return info.param == Dialect::kSqlite ? "Sqlite" : "Postgres";
                         });

void ExpectSame(const Job& a, const Job& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.order, b.order);
  EXPECT_EQ(a.key_id, b.key_id);
  EXPECT_EQ(a.request_id, b.request_id);
  EXPECT_EQ(a.request_hash, b.request_hash);
  EXPECT_TRUE(MessageDifferencer::Equals(a.spec, b.spec));
  EXPECT_TRUE(MessageDifferencer::Equals(a.dataset, b.dataset));
  ASSERT_EQ(a.base.has_value(), b.base.has_value());
  if (a.base.has_value()) {
    EXPECT_TRUE(MessageDifferencer::Equals(*a.base, *b.base));
  }
  EXPECT_EQ(a.priority, b.priority);
  EXPECT_EQ(a.state, b.state);
  EXPECT_EQ(a.create_time, b.create_time);
  EXPECT_EQ(a.start_time, b.start_time);
  EXPECT_EQ(a.end_time, b.end_time);
  EXPECT_EQ(a.attempts, b.attempts);
  EXPECT_EQ(a.failures, b.failures);
  EXPECT_EQ(a.not_before, b.not_before);
  EXPECT_EQ(a.attempt_start, b.attempt_start);
  EXPECT_EQ(a.attempt_seen, b.attempt_seen);
  EXPECT_EQ(a.used, b.used);
  EXPECT_EQ(a.cancel_requested, b.cancel_requested);
  EXPECT_EQ(a.pause_requested, b.pause_requested);
  ASSERT_EQ(a.result.has_value(), b.result.has_value());
  if (a.result.has_value()) {
    EXPECT_TRUE(MessageDifferencer::Equals(a.result->artifact, b.result->artifact));
    EXPECT_TRUE(MessageDifferencer::Equals(a.result->signature, b.result->signature));
    EXPECT_EQ(a.result->metrics, b.result->metrics);
    EXPECT_EQ(a.result->labels, b.result->labels);
    EXPECT_EQ(a.result->code_version, b.result->code_version);
  }
  EXPECT_TRUE(MessageDifferencer::Equals(a.progress, b.progress));
  EXPECT_EQ(a.metrics, b.metrics);
  EXPECT_EQ(a.model_version, b.model_version);
  EXPECT_EQ(a.error, b.error);
  EXPECT_EQ(a.last_sequence, b.last_sequence);
  EXPECT_EQ(a.progress_events, b.progress_events);
  EXPECT_EQ(a.log_lines, b.log_lines);
}

TEST_P(SqlJobStoreTest, KeepsEverythingOfAJobThroughARestart) {
  Job first = Make("acme", "first", "r-1");
  first.base.emplace().set_name("tenants/acme/models/m/versions/3");
  ASSERT_TRUE(Insert(first).ok());
  const auto changed = store_->Update({"acme", "first"}, [](Job& job, Effects& effects) {
    RETURN_IF_ERROR(StartAttempt(job, kT0 + absl::Seconds(1), effects));
    google::protobuf::RepeatedPtrField<v1::Event> events;
    events.Add()->mutable_progress()->set_loss(0.25);
    events.Add()->mutable_log()->set_severity("info");
    RETURN_IF_ERROR(Report(job, events, kT0 + absl::Seconds(2), effects));
    job.failures = 2;
    job.not_before = kT0 + absl::Seconds(9);
    Result result;
    result.artifact.set_digest("sha256:ab");
    result.signature.add_inputs()->set_name("x");
    result.metrics["accuracy"] = 1.0 / 3;
    result.labels = {"shirt", "shoe"};
    result.code_version = "0.1.0";
    return AcceptResult(job, result, kT0 + absl::Seconds(3), effects);
  });
  ASSERT_TRUE(changed.ok()) << changed.status();
  Reopen();
  const auto kept = store_->Get({"acme", "first"});
  ASSERT_TRUE(kept.ok()) << kept.status();
  ExpectSame(*changed, *kept);
  EXPECT_EQ(kept->not_before, kT0 + absl::Seconds(9));

  const auto done = store_->Update({"acme", "first"}, [](Job& job, Effects& effects) {
    return Succeed(job, "tenants/acme/models/m/versions/1", kT0 + absl::Seconds(5), effects);
  });
  ASSERT_TRUE(done.ok());
  Reopen();
  ExpectSame(*done, *store_->Get({"acme", "first"}));
}

TEST_P(SqlJobStoreTest, KeepsThatARunningJobIsToBeCancelledThroughARestart) {
  ASSERT_TRUE(Insert(Make("acme", "first")).ok());
  ASSERT_TRUE(Start({"acme", "first"}).ok());
  const auto cancel = [](Job& job, Effects& effects) { return RequestCancel(job, kT0, effects); };
  ASSERT_TRUE(store_->Update({"acme", "first"}, cancel).ok());
  Reopen();
  const auto job = store_->Get({"acme", "first"});
  EXPECT_EQ(job->state, TrainingJob::RUNNING);
  EXPECT_TRUE(job->cancel_requested);
}

TEST_P(SqlJobStoreTest, APausedJobIsNotOverAndStaysPausedThroughARestart) {
  const auto pause = [](Job& job, Effects& effects) { return RequestPause(job, kT0, effects); };
  ASSERT_TRUE(Insert(Make("acme", "queued")).ok());
  ASSERT_TRUE(Insert(Make("acme", "running")).ok());
  ASSERT_TRUE(Start({"acme", "running"}).ok());
  ASSERT_TRUE(store_->Update({"acme", "queued"}, pause).ok());
  ASSERT_TRUE(store_->Update({"acme", "running"}, pause).ok());
  Reopen();
  const auto unfinished = store_->ListUnfinished();
  ASSERT_TRUE(unfinished.ok()) << unfinished.status();
  ASSERT_EQ(unfinished->size(), 2u);
  EXPECT_EQ((*unfinished)[0].state, TrainingJob::PAUSED);
  EXPECT_TRUE((*unfinished)[1].pause_requested);
}

TEST_P(SqlJobStoreTest, KeepsTheDatasetThatAJobGetsLater) {
  Job job = Make("acme", "first");
  job.spec.mutable_data()->mutable_source()->set_store("lake");
  job.dataset.clear_name();
  ASSERT_TRUE(Insert(job).ok());
  registry::v1::Dataset dataset;
  dataset.set_name("tenants/acme/datasets/objects-1");
  dataset.set_digest("sha256:1");
  ASSERT_TRUE(store_->Get({"acme", "first"})->lacks_dataset());
  const auto taken = store_->Update({"acme", "first"}, [&](Job& job, Effects& effects) {
    return TakeDataset(job, dataset, kT0, effects);
  });
  ASSERT_TRUE(taken.ok()) << taken.status();
  Reopen();
  EXPECT_EQ(store_->Get({"acme", "first"})->dataset.digest(), "sha256:1");
}

TEST_P(SqlJobStoreTest, AJobThatWasNotMadeIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->Get({"acme", "none"}).status()));
  EXPECT_TRUE(absl::IsNotFound(Start({"acme", "none"}).status()));
  EXPECT_THAT(*store_->ListEvents({"acme", "none"}, 0, 10), IsEmpty());
}

TEST_P(SqlJobStoreTest, ATakenNameIsRefused) {
  ASSERT_TRUE(Insert(Make("acme", "first")).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Insert(Make("acme", "first")).status()));
  EXPECT_TRUE(Insert(Make("rival", "first")).ok());
}

TEST_P(SqlJobStoreTest, ARequestIdAnswersTheJobThatItMade) {
  const auto first = Insert(Make("acme", "first", "r-1"));
  ASSERT_TRUE(first.ok());
  Job repeated = Make("acme", "second", "r-1");
  repeated.request_hash = "other";
  const auto again = Insert(repeated);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name.id, "first");
  EXPECT_EQ(again->request_hash, "hash");
  EXPECT_EQ((*store_->FindByRequestId("acme", "r-1"))->name.id, "first");
  EXPECT_FALSE(store_->FindByRequestId("rival", "r-1")->has_value());
  // No request id is nobody's.
  EXPECT_TRUE(Insert(Make("acme", "third")).ok());
  EXPECT_TRUE(Insert(Make("acme", "fourth")).ok());
}

// The same ids, also those of requests: each tenant has its own.
TEST_P(SqlJobStoreTest, TwoTenantsShareNothing) {
  const JobName ours{"acme", "first"};
  const JobName theirs{"rival", "first"};
  ASSERT_TRUE(Insert(Make("acme", "first", "r-1")).ok());
  const auto inserted = Insert(Make("rival", "first", "r-1"));
  ASSERT_TRUE(inserted.ok()) << inserted.status();
  EXPECT_EQ(inserted->name, theirs);
  for (const JobName& name : {ours, theirs}) {
    EXPECT_EQ(store_->Get(name)->name, name);
    EXPECT_EQ((*store_->FindByRequestId(name.tenant, "r-1"))->name, name);
    ASSERT_EQ(store_->List(name.tenant, INT64_MAX, 10)->size(), 1u);
    EXPECT_EQ(store_->List(name.tenant, INT64_MAX, 10)->front().name, name);
  }
  ASSERT_TRUE(Start(theirs).ok());
  EXPECT_EQ(store_->Get(ours)->state, TrainingJob::QUEUED);
  EXPECT_EQ(store_->Get(theirs)->state, TrainingJob::RUNNING);
  EXPECT_EQ(store_->ListEvents(ours, 0, 10)->size(), 1u);
  EXPECT_EQ(store_->ListEvents(theirs, 0, 10)->size(), 2u);
}

TEST_P(SqlJobStoreTest, AClosedTenantGetsNoJobsAndARemovedOneHasNone) {
  for (const char* tenant : {"acme", "rival"}) {
    ASSERT_TRUE(Insert(Make(tenant, "a", "r1")).ok());
    ASSERT_TRUE(Start({tenant, "a"}).ok());
  }
  EXPECT_THAT(*store_->CloseTenant("acme"), ElementsAre(JobName{"acme", "a"}));
  Reopen();
  EXPECT_EQ(Insert(Make("acme", "b")).status(), NotFound("tenants/acme"));
  EXPECT_EQ(Insert(Make("acme", "a", "r1")).status(), NotFound("tenants/acme"));
  EXPECT_THAT(*store_->CloseTenant("acme"), ElementsAre(JobName{"acme", "a"}));

  ASSERT_TRUE(store_->RemoveTenant("acme").ok());
  EXPECT_THAT(*store_->CloseTenant("acme"), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(store_->Get({"acme", "a"}).status()));
  EXPECT_EQ(store_->Get({"rival", "a"})->state, TrainingJob::RUNNING);
  EXPECT_EQ(store_->ListEvents({"rival", "a"}, 0, 10)->size(), 2u);
  EXPECT_TRUE(Insert(Make("rival", "b")).ok());
  auto database = sql::Database::Open(url_).value();
  ASSERT_TRUE(database
                  ->Read([](sql::Transaction& tx) -> absl::Status {
                    ASSIGN_OR_RETURN(const auto events, tx.QueryOne("SELECT COUNT(*) FROM events"));
                    // Of rival's two jobs.
                    EXPECT_EQ(events->GetInt(0), 3);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(SqlJobStoreTest, ConcurrentRepetitionsMakeOneJob) {
  constexpr int kCallers = 8;
  std::vector<std::string> made(kCallers);
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < kCallers; ++i) {
      callers.emplace_back([&, i] {
        const auto job = Insert(Make("acme", "job-" + std::to_string(i), "r-1"));
        ASSERT_TRUE(job.ok()) << job.status();
        made[static_cast<size_t>(i)] = job->name.id;
      });
    }
  }
  EXPECT_EQ(std::set<std::string>(made.begin(), made.end()).size(), 1u);
  EXPECT_EQ(store_->ListUnfinished()->size(), 1u);
}

TEST_P(SqlJobStoreTest, ATenantHasOnlySoManyUnfinishedJobs) {
  ASSERT_TRUE(Insert(Make("acme", "first"), 1).ok());
  const auto second = Insert(Make("acme", "second"), 1);
  EXPECT_TRUE(absl::IsResourceExhausted(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("tenants/acme has 1 jobs"));
  EXPECT_TRUE(Insert(Make("rival", "first"), 1).ok());
  ASSERT_TRUE(
      store_
          ->Update({"acme", "first"},
                   [](Job& job, Effects& effects) { return RequestCancel(job, kT0, effects); })
          .ok());
  EXPECT_TRUE(Insert(Make("acme", "second"), 1).ok());
}

TEST_P(SqlJobStoreTest, ListsNewestFirstAndUnfinishedOldestFirst) {
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Insert(Make("acme", id)).ok());
  ASSERT_TRUE(Insert(Make("rival", "x")).ok());
  ASSERT_TRUE(Start({"acme", "b"}).ok());
  ASSERT_TRUE(
      store_
          ->Update({"acme", "c"},
                   [](Job& job, Effects& effects) { return RequestCancel(job, kT0, effects); })
          .ok());
  const auto ids = [](const absl::StatusOr<std::vector<Job>>& jobs) {
    std::vector<std::string> out;
    for (const Job& job : *jobs) out.push_back(job.name.id);
    return out;
  };
  const auto all = store_->List("acme", INT64_MAX, 10);
  EXPECT_THAT(ids(all), ElementsAre("c", "b", "a"));
  EXPECT_THAT(ids(store_->List("acme", (*all)[0].order, 1)), ElementsAre("b"));
  EXPECT_THAT(ids(store_->ListUnfinished()), ElementsAre("a", "b", "x"));
}

TEST_P(SqlJobStoreTest, KeepsTrialsBelowTheirSearch) {
  ASSERT_TRUE(Insert(Make("acme", "find")).ok());
  for (const int index : {0, 1}) {
    Job trial = Make("acme", "find-" + std::to_string(index));
    trial.search = "find";
    trial.trial.set_index(index);
    (*trial.trial.mutable_values())["training.epochs"].set_number_value(3);
    ASSERT_TRUE(Insert(trial).ok());
  }
  // Of another tenant's search of the same name.
  Job other = Make("rival", "find-0");
  other.search = "find";
  ASSERT_TRUE(Insert(other).ok());
  ASSERT_TRUE(Start({"acme", "find-1"}).ok());
  Result result;
  result.metrics["validation_loss"] = 0.5;
  ASSERT_TRUE(store_
                  ->Update({"acme", "find-1"},
                           [&](Job& job, Effects& effects) {
                             return AcceptResult(job, result, kT0, effects);
                           })
                  .ok());
  Reopen();
  const auto trials = store_->ListTrials({"acme", "find"});
  ASSERT_TRUE(trials.ok()) << trials.status();
  ASSERT_EQ(trials->size(), 2u);
  EXPECT_EQ((*trials)[1].name.id, "find-1");
  EXPECT_EQ((*trials)[1].search, "find");
  EXPECT_EQ((*trials)[1].trial.index(), 1);
  EXPECT_EQ((*trials)[1].trial.values().at("training.epochs").number_value(), 3);
  // It is over, and its result is there to be registered.
  EXPECT_EQ((*trials)[1].state, TrainingJob::SUCCEEDED);
  ASSERT_TRUE((*trials)[1].result.has_value());
  EXPECT_EQ((*trials)[1].result->metrics.at("validation_loss"), 0.5);
  const auto listed = store_->List("acme", INT64_MAX, 10);
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->front().name.id, "find");
  const auto succeeded = store_->ListSucceeded(10);
  ASSERT_EQ(succeeded->size(), 1u);
  EXPECT_EQ(succeeded->front().name.id, "find-1");
}

TEST_P(SqlJobStoreTest, ARefusedChangeLeavesNothing) {
  ASSERT_TRUE(Insert(Make("acme", "first")).ok());
  const auto refused = store_->Update({"acme", "first"}, [](Job& job, Effects& effects) {
    EXPECT_TRUE(StartAttempt(job, kT0, effects).ok());
    return absl::AbortedError("too late");
  });
  EXPECT_TRUE(absl::IsAborted(refused.status()));
  EXPECT_EQ(store_->Get({"acme", "first"})->state, TrainingJob::QUEUED);
  EXPECT_EQ(store_->ListEvents({"acme", "first"}, 0, 10)->size(), 1u);
}

TEST_P(SqlJobStoreTest, ConcurrentChangesOfAJobAllCount) {
  ASSERT_TRUE(Insert(Make("acme", "first")).ok());
  ASSERT_TRUE(Start({"acme", "first"}).ok());
  constexpr int kWriters = 4;
  constexpr int kEach = 10;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < kWriters; ++i) {
      writers.emplace_back([&] {
        for (int k = 0; k < kEach; ++k) {
          google::protobuf::RepeatedPtrField<v1::Event> events;
          events.Add()->mutable_log()->set_severity("info");
          const auto changed = store_->Update({"acme", "first"}, [&](Job& job, Effects& effects) {
            return Report(job, events, kT0, effects);
          });
          EXPECT_TRUE(changed.ok()) << changed.status();
        }
      });
    }
  }
  const auto events = store_->ListEvents({"acme", "first"}, 0, 1000);
  ASSERT_EQ(events->size(), 2u + kWriters * kEach);
  for (size_t i = 0; i < events->size(); ++i) {
    EXPECT_EQ((*events)[i].sequence(), static_cast<int64_t>(i) + 1);
  }
}

TEST_P(SqlJobStoreTest, OldProgressIsThinnedAndNothingElse) {
  const JobName name{"acme", "first"};
  ASSERT_TRUE(Insert(Make("acme", "first")).ok());
  ASSERT_TRUE(Start(name).ok());
  ASSERT_TRUE(ReportSteps(name, 1, 1).ok());
  ASSERT_TRUE(ReportSteps(name, 2, 4).ok());
  EXPECT_THAT(StepsKept(name), ElementsAre(1, 2, 3, 4, 5));
  ASSERT_TRUE(ReportSteps(name, 6, 1).ok());
  EXPECT_THAT(StepsKept(name), ElementsAre(2, 3, 4, 5, 6));
  // In one go or one by one comes to the same.
  ASSERT_TRUE(ReportSteps(name, 7, 10).ok());
  EXPECT_THAT(StepsKept(name), ElementsAre(3, 6, 9, 12, 13, 14, 15, 16));
  for (int64_t step = 17; step <= 20; ++step) ASSERT_TRUE(ReportSteps(name, step, 1).ok());
  EXPECT_THAT(StepsKept(name), ElementsAre(3, 6, 9, 12, 15, 16, 17, 18, 19, 20));
  // Both state changes are there.
  EXPECT_EQ(store_->ListEvents(name, 0, 1000)->size(), 12u);
}

TEST_P(SqlJobStoreTest, UsageCursorsHaveNoGapsThoughChangesAreRefused) {
  constexpr int kJobs = 12;
  for (int i = 0; i < kJobs; ++i) {
    const std::string id = "job-" + std::to_string(i);
    ASSERT_TRUE(Insert(Make("acme", id)).ok());
    ASSERT_TRUE(Start({"acme", id}).ok());
  }
  {
    std::vector<std::jthread> enders;
    for (int i = 0; i < kJobs; ++i) {
      enders.emplace_back([&, i] {
        const JobName name{"acme", "job-" + std::to_string(i)};
        AttemptEnd end;
        end.reason = "no";
        end.retryable = false;
        end.ran = absl::Seconds(i);
        const auto refused = store_->Update(name, [&](Job& job, Effects& effects) {
          EXPECT_TRUE(EndAttempt(job, end, {}, kT0, effects).ok());
          return absl::InternalError("rolled back");
        });
        EXPECT_FALSE(refused.ok());
        const auto ended = store_->Update(name, [&](Job& job, Effects& effects) {
          return EndAttempt(job, end, {}, kT0, effects);
        });
        EXPECT_TRUE(ended.ok()) << ended.status();
      });
    }
  }
  Reopen();
  double seconds = 0;
  int64_t cursor = 0;
  for (;;) {
    const auto page = store_->ListUsage(cursor, 5);
    ASSERT_TRUE(page.ok());
    if (page->empty()) break;
    for (const v1::UsageEvent& usage : *page) {
      EXPECT_EQ(usage.cursor(), ++cursor);
      seconds += usage.quantity();
    }
  }
  EXPECT_EQ(cursor, kJobs);
  EXPECT_DOUBLE_EQ(seconds, kJobs * (kJobs - 1) / 2.0);
}

}  // namespace
}  // namespace slipway::training
