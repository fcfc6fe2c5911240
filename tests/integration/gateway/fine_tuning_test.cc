// OpenAI's fine-tuning jobs, over the real gateway: what they ask of the platform, and how the
// platform's answers look there.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/job_events.pb.h"
#include "slipway/training/v1/training.pb.h"
#include "tests/integration/gateway/gateway_fixture.h"

namespace slipway::gateway {
namespace {

namespace reg = registry::v1;
namespace rpc = training::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kJobs[] = "/v1/fine_tuning/jobs";

class FineTuningTest : public GatewayTest {
 protected:
  void SetUp() override {
    StartGateway();
    MakeTenant("acme");
    key_ = MakeKey("acme", "DEVELOPER");
    dataset_.set_name("tenants/acme/datasets/file-1");
    dataset_.set_purpose("fine-tune");
    dataset_.add_files()->set_path("rows.jsonl");
    version_.mutable_lineage()->set_job("tenants/acme/jobs/first");
    rpc::JobSpec& spec = *base_job_.mutable_spec();
    spec.set_model("digits");
    spec.set_dataset("old");
    spec.set_alias("production");
    spec.mutable_data()->set_format("csv");
    spec.mutable_data()->set_target_column("kind");
    spec.mutable_data()->mutable_train()->set_inputs("old.csv");
    spec.mutable_data()->mutable_test()->set_inputs("test.csv");
    spec.mutable_data()->set_standardize(true);
    (*spec.mutable_architecture()->mutable_fields())["type"].set_string_value("mlp");
    (*spec.mutable_loss()->mutable_fields())["type"].set_string_value("focal");
    (*spec.mutable_optimizer()->mutable_fields())["learning_rate"].set_number_value(0.01);
    spec.mutable_training()->set_epochs(9);
    spec.mutable_training()->set_batch_size(16);
    const auto answer = [this](const std::string& method, auto& message) {
      platform_->On(method, [&message](const google::protobuf::Message&) {
        return FakePlatform::Reply{.messages = {Copy(message)}, .status = {}};
      });
    };
    answer("RegistryService/GetDataset", dataset_);
    answer("TrainingService/GetTrainingJob", base_job_);
    platform_->On("RegistryService/GetModel", [](const google::protobuf::Message&) {
      reg::Model model;
      model.set_latest_version(7);
      return FakePlatform::Reply{.messages = {Copy(model)}, .status = {}};
    });
    platform_->On(
        "RegistryService/GetModelVersion", [this](const google::protobuf::Message& asked) {
          const auto& name = dynamic_cast<const reg::GetModelVersionRequest&>(asked).name();
          reg::ModelVersion version = version_;
          version.set_name(name);
          return FakePlatform::Reply{.messages = {Copy(version)}, .status = {}};
        });
    platform_->On("RegistryService/ListAliases", [](const google::protobuf::Message&) {
      reg::ListAliasesResponse answer;
      reg::Alias& alias = *answer.add_aliases();
      alias.set_name("tenants/acme/models/digits/aliases/production");
      alias.set_version("tenants/acme/models/digits/versions/5");
      return FakePlatform::Reply{.messages = {Copy(answer)}, .status = {}};
    });
    platform_->On("TrainingService/CreateTrainingJob", [](const google::protobuf::Message& asked) {
      const auto& create = dynamic_cast<const rpc::CreateTrainingJobRequest&>(asked);
      rpc::TrainingJob job = create.training_job();
      job.set_name(create.parent() + "/jobs/" + create.job_id());
      job.set_state(rpc::TrainingJob::QUEUED);
      return FakePlatform::Reply{.messages = {Copy(job)}, .status = {}};
    });
  }

  template <class Message>
  static std::shared_ptr<google::protobuf::Message> Copy(const Message& message) {
    return std::make_shared<Message>(message);
  }

  static json Wanted() { return {{"training_file", "file-1"}, {"model", "digits:3"}}; }

  json Create(const json& body) { return AskJson("POST", kJobs, key_, body.dump()); }

  // The request that the training service got last.
  rpc::CreateTrainingJobRequest Created() {
    rpc::CreateTrainingJobRequest request;
    for (const auto& call : platform_->calls()) {
      if (call.method == "TrainingService/CreateTrainingJob") {
        EXPECT_TRUE(request.ParseFromString(call.request));
      }
    }
    return request;
  }

  // The error's param, and its message after it.
  std::string Refused(const json& body) {
    const json answer = AskJson("POST", kJobs, key_, body.dump(), 400);
    const json error = answer.value("error", json::object());
    return fmt::format("{} | {}", error.value("param", json()).dump(), error.value("message", ""));
  }

  json Shown(const rpc::TrainingJob& job) {
    shown_ = job;
    shown_.set_name("tenants/acme/jobs/ftjob-1");
    platform_->On("TrainingService/GetTrainingJob", [this](const google::protobuf::Message&) {
      return FakePlatform::Reply{.messages = {Copy(shown_)}, .status = {}};
    });
    return AskJson("GET", std::string(kJobs) + "/ftjob-1", key_);
  }

  std::string key_;
  reg::Dataset dataset_;
  reg::ModelVersion version_;
  rpc::TrainingJob base_job_;
  rpc::TrainingJob shown_;
};

TEST_F(FineTuningTest, AJobTrainsItsBaseOnAsItWasTrained) {
  const json job = Create(Wanted());
  EXPECT_THAT(job["id"].get<std::string>(), StartsWith("ftjob-"));
  EXPECT_EQ(job["object"], "fine_tuning.job");
  EXPECT_EQ(job["status"], "queued");
  EXPECT_EQ(job["model"], "digits:3");
  EXPECT_EQ(job["training_file"], "file-1");
  EXPECT_EQ(job["organization_id"], "acme");
  EXPECT_EQ(job["fine_tuned_model"], nullptr);
  EXPECT_EQ(job["result_files"], json::array());
  EXPECT_EQ(job["hyperparameters"]["n_epochs"], 9);
  EXPECT_EQ(job["method"]["type"], "supervised");
  for (const char* key : {"created_at", "seed", "error", "trained_tokens", "validation_file"}) {
    EXPECT_TRUE(job.contains(key)) << key;
  }
  const rpc::JobSpec spec = Created().training_job().spec();
  EXPECT_EQ(Created().parent(), "tenants/acme");
  EXPECT_EQ(spec.model(), "digits");
  EXPECT_EQ(spec.dataset(), "file-1");
  EXPECT_EQ(spec.base().version(), "tenants/acme/models/digits/versions/3");
  EXPECT_FALSE(spec.has_architecture());
  EXPECT_TRUE(spec.alias().empty());
  EXPECT_EQ(spec.data().format(), "jsonl");
  EXPECT_EQ(spec.data().train().inputs(), "rows.jsonl");
  EXPECT_EQ(spec.data().target_column(), "kind");
  EXPECT_FALSE(spec.data().has_test());
  EXPECT_EQ(spec.data().test_fraction(), 0.2);
  EXPECT_FALSE(spec.data().standardize());
  EXPECT_EQ(spec.loss().fields().at("type").string_value(), "focal");
}

TEST_F(FineTuningTest, AModelIsItsNewestVersionOrOneOfANumberOrAnAlias) {
  for (const auto& [model, number] :
       {std::pair("digits", "7"), {"digits:3", "3"}, {"digits:production", "5"}}) {
    json wanted = Wanted();
    wanted["model"] = model;
    EXPECT_EQ(Create(wanted)["model"], fmt::format("digits:{}", number));
  }
  json wanted = Wanted();
  wanted["model"] = "digits:nobody";
  EXPECT_THAT(Refused(wanted), StartsWith("\"model\" | "));
}

TEST_F(FineTuningTest, TakesTheHyperparametersOfEitherForm) {
  json wanted = Wanted();
  wanted["suffix"] = "mine";
  wanted["seed"] = 42;
  wanted["hyperparameters"] = {{"n_epochs", 2}, {"batch_size", "auto"}};
  Create(wanted);
  rpc::JobSpec spec = Created().training_job().spec();
  EXPECT_EQ(spec.model(), "digits-mine");
  EXPECT_EQ(spec.training().seed(), 42);
  EXPECT_EQ(spec.training().epochs(), 2);
  EXPECT_EQ(spec.training().batch_size(), 16);
  wanted = Wanted();
  wanted["method"] = {
      {"type", "supervised"},
      {"supervised",
       {{"hyperparameters", {{"batch_size", 8}, {"learning_rate_multiplier", 0.5}}}}}};
  // What says nothing is no hindrance.
  wanted["integrations"] = nullptr;
  wanted["metadata"] = json::object();
  Create(wanted);
  spec = Created().training_job().spec();
  EXPECT_EQ(spec.training().epochs(), 9);
  EXPECT_EQ(spec.training().batch_size(), 8);
  EXPECT_EQ(spec.optimizer().fields().at("learning_rate").number_value(), 0.005);
}

TEST_F(FineTuningTest, RefusesWhatHasNoMeaningHere) {
  const auto with = [](const char* key, const json& value) {
    json wanted = Wanted();
    wanted[key] = value;
    return wanted;
  };
  EXPECT_THAT(Refused({{"model", "digits"}}), StartsWith("\"training_file\" | "));
  EXPECT_THAT(Refused({{"training_file", "file-1"}}), StartsWith("\"model\" | "));
  EXPECT_THAT(Refused(with("model", "gpt-4o mini")), StartsWith("\"model\" | "));
  EXPECT_THAT(Refused(with("model", 3)), StartsWith("\"model\" | "));
  EXPECT_THAT(Refused(with("method", {{"type", "dpo"}})), StartsWith("\"method.type\" | "));
  EXPECT_THAT(Refused(with("validation_file", "file-2")), StartsWith("\"validation_file\" | "));
  EXPECT_THAT(Refused(with("integrations", {{{"type", "wandb"}}})),
              StartsWith("\"integrations\" | "));
  EXPECT_THAT(Refused(with("suffix", "My Model")), StartsWith("\"suffix\" | "));
  EXPECT_THAT(Refused(with("seed", 1.5)), StartsWith("\"seed\" | "));
  EXPECT_THAT(Refused(with("hyperparameters", {{"n_epochs", 0}})),
              StartsWith("\"hyperparameters.n_epochs\" | "));
  EXPECT_THAT(Refused(with("hyperparameters", {{"beta", 0.1}})),
              StartsWith("\"hyperparameters.beta\" | "));
  EXPECT_THAT(Refused(with("temperature", 1)), StartsWith("\"temperature\" | "));
}

TEST_F(FineTuningTest, TheFileMustBeATableForFineTuning) {
  dataset_.mutable_files(0)->set_path("rows.parquet");
  EXPECT_THAT(Refused(Wanted()), HasSubstr("must be a .csv or a .jsonl"));
  dataset_.set_purpose("batch");
  EXPECT_THAT(Refused(Wanted()), StartsWith("\"training_file\" | "));
  dataset_.clear_purpose();
  AskJson("POST", kJobs, key_, Wanted().dump(), 404);
}

TEST_F(FineTuningTest, TheModelMustHaveBeenTrainedOnATable) {
  base_job_.mutable_spec()->mutable_data()->set_format("idx");
  EXPECT_THAT(Refused(Wanted()), StartsWith("\"model\" | "));
  version_.clear_lineage();
  EXPECT_THAT(Refused(Wanted()), HasSubstr("was not trained by a job that is still there"));
}

TEST_F(FineTuningTest, FaultsOfTheSpecAreToldByTheirParameter) {
  platform_->On("TrainingService/CreateTrainingJob", [](const google::protobuf::Message&) {
    return FakePlatform::Reply{.messages = {},
                               .status = InvalidField("spec.data.target_column", "is no column")};
  });
  EXPECT_THAT(Refused(Wanted()), StartsWith("\"training_file\" | "));
}

TEST_F(FineTuningTest, ShowsEachStateInItsWords) {
  const auto status = [&](rpc::TrainingJob::State state, const std::string& phase = "") {
    rpc::TrainingJob job;
    job.set_state(state);
    job.mutable_progress()->set_phase(phase);
    return Shown(job)["status"].get<std::string>();
  };
  EXPECT_EQ(status(rpc::TrainingJob::QUEUED), "queued");
  EXPECT_EQ(status(rpc::TrainingJob::RUNNING), "validating_files");
  EXPECT_EQ(status(rpc::TrainingJob::RUNNING, "preparing"), "validating_files");
  EXPECT_EQ(status(rpc::TrainingJob::RUNNING, "training"), "running");
  EXPECT_EQ(status(rpc::TrainingJob::RUNNING, "registering"), "running");
  EXPECT_EQ(status(rpc::TrainingJob::PAUSED), "paused");
  EXPECT_EQ(status(rpc::TrainingJob::SUCCEEDED), "succeeded");
  EXPECT_EQ(status(rpc::TrainingJob::FAILED), "failed");
  EXPECT_EQ(status(rpc::TrainingJob::CANCELLED), "cancelled");
}

TEST_F(FineTuningTest, ShowsWhatCameOutAndWhatWentWrong) {
  rpc::TrainingJob job;
  job.set_state(rpc::TrainingJob::SUCCEEDED);
  job.set_model_version("tenants/acme/models/digits/versions/8");
  job.mutable_end_time()->set_seconds(12);
  json shown = Shown(job);
  EXPECT_EQ(shown["fine_tuned_model"], "digits:8");
  EXPECT_EQ(shown["finished_at"], 12);
  EXPECT_EQ(shown["error"], nullptr);
  job.set_state(rpc::TrainingJob::FAILED);
  job.set_error("spec.data.train.inputs: rows.jsonl, line 3: is no JSON object");
  shown = Shown(job);
  EXPECT_EQ(shown["error"]["code"], "invalid_training_file");
  EXPECT_EQ(shown["error"]["param"], "training_file");
  EXPECT_EQ(shown["error"]["message"], job.error());
}

TEST_F(FineTuningTest, OnlyItsOwnJobsAreThere) {
  for (const char* path : {"/first", "/ftjob-", "/ftjob-%2e", "/first/events"}) {
    AskJson("GET", std::string(kJobs) + path, key_, "", 404);
  }
  AskJson("POST", std::string(kJobs) + "/first/cancel", key_, "", 404);
  // In two pages of the platform's, with others among them.
  platform_->On("TrainingService/ListTrainingJobs", [](const google::protobuf::Message& asked) {
    const bool first =
        dynamic_cast<const rpc::ListTrainingJobsRequest&>(asked).page_token().empty();
    rpc::ListTrainingJobsResponse answer;
    for (const char* id :
         first ? std::vector{"other", "ftjob-9", "ftjob-8"} : std::vector{"ftjob-7", "another"}) {
      answer.add_training_jobs()->set_name(fmt::format("tenants/acme/jobs/{}", id));
    }
    if (first) answer.set_next_page_token("8");
    return FakePlatform::Reply{.messages = {Copy(answer)}, .status = {}};
  });
  const auto ids = [&](const std::string& query, bool has_more) {
    const json list = AskJson("GET", std::string(kJobs) + query, key_);
    EXPECT_EQ(list["has_more"], has_more) << query;
    std::vector<std::string> out;
    for (const json& job : list["data"]) out.push_back(job["id"]);
    return out;
  };
  EXPECT_THAT(ids("", false), ElementsAre("ftjob-9", "ftjob-8", "ftjob-7"));
  EXPECT_THAT(ids("?limit=2", true), ElementsAre("ftjob-9", "ftjob-8"));
  EXPECT_THAT(ids("?limit=2&after=ftjob-9", false), ElementsAre("ftjob-8", "ftjob-7"));
  EXPECT_THAT(ids("?limit=1&after=ftjob-9", true), ElementsAre("ftjob-8"));
}

TEST_F(FineTuningTest, CancelsPausesAndResumes) {
  const std::map<std::string, rpc::TrainingJob::State> asks = {
      {"Cancel", rpc::TrainingJob::CANCELLED},
      {"Pause", rpc::TrainingJob::PAUSED},
      {"Resume", rpc::TrainingJob::QUEUED}};
  for (const auto& [ask, state] : asks) {
    platform_->On("TrainingService/" + ask + "TrainingJob",
                  [state = state](const google::protobuf::Message&) {
                    rpc::TrainingJob job;
                    job.set_name("tenants/acme/jobs/ftjob-1");
                    job.set_state(state);
                    return FakePlatform::Reply{.messages = {Copy(job)}, .status = {}};
                  });
  }
  const auto status = [&](const std::string& verb) {
    return AskJson("POST", fmt::format("{}/ftjob-1/{}", kJobs, verb), key_)["status"];
  };
  EXPECT_EQ(status("cancel"), "cancelled");
  EXPECT_EQ(status("pause"), "paused");
  EXPECT_EQ(status("resume"), "queued");
}

TEST_F(FineTuningTest, ListsEventsAndCheckpoints) {
  platform_->On("JobEventService/ListTrainingJobEvents",
                [](const google::protobuf::Message& asked) {
                  const auto& list = dynamic_cast<const rpc::ListTrainingJobEventsRequest&>(asked);
                  EXPECT_EQ(list.parent(), "tenants/acme/jobs/ftjob-1");
                  rpc::ListTrainingJobEventsResponse answer;
                  const auto add = [&](int64_t sequence) -> rpc::Event& {
                    rpc::Event& event = *answer.add_events();
                    event.set_sequence(sequence);
                    event.mutable_time()->set_seconds(100 + sequence);
                    return event;
                  };
                  if (list.kinds_size() > 0) {
                    EXPECT_EQ(list.kinds(0), "checkpoint");
                    EXPECT_EQ(list.page_token(), "9");
                    add(4).mutable_checkpoint()->set_step(20);
                  } else {
                    rpc::Progress& progress = *add(3).mutable_progress();
                    progress.set_step(5);
                    progress.set_steps(50);
                    progress.set_loss(0.25);
                    add(2).mutable_log()->set_severity("warning");
                    add(1).mutable_state_change()->set_reason("submitted");
                    answer.set_next_page_token("1");
                  }
                  return FakePlatform::Reply{.messages = {Copy(answer)}, .status = {}};
                });
  const json events = AskJson("GET", std::string(kJobs) + "/ftjob-1/events", key_);
  ASSERT_THAT(events["data"], SizeIs(3));
  EXPECT_EQ(events["has_more"], true);
  EXPECT_EQ(events["data"][0]["object"], "fine_tuning.job.event");
  EXPECT_EQ(events["data"][0]["id"], "ftevent-3");
  EXPECT_EQ(events["data"][0]["type"], "metrics");
  EXPECT_EQ(events["data"][0]["data"]["step"], 5);
  EXPECT_EQ(events["data"][0]["data"]["train_loss"], 0.25);
  EXPECT_EQ(events["data"][1]["level"], "warn");
  EXPECT_EQ(events["data"][2]["message"], "submitted");
  EXPECT_EQ(events["data"][2]["created_at"], 101);
  const json checkpoints =
      AskJson("GET", std::string(kJobs) + "/ftjob-1/checkpoints?after=ftckpt-9", key_);
  ASSERT_THAT(checkpoints["data"], SizeIs(1));
  EXPECT_EQ(checkpoints["data"][0]["step_number"], 20);
  EXPECT_EQ(checkpoints["data"][0]["fine_tuning_job_id"], "ftjob-1");
  AskJson("GET", std::string(kJobs) + "/ftjob-1/events?after=nine", key_, "", 400);
}

TEST_F(FineTuningTest, NeedsTheRolesOfItsCalls) {
  const std::string viewer = MakeKey("acme", "VIEWER");
  AskJson("POST", std::string(kJobs) + "/ftjob-1/cancel", viewer, "", 403);
  AskJson("GET", std::string(kJobs) + "/ftjob-1", viewer);
}

}  // namespace
}  // namespace slipway::gateway
