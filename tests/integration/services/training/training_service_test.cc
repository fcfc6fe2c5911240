// The training service over gRPC: its edge in process, and its real program with a registry that
// is fake and a trainer that does what a test tells it.
#include "services/training/training_service.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/grpc/server.h"
#include "common/grpc/status.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/training/board.h"
#include "services/training/event_bell.h"
#include "slipway/training/v1/training.grpc.pb.h"
#include "tests/support/internal_matrix.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"
#include "tests/support/training/example_spec.h"
#include "tests/support/training/fake_job_store.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/fake_registry_service.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using v1::TrainingJob;

constexpr absl::Duration kPatience = absl::Seconds(60);

// ---- The edge, in process. ----

TEST(TrainingEdgeTest, LetsInWhomItsProtoNames) {
  TestTrust trust;
  const TempDir dir;
  FakeJobStore store;
  FakeModelRegistry registry;
  Metrics metrics("training");
  Board board(metrics);
  EventBell bell;
  const ObjectStores objects;
  Training training(store, registry, objects, board, bell, Clock::Real(), {});
  Planner planner(registry, objects, store, {.scratch_dir = dir.path().string()});
  const auto verifier = trust.Verifier(ServiceId::kTraining);
  const auto edge = TrainingEdge::Create(training, planner, *verifier, metrics, Clock::Real());
  ASSERT_TRUE(edge.ok()) << edge.status();
  GrpcServerOptions options;
  options.address = "unix:" + (dir / "training.sock");
  const auto server = GrpcServer::Start(options, (*edge)->services());
  ASSERT_TRUE(server.ok()) << server.status();
  for (const char* service : {"TrainingService", "JobEventService", "AttemptService"}) {
    ExpectInternalMatrix(
        {std::string("slipway.training.v1.") + service, (*server)->address(), ServiceId::kTraining},
        trust);
  }
}

// ---- The program. ----

class TrainingProgramTest : public ::testing::Test {
 protected:
  TrainingProgramTest() : registry_service_(models_, trust_, Socket("registry")) {
    EXPECT_TRUE(trust_.key(ServiceId::kTraining).Save(dir_ / "identity.pem").ok());
    models_.AddDataset("tenants/acme/datasets/digits",
                       {std::begin(kExampleFiles), std::end(kExampleFiles)});
    Start();
  }

  std::string Socket(const std::string& name) const { return "unix:" + (dir_ / (name + ".sock")); }

  void Start(const std::vector<std::string>& settings = {}) {
    ProcessSpec spec;
    spec.program = Program("slipway-training");
    for (const std::string& setting :
         {"listen=" + Socket("training"), "admin_listen=" + Socket("admin"),
          "registry=" + Socket("registry"), "identity_key=" + (dir_ / "identity.pem"),
          "trust_dir=" + trust_.folder(), "database=sqlite:" + (dir_ / "training.db"),
          "data_dir=" + dir_.path().string(),
          "trainer_program=" + TestProgram("slipway-fake-trainer"), std::string("first_retry=10ms"),
          std::string("last_retry=50ms"), std::string("stop_grace=300ms"),
          std::string("max_trainers=2")}) {
      spec.args.push_back("--set");
      spec.args.push_back(setting);
    }
    for (const std::string& setting : settings) {
      spec.args.push_back("--set");
      spec.args.push_back(setting);
    }
    spec.log_file = dir_ / "training.log";
    auto process = launcher_.Launch(spec);
    ASSERT_TRUE(process.ok()) << process.status();
    process_ = *std::move(process);
    auto channel = OpenChannel({.address = Socket("training")});
    ASSERT_TRUE(channel.ok());
    ASSERT_TRUE(WaitForReady(**channel, kPatience).ok()) << Log();
    jobs_ = v1::TrainingService::NewStub(*channel);
    attempts_ = v1::AttemptService::NewStub(*channel);
  }

  void Kill() {
    // Their connection is shared by whoever dials the same address, and is dead soon.
    jobs_.reset();
    attempts_.reset();
    process_->Kill();
    ASSERT_TRUE(process_->Wait(kPatience).ok());
  }

  std::string Log() const { return ReadFile(dir_ / "training.log").value_or(""); }

  std::string GatewayToken(const std::string& tenant = "acme") const {
    Principal who;
    who.tenant = tenant;
    who.key_id = "k1";
    who.role = Role::kDeveloper;
    who.caller = ServiceId::kGateway;
    return trust_.Token(who, ServiceId::kTraining);
  }

  template <class Stub, class Request, class Answer>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Answer*),
                    const Request& request, Answer& answer, const std::string& token) {
    grpc::ClientContext context;
    CallOptions options;
    options.token = token;
    options.deadline = Clock::Real().Now() + kPatience;
    options.wait_for_ready = true;
    PrepareContext(context, options);
    return FromGrpcStatus((stub.*method)(&context, request, &answer));
  }

  absl::StatusOr<TrainingJob> Submit(const v1::CreateTrainingJobRequest& request) {
    TrainingJob job;
    RETURN_IF_ERROR(
        Call(*jobs_, &v1::TrainingService::Stub::CreateTrainingJob, request, job, GatewayToken()));
    return job;
  }

  // Submits a job whose trainers do as the words say.
  std::string Submit(const std::string& id, const std::vector<std::string>& words,
                     const std::function<void(v1::JobSpec&)>& edit = nullptr) {
    auto request = ExampleRequest("acme", id, "request-" + id);
    v1::JobSpec& spec = *request.mutable_training_job()->mutable_spec();
    for (const std::string& word : words) spec.mutable_data()->add_labels(word);
    if (edit) edit(spec);
    const auto job = Submit(request);
    EXPECT_TRUE(job.ok()) << job.status() << "\n" << Log();
    return "tenants/acme/jobs/" + id;
  }

  absl::StatusOr<TrainingJob> Get(const std::string& name) {
    v1::GetTrainingJobRequest request;
    request.set_name(name);
    TrainingJob job;
    RETURN_IF_ERROR(
        Call(*jobs_, &v1::TrainingService::Stub::GetTrainingJob, request, job, GatewayToken()));
    return job;
  }

  template <class Request>
  absl::Status Ask(grpc::Status (v1::TrainingService::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, TrainingJob*),
                   const std::string& name) {
    Request request;
    request.set_name(name);
    TrainingJob job;
    return Call(*jobs_, method, request, job, GatewayToken());
  }
  absl::Status Cancel(const std::string& name) {
    return Ask(&v1::TrainingService::Stub::CancelTrainingJob, name);
  }
  absl::Status Pause(const std::string& name) {
    return Ask(&v1::TrainingService::Stub::PauseTrainingJob, name);
  }
  absl::Status Resume(const std::string& name) {
    return Ask(&v1::TrainingService::Stub::ResumeTrainingJob, name);
  }

  // Reads events until `enough` says so or the watch ends.
  absl::Status Watch(const std::string& name, int64_t after,
                     const std::function<bool(const v1::Event&)>& enough) {
    grpc::ClientContext context;
    const std::string token = GatewayToken();
    CallOptions options;
    options.token = token;
    options.deadline = Clock::Real().Now() + kPatience;
    options.wait_for_ready = true;
    PrepareContext(context, options);
    v1::WatchTrainingJobRequest request;
    request.set_name(name);
    request.set_after_sequence(after);
    const auto reader = jobs_->WatchTrainingJob(&context, request);
    for (v1::Event event; reader->Read(&event);) {
      if (enough(event)) {
        context.TryCancel();
        break;
      }
    }
    return FromGrpcStatus(reader->Finish());
  }

  TrainingJob Finished(const std::string& name) {
    const absl::Status status = Watch(name, 0, [](const v1::Event&) { return false; });
    EXPECT_TRUE(status.ok()) << status << "\n" << Log();
    const auto job = Get(name);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(TrainingJob());
  }

  void WaitForAttempt(const std::string& name, int attempt) {
    (void)Watch(name, 0, [&](const v1::Event& event) {
      return event.attempt() >= attempt && event.has_progress();
    });
  }

  std::string JobFolder(const std::string& name) const {
    return dir_ / ("jobs/acme/" + name.substr(name.rfind('/') + 1));
  }

  std::vector<v1::UsageEvent> Usage() {
    Principal gateway;
    gateway.caller = ServiceId::kGateway;
    v1::ListUsageEventsRequest request;
    request.set_page_size(1000);
    v1::ListUsageEventsResponse out;
    const absl::Status status = Call(*jobs_, &v1::TrainingService::Stub::ListUsageEvents, request,
                                     out, trust_.Token(gateway, ServiceId::kTraining));
    EXPECT_TRUE(status.ok()) << status;
    return {out.events().begin(), out.events().end()};
  }

  const TempDir dir_;
  TestTrust trust_;
  FakeModelRegistry models_;
  FakeRegistryService registry_service_;
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<v1::TrainingService::Stub> jobs_;
  std::unique_ptr<v1::AttemptService::Stub> attempts_;
};

TEST_F(TrainingProgramTest, RunsAJobFromSubmissionToItsVersion) {
  const std::string name =
      Submit("first", {"succeed"}, [](v1::JobSpec& spec) { spec.set_alias("production"); });
  const TrainingJob job = Finished(name);
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED) << job.error() << Log();
  EXPECT_EQ(job.model_version(), "tenants/acme/models/digits-mlp/versions/1");
  EXPECT_EQ(job.attempts(), 1);
  EXPECT_EQ(models_.aliases().at("tenants/acme/models/digits-mlp/aliases/production"),
            job.model_version());
  ASSERT_EQ(Usage().size(), 1u);
  EXPECT_EQ(Usage()[0].resource(), name);
  EXPECT_GT(Usage()[0].quantity(), 0);
}

TEST_F(TrainingProgramTest, PlansByTheDatasetsFiles) {
  std::string table = "x,y,target\n";
  for (int i = 0; i < 100; ++i) table += fmt::format("{},{},{}\n", i, i % 7, i % 2 ? "a" : "b");
  models_.AddFile("tenants/acme/datasets/table", "table.csv", table);
  v1::PlanTrainingJobRequest request;
  request.set_parent("tenants/acme");
  request.mutable_spec()->set_dataset("table");
  v1::TrainingPlan plan;
  const absl::Status status =
      Call(*jobs_, &v1::TrainingService::Stub::PlanTrainingJob, request, plan, GatewayToken());
  ASSERT_TRUE(status.ok()) << status << Log();
  EXPECT_EQ(plan.train_rows(), 80);
  EXPECT_EQ(plan.network().parameters(), 2 * 32 + 32 + 32 * 2 + 2);
}

// The service is killed again and again while it searches: no trial is lost, none is made twice,
// and the best one gets the one version.
TEST_F(TrainingProgramTest, ASearchGoesOnThroughKills) {
  const std::string name = Submit("find", {"succeed"}, [](v1::JobSpec& spec) {
    spec.mutable_data()->set_validation_fraction(0.1);
    v1::SearchSpec& search = *spec.mutable_search();
    search.set_method("grid");
    search.set_parallel(2);
    v1::SearchField& field = *search.add_fields();
    field.set_path("optimizer.learning_rate");
    for (const double rate : {0.1, 0.05, 0.02, 0.011, 0.3, 0.2, 0.4, 0.5}) {
      field.add_values()->set_number_value(rate);
    }
  });
  std::minstd_rand random(3);
  for (int kills = 0; kills < 6; ++kills) {
    Clock::Real().SleepFor(absl::Milliseconds(random() % 150));
    Kill();
    Start();
  }
  const TrainingJob job = Finished(name);
  ASSERT_EQ(job.state(), TrainingJob::SUCCEEDED) << job.error() << Log();
  ASSERT_EQ(job.trials_size(), 8);
  std::set<int> indices;
  for (const v1::Trial& trial : job.trials()) {
    indices.insert(trial.index());
    EXPECT_EQ(trial.state(), TrainingJob::SUCCEEDED) << trial.error();
    EXPECT_EQ(trial.best(), trial.index() == 3);
  }
  EXPECT_EQ(indices.size(), 8u);
  EXPECT_EQ(models_.versions().size(), 1u);
  EXPECT_NEAR(job.metrics().at("validation_loss"), 0.001, 1e-9);
}

TEST_F(TrainingProgramTest, NamesTheFieldOfABadSpecThroughTheWire) {
  auto request = ExampleRequest("acme", "first");
  request.mutable_training_job()->mutable_spec()->mutable_training()->set_epochs(0);
  const absl::Status status = Submit(request).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(FieldOf(status), "spec.training.epochs");
}

TEST_F(TrainingProgramTest, ATrainerThatCrashesIsFollowedByAnother) {
  const std::string name = Submit("first", {"crash", "quit", "succeed"});
  std::vector<std::string> reasons;
  std::vector<std::string> lines;
  ASSERT_TRUE(Watch(name, 0, [&](const v1::Event& event) {
                if (event.has_state_change()) reasons.push_back(event.state_change().reason());
                if (event.has_log()) lines.push_back(event.log().text());
                return false;
              }).ok());
  ASSERT_EQ(reasons.size(), 7u);
  EXPECT_THAT(reasons[2], StartsWith("the trainer was killed by SIGABRT; tried again in 0.01 s"));
  EXPECT_THAT(reasons[4], StartsWith("the trainer ended without a verdict; tried again"));
  EXPECT_THAT(lines, ElementsAre("terminate called: out of luck"));
  EXPECT_EQ(Get(name)->state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(Get(name)->attempts(), 3);
}

TEST_F(TrainingProgramTest, EndsJobsByTheirVerdicts) {
  const auto gate = [](v1::JobSpec& spec) {
    (*spec.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.9;
  };
  const std::string failed = Submit("failed", {"fail"});
  const std::string poor = Submit("poor", {"poor"}, gate);
  const std::string bad = Submit("bad", {"bad"});
  const std::string hopeless = Submit("hopeless", {"retry"});
  const std::string lucky = Submit("lucky", {"retry", "succeed"});
  EXPECT_EQ(Finished(failed).error(), "spec.architecture: does not fit");
  EXPECT_THAT(Finished(poor).error(), StartsWith("no version is registered: accuracy is 0.1 on"));
  EXPECT_EQ(Finished(bad).error(), "the trainer exited with code 64");
  EXPECT_EQ(Finished(hopeless).error(), "3 failed attempts; the last one: a peer was lost");
  EXPECT_EQ(Finished(lucky).state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(models_.versions().size(), 1u);
}

TEST_F(TrainingProgramTest, CancelsRunningJobsAlsoThoseThatDoNotListen) {
  const std::string hang = Submit("hang", {"hang"});
  const std::string deaf = Submit("deaf", {"deaf"});
  const std::string queued = Submit("queued", {"succeed"});
  WaitForAttempt(hang, 1);
  WaitForAttempt(deaf, 1);
  ASSERT_TRUE(Cancel(queued).ok());
  EXPECT_EQ(Get(queued)->state(), TrainingJob::CANCELLED);
  ASSERT_TRUE(Cancel(hang).ok());
  ASSERT_TRUE(Cancel(deaf).ok());
  EXPECT_EQ(Finished(hang).state(), TrainingJob::CANCELLED);
  EXPECT_EQ(Finished(deaf).state(), TrainingJob::CANCELLED);
  EXPECT_EQ(Get(queued)->attempts(), 0);
  // Time was used by the two that ran.
  EXPECT_EQ(Usage().size(), 2u);
}

TEST_F(TrainingProgramTest, APausedJobStopsAlsoOneThatDoesNotListenAndGoesOnWhenItIsResumed) {
  const std::string hang = Submit("hang", {"hang", "succeed"});
  const std::string deaf = Submit("deaf", {"deaf", "succeed"});
  for (const std::string& name : {hang, deaf}) WaitForAttempt(name, 1);
  for (const std::string& name : {hang, deaf}) {
    ASSERT_TRUE(Pause(name).ok());
    (void)Watch(name, 0, [](const v1::Event& event) {
      return event.state_change().state() == TrainingJob::PAUSED;
    });
    EXPECT_EQ(Get(name)->state(), TrainingJob::PAUSED);
  }
  // Neither takes the room of another one.
  EXPECT_EQ(Finished(Submit("other", {"succeed"})).state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(Get(hang)->state(), TrainingJob::PAUSED);
  for (const std::string& name : {hang, deaf}) {
    ASSERT_TRUE(Resume(name).ok());
    EXPECT_EQ(Finished(name).state(), TrainingJob::SUCCEEDED);
    EXPECT_EQ(Get(name)->attempts(), 2);
    EXPECT_TRUE(absl::IsFailedPrecondition(Pause(name)));
  }
}

TEST_F(TrainingProgramTest, AnUrgentJobMakesAnotherOneOfItsTenantGoOnLater) {
  Kill();
  Start({"max_trainers=1", "min_run=0s"});
  const std::string idle = Submit("idle", {"hang", "succeed"});
  WaitForAttempt(idle, 1);
  auto request = ExampleRequest("acme", "urgent");
  request.mutable_training_job()->set_priority(1);
  request.mutable_training_job()->mutable_spec()->mutable_data()->add_labels("succeed");
  ASSERT_TRUE(Submit(request).ok());
  EXPECT_EQ(Finished("tenants/acme/jobs/urgent").state(), TrainingJob::SUCCEEDED);
  const TrainingJob job = Finished(idle);
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.attempts(), 2);
}

TEST_F(TrainingProgramTest, AJobOutOfTimeFails) {
  const std::string name = Submit("first", {"hang"}, [](v1::JobSpec& spec) {
    spec.mutable_resources()->mutable_time_limit()->set_seconds(1);
  });
  EXPECT_EQ(Finished(name).error(), "its time limit of 1 s is over");
}

TEST_F(TrainingProgramTest, ATrainersTokenIsItsOwnersAlone) {
  const std::string name = Submit("first", {"hang"});
  WaitForAttempt(name, 1);
  struct stat info;
  ASSERT_EQ(::stat((JobFolder(name) + "/token").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(TrainingProgramTest, AThousandRepetitionsAtFiftyAtATimeMakeOneJob) {
  auto request = ExampleRequest("acme", "", "the-same");
  request.mutable_training_job()->mutable_spec()->mutable_data()->add_labels("hang");
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

  v1::ListTrainingJobsRequest list;
  list.set_parent("tenants/acme");
  v1::ListTrainingJobsResponse listed;
  ASSERT_TRUE(
      Call(*jobs_, &v1::TrainingService::Stub::ListTrainingJobs, list, listed, GatewayToken())
          .ok());
  EXPECT_EQ(listed.training_jobs_size(), 1);
}

// ---- kill -9. ----

// Waits until a process is gone.
bool IsGone(int64_t pid) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return true;
  pollfd poll_fd{fd, POLLIN, 0};
  const bool gone =
      ::poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) == 1;
  ::close(fd);
  return gone;
}

TEST_F(TrainingProgramTest, AfterAKillAJobGoesOnWithItsNextAttempt) {
  const std::string name = Submit("first", {"hang", "succeed"});
  WaitForAttempt(name, 1);
  const auto pid = ReadFile(JobFolder(name) + "/checkpoints/pid");
  ASSERT_TRUE(pid.ok()) << pid.status();
  const auto token = ReadFile(JobFolder(name) + "/token");
  ASSERT_TRUE(token.ok());
  Kill();
  EXPECT_TRUE(IsGone(std::stoll(*pid))) << "a trainer outlived its service";

  // What a trainer of the first attempt would say if it had lived on.
  Start();
  WaitForAttempt(name, 2);
  v1::ReportEventsRequest late;
  late.set_job(name);
  late.set_attempt(1);
  late.add_events()->mutable_progress()->set_step(999);
  v1::ReportEventsResponse answer;
  const absl::Status reported =
      Call(*attempts_, &v1::AttemptService::Stub::ReportEvents, late, answer, *token);
  ASSERT_TRUE(reported.ok()) << reported;
  EXPECT_TRUE(answer.stop());

  const TrainingJob job = Finished(name);
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.attempts(), 2);
  EXPECT_NE(job.progress().step(), 999);
}

TEST_F(TrainingProgramTest, AWatchGoesOnAfterAKill) {
  const std::string name = Submit("first", {"hang", "succeed"});
  int64_t seen = 0;
  (void)Watch(name, 0, [&](const v1::Event& event) {
    seen = event.sequence();
    return event.has_progress();
  });
  Kill();
  Start();
  std::vector<int64_t> sequences;
  ASSERT_TRUE(Watch(name, seen, [&](const v1::Event& event) {
                sequences.push_back(event.sequence());
                return false;
              }).ok());
  ASSERT_FALSE(sequences.empty());
  for (const int64_t sequence : sequences) EXPECT_EQ(sequence, ++seen);
}

TEST_F(TrainingProgramTest, KillsAtAnyMomentLoseNoAcknowledgedJobAndMakeNothingTwice) {
  constexpr int kJobs = 12;
  constexpr int kKills = 15;
  std::mt19937 random(20260501);
  std::vector<std::string> names;
  for (int i = 0; i < kJobs; ++i) {
    names.push_back(Submit("job-" + std::to_string(i), {i % 3 == 0 ? "slow" : "succeed"}));
  }
  for (int i = 0; i < kKills; ++i) {
    // Any moment: jobs are being launched, run and registered all the while.
    Clock::Real().SleepFor(absl::Milliseconds(std::uniform_int_distribution<>(0, 250)(random)));
    Kill();
    Start();
  }
  for (const std::string& name : names) {
    const TrainingJob job = Finished(name);
    EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED) << name << ": " << job.error();
  }
  EXPECT_EQ(models_.versions().size(), static_cast<size_t>(kJobs));
  std::multiset<std::string> billed;
  int64_t cursor = 0;
  for (const v1::UsageEvent& usage : Usage()) {
    EXPECT_EQ(usage.cursor(), ++cursor);
    billed.insert(usage.resource());
  }
  EXPECT_EQ(billed, std::multiset<std::string>(names.begin(), names.end()));
  // Nothing stays of jobs that are over.
  Kill();
  Start();
  (void)Finished(Submit("last", {"succeed"}));
  for (const std::string& name : names) EXPECT_FALSE(std::filesystem::exists(JobFolder(name)));
}

TEST_F(TrainingProgramTest, SigtermStopsTrainersAndTheJobGoesOnLater) {
  const std::string name = Submit("first", {"hang", "succeed"});
  WaitForAttempt(name, 1);
  const auto pid = ReadFile(JobFolder(name) + "/checkpoints/pid");
  ASSERT_TRUE(process_->Signal(SIGTERM).ok());
  const auto exit = process_->Wait(kPatience);
  ASSERT_TRUE(exit.ok());
  EXPECT_TRUE(exit->ok()) << exit->ToString() << "\n" << Log();
  EXPECT_TRUE(IsGone(std::stoll(*pid)));
  Start();
  const TrainingJob job = Finished(name);
  EXPECT_EQ(job.state(), TrainingJob::SUCCEEDED);
  EXPECT_EQ(job.attempts(), 2);
}

}  // namespace
}  // namespace slipway::training
