#include "services/gateway/openai/fine_tuning.h"

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/names/names.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/gateway/batches/batch_service.h"
#include "services/gateway/openai/objects.h"
#include "slipway/training/v1/job_events.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::gateway::openai {
namespace {

namespace rpc = training::v1;
using nlohmann::json;

constexpr std::string_view kJobPrefix = "ftjob-";
constexpr std::string_view kEventPrefix = "ftevent-";
constexpr std::string_view kCheckpointPrefix = "ftckpt-";
constexpr int kDefaultPage = 20;
constexpr int kDefaultCheckpoints = 10;
constexpr int kMaxPage = 100;
constexpr int kJobsAtOnce = 500;

absl::Status NoSuchJob(const std::string& id) {
  return NotFound(fmt::format("fine-tuning job {}", id.substr(0, 80)));
}

bool IsJobId(const std::string& id) { return id.starts_with(kJobPrefix) && IsSlug(id); }

std::string_view StatusOf(const rpc::TrainingJob& job) {
  switch (job.state()) {
    case rpc::TrainingJob::QUEUED:
      return "queued";
    case rpc::TrainingJob::SUCCEEDED:
      return "succeeded";
    case rpc::TrainingJob::FAILED:
      return "failed";
    case rpc::TrainingJob::CANCELLED:
      return "cancelled";
    case rpc::TrainingJob::PAUSED:
      return "paused";
    default:
      // The trainer reads the file and says what is wrong with it.
      return job.progress().phase().empty() || job.progress().phase() == "preparing"
                 ? "validating_files"
                 : "running";
  }
}

// "tenants/acme/models/digits/versions/3" as callers name it: "digits:3".
std::string VersionId(const std::string& name) {
  const auto version = VersionName::Parse("name", name);
  return version.ok() ? fmt::format("{}:{}", version->model.id, version->number) : IdOf(name);
}

std::string TenantOf(const std::string& name) {
  const auto job = JobName::Parse("name", name);
  return job.ok() ? job->tenant : "";
}

json Hyperparameters(const rpc::JobSpec& spec) {
  // By what its base's rate was multiplied is not kept.
  return {{"n_epochs", spec.training().epochs()},
          {"batch_size", spec.training().batch_size()},
          {"learning_rate_multiplier", nullptr}};
}

json JobObject(const rpc::TrainingJob& job) {
  const rpc::JobSpec& spec = job.spec();
  const json hyperparameters = Hyperparameters(spec);
  const bool fails = job.state() == rpc::TrainingJob::FAILED;
  const std::string field = job.error().substr(0, job.error().find(": "));
  json error = nullptr;
  if (fails) {
    error = {{"code", field.starts_with("spec.data") ? "invalid_training_file" : "job_failed"},
             {"message", job.error()},
             {"param", field.starts_with("spec.data") ? json("training_file") : json(nullptr)}};
  }
  return {
      {"object", "fine_tuning.job"},
      {"id", IdOf(job.name())},
      {"model", VersionId(spec.base().version())},
      {"created_at", job.create_time().seconds()},
      {"finished_at", job.has_end_time() ? json(job.end_time().seconds()) : json(nullptr)},
      {"fine_tuned_model",
       job.model_version().empty() ? json(nullptr) : json(VersionId(job.model_version()))},
      {"organization_id", TenantOf(job.name())},
      {"result_files", json::array()},
      {"status", StatusOf(job)},
      {"training_file", spec.dataset()},
      {"validation_file", nullptr},
      {"hyperparameters", hyperparameters},
      {"method", {{"type", "supervised"}, {"supervised", {{"hyperparameters", hyperparameters}}}}},
      {"trained_tokens", nullptr},
      {"error", std::move(error)},
      {"seed", spec.training().seed()},
      {"estimated_finish", nullptr},
      {"integrations", json::array()},
      {"metadata", nullptr},
      {"user_provided_suffix", nullptr}};
}

json Metrics(const rpc::Progress& progress) {
  json metrics = {{"step", progress.step()}, {"train_loss", progress.loss()}};
  if (progress.validation_loss() != 0) metrics["valid_loss"] = progress.validation_loss();
  if (progress.accuracy() != 0) metrics["train_accuracy"] = progress.accuracy();
  return metrics;
}

json EventObject(const rpc::Event& event) {
  std::string level = "info";
  std::string message;
  json data = nullptr;
  std::string type = "message";
  switch (event.what_case()) {
    case rpc::Event::kStateChange:
      message = event.state_change().reason();
      if (event.state_change().state() == rpc::TrainingJob::FAILED) level = "error";
      break;
    case rpc::Event::kLog:
      message = event.log().text();
      level = event.log().severity() == "error"     ? "error"
              : event.log().severity() == "warning" ? "warn"
                                                    : "info";
      break;
    case rpc::Event::kCheckpoint:
      message = fmt::format("checkpoint written at step {}", event.checkpoint().step());
      break;
    case rpc::Event::kProgress:
      type = "metrics";
      message = fmt::format("step {}/{}: training loss={:.4f}", event.progress().step(),
                            event.progress().steps(), event.progress().loss());
      data = Metrics(event.progress());
      break;
    case rpc::Event::WHAT_NOT_SET:
      break;
  }
  return {{"object", "fine_tuning.job.event"},
          {"id", fmt::format("{}{}", kEventPrefix, event.sequence())},
          {"created_at", event.time().seconds()},
          {"level", level},
          {"message", message},
          {"type", type},
          {"data", std::move(data)}};
}

// "digits:3", "digits:production", or "digits", its newest version.
struct BaseReference {
  std::string model;
  std::string version;  // empty: the newest
};

absl::StatusOr<BaseReference> ParseModel(const std::string& text) {
  const size_t colon = text.find(':');
  BaseReference reference{text.substr(0, colon), ""};
  if (colon != std::string::npos) reference.version = text.substr(colon + 1);
  const bool is_number = !reference.version.empty() && ParseNumber<int64_t>(reference.version);
  if (!IsSlug(reference.model) ||
      (colon != std::string::npos && !is_number && !IsSlug(reference.version))) {
    return InvalidField("model", "must be MODEL, MODEL:VERSION or MODEL:ALIAS of this tenant");
  }
  return reference;
}

// What a caller asks for.
struct Wanted {
  std::string file;
  BaseReference base;
  std::string suffix;
  std::optional<int64_t> seed;
  std::optional<int> epochs;
  std::optional<int> batch_size;
  std::optional<double> rate_multiplier;
};

template <class Number>
absl::Status ReadSetting(const json& settings, const char* key, const std::string& path,
                         std::optional<Number>& out) {
  const json value = settings.value(key, json());
  if (value.is_null() || value == "auto") return absl::OkStatus();
  const bool fits = std::is_integral_v<Number> ? value.is_number_integer() : value.is_number();
  if (!fits || value.get<double>() <= 0 || value.get<double>() > 1e6) {
    return InvalidField(fmt::format("{}.{}", path, key), "must be \"auto\" or a number above 0");
  }
  out = value.get<Number>();
  return absl::OkStatus();
}

absl::Status ReadHyperparameters(const json& settings, const std::string& path, Wanted& wanted) {
  if (settings.is_null()) return absl::OkStatus();
  if (!settings.is_object()) return InvalidField(path, "must be an object");
  for (const auto& [key, value] : settings.items()) {
    if (key != "n_epochs" && key != "batch_size" && key != "learning_rate_multiplier") {
      return InvalidField(fmt::format("{}.{}", path, key.substr(0, 80)), "is not supported here");
    }
  }
  RETURN_IF_ERROR(ReadSetting(settings, "n_epochs", path, wanted.epochs));
  RETURN_IF_ERROR(ReadSetting(settings, "batch_size", path, wanted.batch_size));
  return ReadSetting(settings, "learning_rate_multiplier", path, wanted.rate_multiplier);
}

absl::Status ReadMethod(const json& method, Wanted& wanted) {
  if (method.is_null()) return absl::OkStatus();
  if (!method.is_object() || method.value("type", json()) != "supervised") {
    return InvalidField("method.type", "must be supervised: there is no other method here");
  }
  for (const auto& [key, value] : method.items()) {
    if (key != "type" && key != "supervised" && !value.is_null()) {
      return InvalidField("method." + key.substr(0, 80), "is not supported here");
    }
  }
  const json supervised = method.value("supervised", json::object());
  if (!supervised.is_object()) return InvalidField("method.supervised", "must be an object");
  return ReadHyperparameters(supervised.value("hyperparameters", json()),
                             "method.supervised.hyperparameters", wanted);
}

absl::StatusOr<std::string> ReadText(const json& body, const char* key) {
  if (!body.contains(key)) return InvalidField(key, "is missing");
  if (!body[key].is_string()) return InvalidField(key, "must be a text");
  return body[key].get<std::string>();
}

absl::StatusOr<Wanted> ReadWanted(const json& body) {
  Wanted wanted;
  for (const auto& [key, value] : body.items()) {
    const bool known = key == "training_file" || key == "model" || key == "suffix" ||
                       key == "seed" || key == "hyperparameters" || key == "method";
    // Nothing is asked for by null, nor by a list of nothing.
    if (known || value.is_null() || (value.is_structured() && value.empty())) continue;
    if (key == "validation_file") {
      return InvalidField(key, "is not supported here: a part of the training file is held out");
    }
    return InvalidField(key.substr(0, 80), "is not supported here");
  }
  ASSIGN_OR_RETURN(wanted.file, ReadText(body, "training_file"));
  ASSIGN_OR_RETURN(const std::string model, ReadText(body, "model"));
  ASSIGN_OR_RETURN(wanted.base, ParseModel(model));
  if (const json suffix = body.value("suffix", json()); !suffix.is_null()) {
    if (!suffix.is_string() || !IsSlug("m" + suffix.get<std::string>())) {
      return InvalidField("suffix", "must be of lower-case letters, digits and '-'");
    }
    wanted.suffix = suffix.get<std::string>();
  }
  if (const json seed = body.value("seed", json()); !seed.is_null()) {
    if (!seed.is_number_integer()) return InvalidField("seed", "must be a whole number");
    wanted.seed = seed.get<int64_t>();
  }
  RETURN_IF_ERROR(
      ReadHyperparameters(body.value("hyperparameters", json()), "hyperparameters", wanted));
  RETURN_IF_ERROR(ReadMethod(body.value("method", json()), wanted));
  return wanted;
}

// The format of a table by its file's name; empty: none.
std::string FormatOf(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  if (path.ends_with(".csv")) return "csv";
  return path.ends_with(".jsonl") ? "jsonl" : "";
}

// The spec that the base was trained by, on other rows.
absl::StatusOr<rpc::JobSpec> SpecOf(const Wanted& wanted, const rpc::JobSpec& base,
                                    const registry::v1::ModelVersion& version,
                                    const registry::v1::Dataset& dataset) {
  constexpr double kTestFraction = 0.2;
  const std::string file = dataset.files(0).path();
  const std::string format = FormatOf(file);
  if (FormatOf("x." + base.data().format()).empty()) {
    return InvalidField("model", fmt::format("was trained on {}, which one file does not hold; "
                                             "make a job with spec.base",
                                             base.data().format()));
  }
  if (format.empty()) {
    return InvalidField("training_file",
                        fmt::format("is called {}; must be a .csv or a .jsonl", file));
  }
  rpc::JobSpec spec = base;
  // Its architecture is the version's, and so is its preprocessing.
  spec.clear_architecture();
  spec.clear_search();
  spec.clear_alias();
  spec.mutable_evaluation()->clear_no_worse_than();
  spec.mutable_base()->Clear();
  spec.mutable_base()->set_version(version.name());
  if (!wanted.suffix.empty()) spec.set_model(fmt::format("{}-{}", spec.model(), wanted.suffix));
  spec.set_dataset(IdOf(dataset.name()));
  rpc::DataSpec& data = *spec.mutable_data();
  data.set_format(format);
  data.mutable_train()->set_inputs(file);
  data.clear_test();
  if (data.test_fraction() == 0) data.set_test_fraction(kTestFraction);
  data.clear_scale();
  data.clear_standardize();
  if (wanted.epochs) spec.mutable_training()->set_epochs(*wanted.epochs);
  if (wanted.batch_size) spec.mutable_training()->set_batch_size(*wanted.batch_size);
  if (wanted.seed) spec.mutable_training()->set_seed(*wanted.seed);
  if (wanted.rate_multiplier) {
    auto& rate = (*spec.mutable_optimizer()->mutable_fields())["learning_rate"];
    rate.set_number_value(rate.number_value() * *wanted.rate_multiplier);
  }
  return spec;
}

// The platform's words for fields in those of this API.
absl::Status InWordsOfFineTuning(const absl::Status& status) {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  const std::string problem = std::string(status.message()).substr(field.size() + 2);
  const auto is = [&](std::string_view room) { return field.starts_with(room); };
  const char* const param = is("spec.data")                               ? "training_file"
                            : is("spec.base")                             ? "model"
                            : is("spec.model")                            ? "suffix"
                            : is("spec.training.seed")                    ? "seed"
                            : is("spec.training") || is("spec.optimizer") ? "hyperparameters"
                                                                          : nullptr;
  return param == nullptr ? status : InvalidField(param, fmt::format("{}: {}", field, problem));
}

}  // namespace

void FineTuning::Create(const RequestPtr& request) {
  ReadBody(request, [this, request](const json& body) {
    absl::StatusOr<Wanted> wanted = ReadWanted(body);
    if (!wanted.ok()) return request->Refuse(wanted.status());
    const std::string file = wanted->file;
    files_.Find(
        request, file,
        [this, request, wanted = *std::move(wanted)](const registry::v1::Dataset& dataset) mutable {
          if (dataset.purpose() != "fine-tune") {
            return request->Refuse(
                InvalidField("training_file", "is of a file that was not uploaded for fine-tune"));
          }
          FindVersion(request, wanted.base.model, wanted.base.version,
                      [this, request, wanted, dataset](const registry::v1::ModelVersion& version) {
                        FindJob(
                            request, version,
                            [this, request, wanted, dataset, version](const rpc::TrainingJob& job) {
                              Submit(request, SpecOf(wanted, job.spec(), version, dataset));
                            });
                      });
        });
  });
}

template <class Found>
void FineTuning::FindVersion(const RequestPtr& request, const std::string& model,
                             const std::string& version, Found found) {
  const std::string name = fmt::format("{}/models/{}", request->tenant, model);
  const auto absent = InvalidField("model", fmt::format("{} was not found", model));
  if (version.empty()) {
    registry::v1::GetModelRequest get;
    get.set_name(name);
    return calls_.Call<registry::v1::Model>(
        "ModelService/GetModel", *request->exchange, request->key, std::move(get),
        [this, request, model, absent,
         found](const absl::StatusOr<const registry::v1::Model*>& answer) {
          if (absl::IsNotFound(answer.status())) return request->Refuse(absent);
          if (!answer.ok()) return request->Refuse(answer.status());
          if ((*answer)->latest_version() == 0) return request->Refuse(absent);
          FindVersion(request, model, std::to_string((*answer)->latest_version()), found);
        });
  }
  if (!ParseNumber<int64_t>(version)) {
    registry::v1::ListAliasesRequest list;
    list.set_parent(name);
    return calls_.Call<registry::v1::ListAliasesResponse>(
        "ModelService/ListAliases", *request->exchange, request->key, std::move(list),
        [this, request, model, alias = version, absent,
         found](const absl::StatusOr<const registry::v1::ListAliasesResponse*>& answer) {
          if (absl::IsNotFound(answer.status())) return request->Refuse(absent);
          if (!answer.ok()) return request->Refuse(answer.status());
          for (const registry::v1::Alias& each : (*answer)->aliases()) {
            if (IdOf(each.name()) != alias) continue;
            return FindVersion(request, model, IdOf(each.version()), found);
          }
          request->Refuse(absent);
        });
  }
  registry::v1::GetModelVersionRequest get;
  get.set_name(fmt::format("{}/versions/{}", name, version));
  calls_.Call<registry::v1::ModelVersion>(
      "ModelService/GetModelVersion", *request->exchange, request->key, std::move(get),
      [request, absent, found](const absl::StatusOr<const registry::v1::ModelVersion*>& answer) {
        if (absl::IsNotFound(answer.status())) return request->Refuse(absent);
        if (!answer.ok()) return request->Refuse(answer.status());
        found(**answer);
      });
}

// The job that made the version: it says how rows are read and by what loss they are learnt.
template <class Found>
void FineTuning::FindJob(const RequestPtr& request, const registry::v1::ModelVersion& version,
                         Found found) {
  const auto unknown =
      InvalidField("model",
                   "was not trained by a job that is still there, which would say how rows "
                   "are read; make a job with spec.base");
  if (version.lineage().job().empty()) return request->Refuse(unknown);
  rpc::GetTrainingJobRequest get;
  get.set_name(version.lineage().job());
  calls_.Call<rpc::TrainingJob>(
      "TrainingJobService/GetTrainingJob", *request->exchange, request->key, std::move(get),
      [request, unknown, found](const absl::StatusOr<const rpc::TrainingJob*>& answer) {
        if (absl::IsNotFound(answer.status())) return request->Refuse(unknown);
        if (!answer.ok()) return request->Refuse(answer.status());
        found(**answer);
      });
}

void FineTuning::Submit(const RequestPtr& request, absl::StatusOr<rpc::JobSpec> spec) {
  if (!spec.ok()) return request->Refuse(spec.status());
  rpc::CreateTrainingJobRequest create;
  create.set_parent(request->tenant);
  create.set_job_id(NewTimedId("ftjob", clock_.Now()));
  *create.mutable_training_job()->mutable_spec() = *std::move(spec);
  calls_.Call<rpc::TrainingJob>("TrainingJobService/CreateTrainingJob", *request->exchange,
                                request->key, std::move(create),
                                [request](const absl::StatusOr<const rpc::TrainingJob*>& made) {
                                  if (!made.ok())
                                    return request->Refuse(InWordsOfFineTuning(made.status()));
                                  request->Answer(JobObject(**made));
                                });
}

struct FineTuning::Page {
  RequestPtr request;
  std::string after;  // not yet passed; empty: none
  int limit;
  json jobs = json::array();
};

void FineTuning::List(const RequestPtr& request) {
  const auto query = ListQuery::Read(request->exchange->head().query(), kDefaultPage, kMaxPage, {});
  if (!query.ok()) return request->Refuse(query.status());
  ListFrom("", std::make_shared<Page>(Page{request, query->after, query->limit}));
}

// The jobs of the platform are gone through until the page is full.
void FineTuning::ListFrom(const std::string& token, const std::shared_ptr<Page>& page) {
  rpc::ListTrainingJobsRequest list;
  list.set_parent(page->request->tenant);
  list.set_page_size(kJobsAtOnce);
  list.set_page_token(token);
  calls_.Call<rpc::ListTrainingJobsResponse>(
      "TrainingJobService/ListTrainingJobs", *page->request->exchange, page->request->key,
      std::move(list),
      [this, page](const absl::StatusOr<const rpc::ListTrainingJobsResponse*>& answer) {
        if (!answer.ok()) return page->request->Refuse(answer.status());
        for (const rpc::TrainingJob& job : (*answer)->training_jobs()) {
          const std::string id = IdOf(job.name());
          if (!IsJobId(id)) continue;
          if (!page->after.empty()) {
            if (id == page->after) page->after.clear();
            continue;
          }
          if (std::ssize(page->jobs) == page->limit) {
            return page->request->Answer(ListObject(std::move(page->jobs), /*has_more=*/true));
          }
          page->jobs.push_back(JobObject(job));
        }
        if (!(*answer)->next_page_token().empty()) {
          return ListFrom((*answer)->next_page_token(), page);
        }
        page->request->Answer(ListObject(std::move(page->jobs), /*has_more=*/false));
      });
}

template <class Ask>
void FineTuning::AskForJob(std::string_view method, const RequestPtr& request) {
  if (!IsJobId(request->id)) return request->Refuse(NoSuchJob(request->id));
  Ask ask;
  ask.set_name(fmt::format("{}/jobs/{}", request->tenant, request->id));
  calls_.Call<rpc::TrainingJob>(method, *request->exchange, request->key, std::move(ask),
                                AnswerWith<rpc::TrainingJob>(request, JobObject));
}

void FineTuning::Retrieve(const RequestPtr& request) {
  AskForJob<rpc::GetTrainingJobRequest>("TrainingJobService/GetTrainingJob", request);
}
void FineTuning::Cancel(const RequestPtr& request) {
  AskForJob<rpc::CancelTrainingJobRequest>("TrainingJobService/CancelTrainingJob", request);
}
void FineTuning::Pause(const RequestPtr& request) {
  AskForJob<rpc::PauseTrainingJobRequest>("TrainingJobService/PauseTrainingJob", request);
}
void FineTuning::Resume(const RequestPtr& request) {
  AskForJob<rpc::ResumeTrainingJobRequest>("TrainingJobService/ResumeTrainingJob", request);
}

template <class Render>
void FineTuning::ListSome(const RequestPtr& request, std::vector<std::string> kinds,
                          std::string_view id_prefix, int default_page, Render render) {
  if (!IsJobId(request->id)) return request->Refuse(NoSuchJob(request->id));
  const auto query = ListQuery::Read(request->exchange->head().query(), default_page, kMaxPage, {});
  if (!query.ok()) return request->Refuse(query.status());
  rpc::ListTrainingJobEventsRequest list;
  list.set_parent(fmt::format("{}/jobs/{}", request->tenant, request->id));
  list.set_page_size(query->limit);
  if (!query->after.empty()) {
    std::string_view after = query->after;
    if (!after.starts_with(id_prefix) || !ParseNumber<int64_t>(after.substr(id_prefix.size()))) {
      return request->Refuse(InvalidField("after", "is no id of this list"));
    }
    list.set_page_token(std::string(after.substr(id_prefix.size())));
  }
  for (std::string& kind : kinds) list.add_kinds(std::move(kind));
  calls_.Call<rpc::ListTrainingJobEventsResponse>(
      "TrainingJobService/ListTrainingJobEvents", *request->exchange, request->key, std::move(list),
      AnswerWith<rpc::ListTrainingJobEventsResponse>(
          request, [render](const rpc::ListTrainingJobEventsResponse& answer) {
            json data = json::array();
            for (const rpc::Event& event : answer.events()) data.push_back(render(event));
            return ListObject(std::move(data), !answer.next_page_token().empty());
          }));
}

void FineTuning::ListEvents(const RequestPtr& request) {
  ListSome(request, {}, kEventPrefix, kDefaultPage, EventObject);
}

void FineTuning::ListCheckpoints(const RequestPtr& request) {
  ListSome(request, {"checkpoint"}, kCheckpointPrefix, kDefaultCheckpoints,
           [job = request->id](const rpc::Event& event) -> json {
             const std::string id = fmt::format("{}{}", kCheckpointPrefix, event.sequence());
             return {{"object", "fine_tuning.job.checkpoint"},
                     {"id", id},
                     {"created_at", event.time().seconds()},
                     {"fine_tuning_job_id", job},
                     // It is gone on from, and cannot be called.
                     {"fine_tuned_model_checkpoint", id},
                     {"step_number", event.checkpoint().step()},
                     {"metrics", {{"step", event.checkpoint().step()}}}};
           });
}

}  // namespace slipway::gateway::openai
