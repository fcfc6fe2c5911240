#include "services/training/training.h"

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/training/example_spec.h"
#include "tests/support/training/fake_job_store.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/fake_object_store.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using v1::TrainingJob;

const absl::Time kNoDeadline = absl::InfiniteFuture();

Principal Someone(const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.key_id = "k-" + tenant;
  who.role = Role::kDeveloper;
  who.caller = ServiceId::kGateway;
  return who;
}

Principal TrainerOf(const JobName& job) {
  Principal who = Someone(job.tenant);
  who.caller = ServiceId::kTrainer;
  who.scopes = {job.ToString()};
  return who;
}

class TrainingTest : public ::testing::Test {
 protected:
  TrainingTest() {
    for (const char* tenant : {"acme", "rival"}) {
      registry_.AddDataset(std::string("tenants/") + tenant + "/datasets/digits",
                           {std::begin(kExampleFiles), std::end(kExampleFiles)});
    }
  }

  absl::StatusOr<TrainingJob> Submit(const v1::CreateTrainingJobRequest& request) {
    return training_.Submit(acme_, request, kNoDeadline);
  }

  JobName Submitted(const std::string& id) {
    const auto job = Submit(ExampleRequest("acme", id));
    EXPECT_TRUE(job.ok()) << job.status();
    return {"acme", id};
  }

  // As the runner does when it launches a trainer.
  void Start(const JobName& name) {
    const auto job = store_.Update(
        name, [&](Job& job, Effects& effects) { return StartAttempt(job, clock_.Now(), effects); });
    ASSERT_TRUE(job.ok()) << job.status();
    bell_.Ring(name, job->last_sequence);
  }

  TrainingJob::State StateOf(const JobName& name) { return store_.Get(name)->state; }

  const Principal acme_ = Someone("acme");
  const Principal rival_ = Someone("rival");
  FakeClock clock_;
  FakeJobStore store_;
  FakeModelRegistry registry_;
  FakeObjectStore* lake_ = nullptr;
  const ObjectStores objects_ = FakeStores({{"acme", "sales"}}, lake_);
  Metrics metrics_{"training"};
  Board board_{metrics_};
  EventBell bell_;
  TrainingOptions options_{.max_unfinished_per_tenant = 5, .max_watchers = 2, .retry = {}};
  Training training_{store_, registry_, objects_, board_, bell_, clock_, options_};
};

// ---- Submitting. ----

TEST_F(TrainingTest, QueuesAJobWithItsOwnerAndItsDataset) {
  const auto job = Submit(ExampleRequest("acme", "first"));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "tenants/acme/jobs/first");
  EXPECT_EQ(job->state(), TrainingJob::QUEUED);
  const auto kept = store_.Get({"acme", "first"});
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->key_id, "k-acme");
  EXPECT_EQ(kept->dataset.name(), "tenants/acme/datasets/digits");
  ASSERT_EQ(board_.Jobs().size(), 1u);
}

TEST_F(TrainingTest, AJobOfObjectsIsQueuedOnceTheyAreThere) {
  auto request = ExampleRequest("acme", "first");
  v1::JobSpec& spec = *request.mutable_training_job()->mutable_spec();
  spec.clear_dataset();
  spec.mutable_data()->mutable_source()->set_store("lake");
  spec.mutable_data()->mutable_source()->set_prefix("sales");
  EXPECT_EQ(FieldOf(Submit(request).status()), "spec.data.train.inputs");
  for (const char* file : kExampleFiles) lake_->Put(std::string("sales/") + file, file);
  const auto job = Submit(request);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), TrainingJob::QUEUED);
  EXPECT_TRUE(board_.Jobs()[0].lacks_dataset);
  // Nothing was read, and nobody else may.
  EXPECT_EQ(lake_->reads(), 0);
  request.set_parent("tenants/rival");
  EXPECT_EQ(FieldOf(training_.Submit(rival_, request, kNoDeadline).status()),
            "spec.data.source.store");
}

TEST_F(TrainingTest, MakesAnIdWhereNoneIsGiven) {
  const auto first = Submit(ExampleRequest("acme"));
  const auto second = Submit(ExampleRequest("acme"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_THAT(first->name(), StartsWith("tenants/acme/jobs/digits-mlp-"));
  EXPECT_NE(first->name(), second->name());
  EXPECT_TRUE(JobName::Parse("name", first->name()).ok());
}

TEST_F(TrainingTest, TheSameRequestAgainAnswersTheSameJob) {
  const auto request = ExampleRequest("acme", "", "r-1");
  const auto first = Submit(request);
  ASSERT_TRUE(first.ok());
  const auto second = Submit(request);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->name(), second->name());
  // Also when its dataset has gone since.
  registry_.RemoveDataset("tenants/acme/datasets/digits");
  EXPECT_TRUE(Submit(request).ok());
}

TEST_F(TrainingTest, AnotherRequestUnderAUsedRequestIdIsRefused) {
  ASSERT_TRUE(Submit(ExampleRequest("acme", "", "r-1")).ok());
  const auto change = [](auto edit) {
    auto request = ExampleRequest("acme", "", "r-1");
    edit(request);
    return request;
  };
  const v1::CreateTrainingJobRequest changed[] = {
      change([](auto& r) { r.set_job_id("other"); }),
      change([](auto& r) { r.mutable_training_job()->set_priority(1); }),
      change([](auto& r) {
        r.mutable_training_job()->mutable_spec()->mutable_training()->set_seed(8);
      }),
      change([](auto& r) {
        auto& fields =
            *r.mutable_training_job()->mutable_spec()->mutable_optimizer()->mutable_fields();
        fields["learning_rate"].set_number_value(0.002);
      }),
  };
  for (const auto& request : changed) {
    const auto status = Submit(request).status();
    EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith("request_id: \"r-1\""));
  }
}

TEST_F(TrainingTest, AnotherRequestUnderARequestIdThatIsUsedMeanwhileIsRefused) {
  registry_.MeanwhileOnGetDataset(
      [&] { ASSERT_TRUE(Submit(ExampleRequest("acme", "other", "r-1")).ok()); });
  const auto status = Submit(ExampleRequest("acme", "", "r-1")).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(store_.ListUnfinished()->size(), 1u);
}

TEST_F(TrainingTest, ARequestIdIsATenantsOwn) {
  ASSERT_TRUE(Submit(ExampleRequest("acme", "mine", "r-1")).ok());
  const auto theirs = training_.Submit(rival_, ExampleRequest("rival", "ours", "r-1"), kNoDeadline);
  ASSERT_TRUE(theirs.ok()) << theirs.status();
  EXPECT_EQ(theirs->name(), "tenants/rival/jobs/ours");
}

TEST_F(TrainingTest, AThousandRepetitionsAtFiftyAtATimeMakeOneJob) {
  const auto request = ExampleRequest("acme", "", "r-1");
  std::vector<std::set<std::string>> names(50);
  std::atomic<int> failed = 0;
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 50; ++caller) {
      callers.emplace_back([&, caller] {
        for (int i = 0; i < 20; ++i) {
          const auto job = Submit(request);
          failed += !job.ok();
          if (job.ok()) names[static_cast<size_t>(caller)].insert(job->name());
        }
      });
    }
  }
  EXPECT_EQ(failed, 0);
  std::set<std::string> all;
  for (const auto& some : names) all.insert(some.begin(), some.end());
  EXPECT_EQ(all.size(), 1u);
  EXPECT_EQ(store_.ListUnfinished()->size(), 1u);
}

TEST_F(TrainingTest, ListsEventsNewestFirstAndByTheirKind) {
  const JobName name = Submitted("first");
  Start(name);
  google::protobuf::RepeatedPtrField<v1::Event> told;
  told.Add()->mutable_progress()->set_step(1);
  told.Add()->mutable_checkpoint()->set_step(1);
  told.Add()->mutable_progress()->set_step(2);
  ASSERT_TRUE(training_.Report(TrainerOf(name), name, 1, told).ok());
  const auto list = [&](int size, const std::string& token, const std::vector<std::string>& kinds) {
    v1::ListTrainingJobEventsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    for (const std::string& kind : kinds) request.add_kinds(kind);
    return training_.ListEvents(acme_, name, request);
  };
  const auto sequences = [](const v1::ListTrainingJobEventsResponse& page) {
    std::vector<int64_t> out;
    for (const v1::Event& event : page.events()) out.push_back(event.sequence());
    return out;
  };
  const auto first = list(3, "", {});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(sequences(*first), ElementsAre(5, 4, 3));
  const auto second = list(3, first->next_page_token(), {});
  EXPECT_THAT(sequences(*second), ElementsAre(2, 1));
  EXPECT_TRUE(second->next_page_token().empty());
  EXPECT_THAT(sequences(*list(0, "", {"checkpoint"})), ElementsAre(4));
  EXPECT_THAT(sequences(*list(0, "", {"progress", "state_change"})), ElementsAre(5, 3, 2, 1));
  EXPECT_EQ(FieldOf(list(0, "", {"sequence"}).status()), "kinds[0]");
  EXPECT_EQ(FieldOf(list(0, "x", {}).status()), "page_token");
  EXPECT_TRUE(absl::IsNotFound(training_.ListEvents(rival_, name, {}).status()));
}

TEST_F(TrainingTest, ATakenNameIsRefused) {
  Submitted("first");
  const auto again = Submit(ExampleRequest("acme", "first"));
  EXPECT_TRUE(absl::IsAlreadyExists(again.status()));
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("tenants/acme/jobs/first"));
}

TEST_F(TrainingTest, NamesWhatIsWrongWithARequest) {
  struct Row {
    std::function<void(v1::CreateTrainingJobRequest&)> edit;
    const char* error;
  };
  const auto spec = [](auto edit) {
    return [edit](v1::CreateTrainingJobRequest& r) {
      edit(*r.mutable_training_job()->mutable_spec());
    };
  };
  const Row table[] = {
      {[](auto& r) { r.set_parent("acme"); }, "parent: "},
      {[](auto& r) { r.set_job_id("Not A Slug"); }, "job_id: "},
      {[](auto& r) { r.set_request_id("with space"); }, "request_id: "},
      {[](auto& r) { r.set_request_id(std::string(129, 'x')); }, "request_id: "},
      {[](auto& r) { r.mutable_training_job()->set_priority(101); }, "priority: "},
      {[](auto& r) { r.clear_training_job(); }, "spec.model: is required"},
      {spec([](auto& s) { s.mutable_training()->set_epochs(0); }), "spec.training.epochs: "},
      {spec([](auto& s) { s.set_dataset("absent"); }),
       "spec.dataset: tenants/acme/datasets/absent was not found"},
      {spec([](auto& s) { s.mutable_data()->mutable_train()->set_inputs("nope"); }),
       "spec.data.train.inputs: tenants/acme/datasets/digits has no file \"nope\"; it has "
       "train-images, train-labels, test-images, test-labels"},
      {spec([](auto& s) { s.mutable_data()->mutable_train()->set_targets("nope"); }),
       "spec.data.train.targets: "},
      {spec([](auto& s) { s.mutable_data()->mutable_test()->set_inputs("nope"); }),
       "spec.data.test.inputs: "},
      {spec([](auto& s) { s.mutable_data()->mutable_test()->set_targets("nope"); }),
       "spec.data.test.targets: "},
  };
  for (const Row& row : table) {
    auto request = ExampleRequest("acme");
    row.edit(request);
    const auto status = Submit(request).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith(row.error));
  }
  EXPECT_THAT(*store_.ListUnfinished(), IsEmpty());
}

// ---- Going on from a version. ----

v1::CreateTrainingJobRequest TuningRequest(const std::string& base, const std::string& id = "") {
  auto request = ExampleRequest("acme", id);
  request.mutable_training_job()->mutable_spec()->mutable_base()->set_version(base);
  return request;
}

TEST_F(TrainingTest, ABaseIsPinnedWhenTheJobIsMade) {
  const AliasName best{{"acme", "digits-mlp"}, "best"};
  registry_.AddHeldVersion(best, {});
  const std::string second = registry_.AddHeldVersion(best, {});
  for (const std::string base :
       {"models/digits-mlp/aliases/best", "tenants/acme/models/digits-mlp/aliases/best",
        "models/digits-mlp/versions/2", "tenants/acme/models/digits-mlp/versions/2"}) {
    const auto job = Submit(TuningRequest(base, "by-" + std::to_string(base.size())));
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->spec().base().version(), second);
  }
  registry_.AddHeldVersion(best, {});
  const auto jobs = store_.ListUnfinished();
  ASSERT_EQ(jobs->size(), 4u);
  for (const Job& job : *jobs) EXPECT_EQ(job.base->name(), second);
}

TEST_F(TrainingTest, ABaseThatIsNotThereIsRefusedByField) {
  registry_.AddHeldVersion({{"acme", "foreign"}, "best"}, {}, "onnx");
  const std::pair<const char*, const char*> table[] = {
      {"models/absent/versions/1", "models/absent/versions/1 was not found"},
      {"models/digits-mlp/aliases/absent", "models/digits-mlp/aliases/absent was not found"},
      {"models/foreign/versions/1",
       "tenants/acme/models/foreign/versions/1 is of format onnx; must be one of format slipway"},
  };
  for (const auto& [base, error] : table) {
    const auto status = Submit(TuningRequest(base)).status();
    EXPECT_EQ(FieldOf(status), "spec.base.version");
    EXPECT_THAT(std::string(status.message()), HasSubstr(error));
  }
  EXPECT_THAT(*store_.ListUnfinished(), IsEmpty());
}

TEST_F(TrainingTest, AnotherTenantsVersionIsNoBaseAndAnswersAsIfItDidNotExist) {
  registry_.AddHeldVersion({{"rival", "secret"}, "best"}, {});
  Principal anyone = acme_;
  anyone.role = Role::kOperator;  // may read versions of every tenant
  for (const Principal& who : {acme_, anyone}) {
    for (const std::string reference : {"versions/1", "aliases/best"}) {
      for (const std::string tenant : {"", "tenants/rival/"}) {
        const auto refusal = [&](const std::string& model) {
          const std::string base = tenant + "models/" + model + "/" + reference;
          return training_.Submit(who, TuningRequest(base), kNoDeadline).status().ToString();
        };
        std::string absent = refusal("absent");
        absent.replace(absent.rfind("absent"), 6, "secret");
        EXPECT_EQ(refusal("secret"), absent);
      }
    }
  }
  EXPECT_THAT(*store_.ListUnfinished(), IsEmpty());
}

TEST_F(TrainingTest, ATenantHasOnlySoManyUnfinishedJobs) {
  for (int i = 0; i < 5; ++i) Submitted("job-" + std::to_string(i));
  const auto sixth = Submit(ExampleRequest("acme", "sixth"));
  EXPECT_TRUE(absl::IsResourceExhausted(sixth.status())) << sixth.status();
  EXPECT_TRUE(training_.Submit(rival_, ExampleRequest("rival", "ours"), kNoDeadline).ok());
  ASSERT_TRUE(training_.Cancel(acme_, {"acme", "job-0"}).ok());
  EXPECT_TRUE(Submit(ExampleRequest("acme", "sixth")).ok());
}

TEST_F(TrainingTest, AFullDiskIsSaidAndNothingIsQueued) {
  store_.FailWrites(StorageFull("training.db"));
  const auto job = Submit(ExampleRequest("acme", "first"));
  EXPECT_TRUE(IsStorageFull(job.status()));
  EXPECT_THAT(board_.Jobs(), IsEmpty());
  store_.FailWrites(absl::OkStatus());
  EXPECT_TRUE(Submit(ExampleRequest("acme", "first")).ok());
}

// ---- Tenancy. ----

TEST_F(TrainingTest, AnotherTenantsJobAnswersAsIfItDidNotExist) {
  const JobName mine = Submitted("mine");
  const JobName none{"acme", "none"};
  const auto text = [](const absl::Status& status) { return status.ToString(); };
  const auto as_absent = [&](const absl::Status& theirs, const absl::Status& absent) {
    std::string expected = text(absent);
    const size_t at = expected.find("jobs/none");
    ASSERT_NE(at, std::string::npos) << expected;
    EXPECT_EQ(text(theirs), expected.replace(at, 9, "jobs/mine"));
  };
  const auto ignore = [](const v1::Event&) { return true; };
  const auto stays = [] { return false; };
  const google::protobuf::RepeatedPtrField<v1::Event> nothing;
  as_absent(training_.Get(rival_, mine).status(), training_.Get(acme_, none).status());
  as_absent(training_.Cancel(rival_, mine).status(), training_.Cancel(acme_, none).status());
  as_absent(training_.Watch(rival_, mine, 0, ignore, stays),
            training_.Watch(acme_, none, 0, ignore, stays));
  as_absent(training_.Report(TrainerOf({"rival", "mine"}), mine, 1, nothing).status(),
            training_.Report(TrainerOf(none), none, 1, nothing).status());
  EXPECT_EQ(StateOf(mine), TrainingJob::QUEUED);

  const auto submit = training_.Submit(rival_, ExampleRequest("acme", "intruder"), kNoDeadline);
  EXPECT_TRUE(absl::IsNotFound(submit.status()));
  EXPECT_TRUE(absl::IsNotFound(training_.List(rival_, {"acme"}, 0, "").status()));
}

TEST_F(TrainingTest, AnotherTenantsDatasetAnswersAsIfItDidNotExist) {
  const std::vector<std::string> files(std::begin(kExampleFiles), std::end(kExampleFiles));
  registry_.AddDataset("tenants/rival/datasets/theirs", files);
  const auto refusal = [&](const std::string& dataset) {
    auto request = ExampleRequest("acme");
    request.mutable_training_job()->mutable_spec()->set_dataset(dataset);
    return Submit(request).status();
  };
  EXPECT_THAT(std::string(refusal("theirs").message()),
              StartsWith("spec.dataset: tenants/acme/datasets/theirs was not found"));
  // By its id and by its whole name: the very answer, but for the name that was asked for.
  for (const std::string folder : {"", "tenants/rival/datasets/"}) {
    std::string absent = refusal(folder + "absent").ToString();
    for (size_t at; (at = absent.find("absent")) != std::string::npos;) {
      absent.replace(at, 6, "theirs");
    }
    EXPECT_EQ(refusal(folder + "theirs").ToString(), absent);
  }
  EXPECT_THAT(*store_.ListUnfinished(), IsEmpty());
}

// Not the operator's own, and not just any: the tenant's that it makes the job for.
TEST_F(TrainingTest, AnOperatorsJobTrainsOnItsTenantsDataset) {
  Principal someone = Someone("");
  someone.role = Role::kOperator;
  const auto job = training_.Submit(someone, ExampleRequest("acme", "first"), kNoDeadline);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(store_.Get({"acme", "first"})->dataset.name(), "tenants/acme/datasets/digits");
}

TEST_F(TrainingTest, ATrainerSpeaksForItsOwnJobOnly) {
  const JobName mine = Submitted("mine");
  const JobName other = Submitted("other");
  Start(mine);
  const Principal trainer = TrainerOf(other);
  EXPECT_TRUE(absl::IsNotFound(training_.Report(trainer, mine, 1, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(training_.Complete(trainer, mine, 1, {})));
  EXPECT_TRUE(absl::IsNotFound(training_.Fail(trainer, mine, 1, "", false)));
  // Nor for its like at another tenant, whatever its token is limited to.
  Principal rival = Someone("rival");
  rival.caller = ServiceId::kTrainer;
  EXPECT_TRUE(absl::IsNotFound(training_.Report(rival, mine, 1, {}).status()));
  EXPECT_EQ(StateOf(mine), TrainingJob::RUNNING);
}

TEST_F(TrainingTest, UsageOfAllTenantsIsNoTenantsToRead) {
  EXPECT_TRUE(absl::IsFailedPrecondition(training_.ListUsage(acme_, 0, 0).status()));
  EXPECT_TRUE(training_.ListUsage(Someone(""), 0, 0).ok());
}

// ---- Listing. ----

// ---- Deleting a tenant. ----

TEST_F(TrainingTest, APurgedTenantsJobsEndBeforeTheyGo) {
  const JobName queued = Submitted("queued");
  const JobName running = Submitted("running");
  Start(running);
  ASSERT_TRUE(training_.Submit(rival_, ExampleRequest("rival", "theirs"), kNoDeadline).ok());
  Principal who;
  who.role = Role::kOperator;
  who.caller = ServiceId::kGateway;
  const auto purge = [&](bool remove) {
    const auto content = training_.PurgeTenant(who, {"acme"}, remove);
    EXPECT_TRUE(content.ok()) << content.status();
    return fmt::format("{} {} {}", content->kinds(0).kind(), content->kinds(0).count(),
                       content->done() ? "done" : "there");
  };
  EXPECT_EQ(purge(false), "jobs 2 there");
  EXPECT_EQ(StateOf(queued), TrainingJob::QUEUED);
  EXPECT_EQ(Submit(ExampleRequest("acme", "late")).status(), NotFound("tenants/acme"));

  EXPECT_EQ(purge(true), "jobs 2 there");
  EXPECT_EQ(StateOf(queued), TrainingJob::CANCELLED);
  EXPECT_TRUE(store_.Get(running)->cancel_requested);
  // As the runner does once the trainer is gone.
  AttemptEnd end;
  end.ran = absl::Seconds(5);
  const auto ended = store_.Update(running, [&](Job& job, Effects& effects) {
    return EndAttempt(job, end, {}, clock_.Now(), effects);
  });
  ASSERT_TRUE(ended.ok()) << ended.status();
  board_.Show(*ended);
  EXPECT_EQ(purge(true), "jobs 2 there") << "their files are still there";
  board_.Remove(queued);
  board_.Remove(running);
  EXPECT_EQ(purge(true), "jobs 0 done");
  EXPECT_EQ(purge(true), "jobs 0 done");
  EXPECT_EQ(training_.Get(acme_, running).status(), NotFound(running.ToString()));
  EXPECT_EQ(StateOf({"rival", "theirs"}), TrainingJob::QUEUED);
  // What it used is still to be billed.
  Principal gateway;
  gateway.caller = ServiceId::kGateway;
  EXPECT_EQ(training_.ListUsage(gateway, 0, 10)->events_size(), 1);

  who.tenant = "acme";
  who.role = Role::kOwner;
  EXPECT_EQ(training_.PurgeTenant(who, {"acme"}, true).status(), NotFound("tenants/acme"));
}

TEST_F(TrainingTest, ListsNewestFirstPageByPage) {
  for (int i = 0; i < 5; ++i) Submitted("job-" + std::to_string(i));
  std::vector<std::string> names;
  std::string token;
  int pages = 0;
  do {
    const auto page = training_.List(acme_, {"acme"}, 2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const auto& job : page->training_jobs()) names.push_back(job.name().substr(18));
    token = page->next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_THAT(names, ElementsAre("job-4", "job-3", "job-2", "job-1", "job-0"));
  EXPECT_EQ(pages, 3);
}

TEST_F(TrainingTest, RefusesAPageThatIsNone) {
  for (const char* token : {"x", "-1", "0", "1x", "99999999999999999999"}) {
    EXPECT_THAT(std::string(training_.List(acme_, {"acme"}, 0, token).status().message()),
                StartsWith("page_token: "));
  }
  EXPECT_THAT(std::string(training_.List(acme_, {"acme"}, -1, "").status().message()),
              StartsWith("page_size: "));
}

// ---- Cancelling. ----

TEST_F(TrainingTest, AQueuedJobIsCancelledAtOnce) {
  const JobName name = Submitted("first");
  for (int i = 0; i < 2; ++i) {
    const auto job = training_.Cancel(acme_, name);
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->state(), TrainingJob::CANCELLED);
  }
}

TEST_F(TrainingTest, ARunningJobsTrainerIsToldToStop) {
  const JobName name = Submitted("first");
  Start(name);
  EXPECT_FALSE(*training_.Report(TrainerOf(name), name, 1, {}));
  const auto job = training_.Cancel(acme_, name);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->state(), TrainingJob::RUNNING);
  EXPECT_TRUE(job->cancel_requested());
  EXPECT_TRUE(*training_.Report(TrainerOf(name), name, 1, {}));
}

// ---- Trainers. ----

TEST_F(TrainingTest, ATrainerOfAnOldAttemptIsToldToStopAndNotHeard) {
  const JobName name = Submitted("first");
  Start(name);
  ASSERT_TRUE(training_.Fail(TrainerOf(name), name, 1, "lost a peer", true).ok());
  Start(name);
  google::protobuf::RepeatedPtrField<v1::Event> events;
  events.Add()->mutable_progress()->set_step(99);
  EXPECT_TRUE(*training_.Report(TrainerOf(name), name, 1, events));
  EXPECT_EQ(store_.Get(name)->progress.step(), 0);
  EXPECT_TRUE(absl::IsAborted(training_.Complete(TrainerOf(name), name, 1, {})));
  EXPECT_TRUE(absl::IsAborted(training_.Fail(TrainerOf(name), name, 1, "", false)));
  EXPECT_EQ(StateOf(name), TrainingJob::RUNNING);
  EXPECT_FALSE(*training_.Report(TrainerOf(name), name, 2, events));
  EXPECT_EQ(store_.Get(name)->progress.step(), 99);
  // Not even that its result is taken already: that was another attempt's.
  ASSERT_TRUE(training_.Complete(TrainerOf(name), name, 2, {}).ok());
  EXPECT_TRUE(absl::IsAborted(training_.Complete(TrainerOf(name), name, 1, {})));
}

TEST_F(TrainingTest, AResultHandedInTwiceIsTakenOnce) {
  const JobName name = Submitted("first");
  Start(name);
  Result result;
  result.metrics["accuracy"] = 0.5;
  ASSERT_TRUE(training_.Complete(TrainerOf(name), name, 1, result).ok());
  result.metrics["accuracy"] = 0.9;
  EXPECT_TRUE(training_.Complete(TrainerOf(name), name, 1, result).ok());
  EXPECT_EQ(store_.Get(name)->metrics.at("accuracy"), 0.5);
  EXPECT_TRUE(*training_.Report(TrainerOf(name), name, 1, {}));
}

TEST_F(TrainingTest, AVerdictThatAnotherAttemptWouldNotHelpFailsTheJob) {
  const JobName name = Submitted("first");
  Start(name);
  ASSERT_TRUE(training_.Fail(TrainerOf(name), name, 1, "spec.architecture: too small", false).ok());
  EXPECT_EQ(StateOf(name), TrainingJob::FAILED);
  EXPECT_EQ(store_.Get(name)->error, "spec.architecture: too small");
}

// ---- Watching. ----

TEST_F(TrainingTest, AWatchGivesWhatWasAndWhatComesAndEndsWithTheJob) {
  const JobName name = Submitted("first");
  std::vector<int64_t> sequences;
  std::vector<TrainingJob::State> states;
  std::atomic<int> seen = 0;
  std::jthread watcher([&] {
    const absl::Status status = training_.Watch(
        acme_, name, 0,
        [&](const v1::Event& event) {
          sequences.push_back(event.sequence());
          if (event.has_state_change()) states.push_back(event.state_change().state());
          ++seen;
          seen.notify_all();
          return true;
        },
        [] { return false; });
    EXPECT_TRUE(status.ok()) << status;
  });
  seen.wait(0);
  Start(name);
  google::protobuf::RepeatedPtrField<v1::Event> events;
  events.Add()->mutable_progress()->set_step(1);
  ASSERT_TRUE(training_.Report(TrainerOf(name), name, 1, events).ok());
  ASSERT_TRUE(training_.Fail(TrainerOf(name), name, 1, "no", false).ok());
  watcher.join();
  EXPECT_THAT(sequences, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(states, ElementsAre(TrainingJob::QUEUED, TrainingJob::RUNNING, TrainingJob::FAILED));
}

TEST_F(TrainingTest, AWatchGoesOnWhereAnotherEnded) {
  const JobName name = Submitted("first");
  ASSERT_TRUE(training_.Cancel(acme_, name).ok());
  const auto watch = [&](int64_t after) {
    std::vector<int64_t> sequences;
    const absl::Status status = training_.Watch(
        acme_, name, after,
        [&](const v1::Event& event) {
          sequences.push_back(event.sequence());
          return true;
        },
        [] { return false; });
    EXPECT_TRUE(status.ok()) << status;
    return sequences;
  };
  EXPECT_THAT(watch(0), ElementsAre(1, 2));
  EXPECT_THAT(watch(1), ElementsAre(2));
  EXPECT_THAT(watch(2), IsEmpty());
  const auto beyond = training_.Watch(
      acme_, name, 3, [](const v1::Event&) { return true; }, [] { return false; });
  EXPECT_THAT(std::string(beyond.message()), StartsWith("after_sequence: "));
}

TEST_F(TrainingTest, AWatchEndsWhenItsWatcherLeavesOrTheServiceStops) {
  const JobName name = Submitted("first");
  const auto ignore = [](const v1::Event&) { return true; };
  EXPECT_TRUE(absl::IsCancelled(training_.Watch(
      acme_, name, 0, [](const v1::Event&) { return false; }, [] { return false; })));
  EXPECT_TRUE(absl::IsCancelled(training_.Watch(acme_, name, 0, ignore, [] { return true; })));
  bell_.Close();
  EXPECT_TRUE(absl::IsUnavailable(training_.Watch(acme_, name, 0, ignore, [] { return false; })));
}

TEST_F(TrainingTest, OnlySoManyWatchAtOnce) {
  const JobName name = Submitted("first");
  std::atomic<int> watching = 0;
  std::atomic<bool> leave = false;
  std::vector<std::jthread> watchers;
  for (int i = 0; i < 2; ++i) {
    watchers.emplace_back([&] {
      (void)training_.Watch(
          acme_, name, 0,
          [&](const v1::Event&) {
            ++watching;
            watching.notify_all();
            return true;
          },
          [&] { return leave.load(); });
    });
  }
  for (int now = watching; now < 2; now = watching) watching.wait(now);
  const auto third = training_.Watch(
      acme_, name, 0, [](const v1::Event&) { return true; }, [] { return false; });
  EXPECT_TRUE(absl::IsResourceExhausted(third)) << third;
  leave = true;
}

}  // namespace
}  // namespace slipway::training
