#include <unistd.h>

#include <csignal>
#include <ostream>

#include "CLI/CLI.hpp"
#include "common/fields/json.h"
#include "common/files/files.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/cli/commands.h"
#include "services/cli/output.h"
#include "services/cli/plan_view.h"
#include "services/cli/progress.h"
#include "services/cli/yaml_file.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

// Follows the job's events to its end. A stream that breaks is taken up again after the last
// event seen, a few times; Ctrl-C leaves the job running.
absl::Status WatchJob(const Session& session, const Api& api, const std::string& job) {
  constexpr int kReconnects = 20;
  const std::string path = session.Path("jobs/" + job);
  JobView view(session.out(), session.format() == Format::kJson, STDOUT_FILENO);
  int64_t seen = 0;
  for (int tries = 0; !view.ended(); ++tries) {
    const absl::Status status =
        api.Watch(path + ":watch", {{"afterSequence", std::to_string(seen)}}, std::stop_token(),
                  [&](const json& event) -> absl::Status {
                    seen = static_cast<int64_t>(NumberOf(event, "sequence"));
                    view.Show(event);
                    tries = 0;
                    return absl::OkStatus();
                  });
    if (view.ended()) break;
    if (!status.ok() && (!absl::IsUnavailable(status) || tries >= kReconnects)) return status;
    if (status.ok() && tries >= kReconnects) {
      return absl::UnavailableError("the event stream keeps ending before the job does");
    }
    Clock::Real().SleepFor(absl::Milliseconds(250));
  }
  view.Finish();
  ASSIGN_OR_RETURN(const json found, api.Get(path));
  if (!session.PrintJson(found)) PrintJob(session.out(), found);
  if (TextOf(found, "state") != "SUCCEEDED") {
    return absl::AbortedError(fmt::format("{} {}: {}", TextOf(found, "name"),
                                          TextOf(found, "state"), TextOf(found, "error")));
  }
  return absl::OkStatus();
}

void PrintJobs(const Session& session, const json& jobs) {
  Table table({"JOB", "MODEL", "STATE", "EPOCH", "ACCURACY", "AGE"});
  for (const json& job : jobs) {
    const json progress = job.value("progress", json::object());
    table.Add(
        {LastSegment(TextOf(job, "name")), TextOf(job.value("spec", json::object()), "model"),
         TextOf(job, "state"),
         fmt::format("{:.0f}/{:.0f}", NumberOf(progress, "epoch"), NumberOf(progress, "epochs")),
         TextOf(job.value("metrics", json::object()), "accuracy"),
         Age(TextOf(job, "createTime"), Clock::Real().Now())});
  }
  table.Print(session.out());
}

}  // namespace

void AddTrainingCommands(CLI::App& root, Session& session) {
  struct Options {
    std::string file;
    std::string id;
    std::string request_id;
    std::string dataset;
    std::string target;
    std::string write;
    int priority = 0;
    bool watch = false;
  };
  auto options = std::make_shared<Options>();

  CLI::App& train = *root.add_subcommand("train", "Submits a training job");
  train.add_option("-f,--file,file", options->file, "The job's spec, YAML or JSON")->required();
  train.add_option("--name", options->id, "The job's id; else one is made");
  train.add_option("--request-id", options->request_id,
                   "Submitting again with the same id answers the same job");
  train.add_option("--priority", options->priority, "Of your jobs the higher goes first");
  train.add_flag("-w,--watch", options->watch, "Follow it to its end");
  train.footer("Example:\n  slipway train examples/fashion-mnist-cnn.yaml --watch");
  session.OnRun(train, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const json spec, ReadYamlFile(options->file, "spec"));
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    Query query;
    if (!options->id.empty()) query.emplace_back("jobId", options->id);
    if (!options->request_id.empty()) query.emplace_back("requestId", options->request_id);
    ASSIGN_OR_RETURN(
        const json job,
        api.Post(session.Path("jobs"), {{"spec", spec}, {"priority", options->priority}}, query));
    const std::string id = LastSegment(TextOf(job, "name"));
    if (!options->watch) {
      if (session.PrintJson(job)) return absl::OkStatus();
      session.out() << fmt::format("submitted {}; follow it with `slipway job watch {}`\n",
                                   TextOf(job, "name"), id);
      return absl::OkStatus();
    }
    if (session.format() == Format::kText) session.out() << "submitted " << id << '\n';
    return WatchJob(session, api, id);
  });

  CLI::App& plan =
      *root.add_subcommand("plan", "Says what a training would take, or what to train");
  auto* spec_file =
      plan.add_option("-f,--file,file", options->file, "The job's spec, YAML or JSON");
  auto* dataset = plan.add_option("--dataset", options->dataset, "Propose a spec for this dataset");
  plan.add_option("--target", options->target, "Of a table: the column to predict")->needs(dataset);
  plan.add_option("--write", options->write,
                  "Write the spec that was proposed to this file, as YAML")
      ->needs(dataset);
  spec_file->excludes(dataset);
  plan.footer(
      "Example:\n  slipway plan -f examples/fashion-mnist-cnn.yaml\n"
      "  slipway plan --dataset iris --write iris.yaml");
  session.OnRun(plan, [&session, options]() -> absl::Status {
    json spec = {{"dataset", options->dataset}};
    if (!options->target.empty()) spec["data"]["targetColumn"] = options->target;
    if (!options->file.empty()) {
      ASSIGN_OR_RETURN(spec, ReadYamlFile(options->file, "spec"));
    } else if (options->dataset.empty()) {
      return absl::InvalidArgumentError("either a file or --dataset is required");
    }
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Post(session.Path("jobs:plan"), {{"spec", spec}}));
    if (!options->write.empty()) {
      RETURN_IF_ERROR(WriteFileAtomically(options->write, PrintYaml(SpecOfPlan(found))));
    }
    if (!session.PrintJson(found)) PrintPlan(session.out(), found);
    return absl::OkStatus();
  });

  CLI::App& job = *root.add_subcommand("job", "Training jobs");
  job.require_subcommand(1);

  CLI::App& list = *job.add_subcommand("list", "Lists the jobs, newest first");
  list.footer("Example:\n  slipway job list");
  session.OnRun(list, [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json jobs, api.List(session.Path("jobs"), "trainingJobs"));
    if (!session.PrintJson(jobs)) PrintJobs(session, jobs);
    return absl::OkStatus();
  });

  CLI::App& get = *job.add_subcommand("get", "Shows a job");
  get.add_option("id", options->id, "The job's id")->required();
  get.footer("Example:\n  slipway job get fashion-1 -o json");
  session.OnRun(get, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    ASSIGN_OR_RETURN(const json found, api.Get(session.Path("jobs/" + options->id)));
    if (!session.PrintJson(found)) PrintJob(session.out(), found);
    return absl::OkStatus();
  });

  CLI::App& watch = *job.add_subcommand("watch", "Follows a job: progress, loss, speed, time left");
  watch.add_option("id", options->id, "The job's id")->required();
  watch.footer("Example:\n  slipway job watch fashion-1");
  session.OnRun(watch, [&session, options]() -> absl::Status {
    ASSIGN_OR_RETURN(const Api api, session.Connect());
    return WatchJob(session, api, options->id);
  });

  const auto ask = [&](const std::string& verb, const std::string& about,
                       const std::string& while_running) {
    CLI::App& command = *job.add_subcommand(verb, about);
    command.add_option("id", options->id, "The job's id")->required();
    command.footer("Example:\n  slipway job " + verb + " fashion-1");
    session.OnRun(command, [&session, options, verb, while_running]() -> absl::Status {
      ASSIGN_OR_RETURN(const Api api, session.Connect());
      ASSIGN_OR_RETURN(const json found,
                       api.Post(session.Path("jobs/" + options->id + ":" + verb), json::object()));
      if (session.PrintJson(found)) return absl::OkStatus();
      const std::string state = TextOf(found, "state");
      session.out() << fmt::format("{} is {}\n", TextOf(found, "name"),
                                   state == "RUNNING" ? while_running : state);
      return absl::OkStatus();
    });
  };
  ask("cancel", "Stops a job for good", "being cancelled");
  ask("pause", "Sets a job aside, with a checkpoint, until it is resumed", "being paused");
  ask("resume", "Queues a paused job; it goes on from its checkpoint", "RUNNING");
}

}  // namespace slipway::cli
